//! Registrations whose calls cross.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use tokio::time::sleep;

use super::support::{Bench, Reply, bank, by_code, place, text, url};
use crate::config::{AuthorizationCode, GrantType, HeaderTemplate, Registration, RegistrationFormat};
use crate::oauth::Tokens;
use crate::store::Store;
use crate::words::with_causes;

/// Longer than what is told.
const LONG: &str = match std::str::from_utf8(&[b'x'; 4000]) {
    Ok(text) => text,
    Err(_) => "",
};
const FIELDS: [(&str, &str); 1] = [("Content-Type", "application/json")];

/// A bank that registers apps, and renews secrets.
fn registering() -> Bench {
    registering_as(|_| ())
}

fn registering_as(change: impl FnOnce(&mut Registration)) -> Bench {
    let mut code = by_code();
    (code.token.client_id, code.token.client_secret) = (None, None);
    registering_by(code, change)
}

fn registering_by(code: AuthorizationCode, change: impl FnOnce(&mut Registration)) -> Bench {
    let mut bank = bank(GrantType::AuthorizationCode(Box::new(code)));
    let mut registration = Registration {
        place: place(),
        url: url("/apps"),
        format: RegistrationFormat::Json,
        fields: serde_json::Map::new(),
        take_client_id: vec!["client_id".into()],
        take_client_secret: vec!["client_secret".into()],
        renew: Some((Method::POST, url("/apps/{client_id}/renew"))),
        list: None,
        delete: None,
    };
    change(&mut registration);
    bank.registration = Some(registration);
    Bench::with(bank)
}

/// Such a bank that knows the app as `the-app`.
async fn bench() -> Bench {
    let bench = registering();
    let registered = r#"{"client_id":"the-app","client_secret":"s0"}"#;
    bench.script.then(Reply::Say(201, &FIELDS, registered));
    assert_eq!(bench.tokens.register("app", &|_| ()).await.unwrap(), "the-app");
    bench
}

async fn stored_secret(bench: &Bench) -> String {
    let clients = bench.store.clients(&bench.bank.name).await.unwrap();
    assert_eq!(clients.len(), 1);
    text(clients[0].client_secret.as_ref().unwrap())
}

/// Registers the app; the client id, and what was told.
async fn register(tokens: Arc<Tokens>) -> (String, Vec<String>) {
    let told = Mutex::new(Vec::new());
    let client_id = tokens.register("app", &|word| told.lock().unwrap().push(word.to_owned())).await.unwrap();
    (client_id, told.into_inner().unwrap())
}

/// Renews the secret; what was told.
async fn renew(tokens: Arc<Tokens>) -> Vec<String> {
    let told = Mutex::new(Vec::new());
    tokens.renew_secret(&|word| told.lock().unwrap().push(word.to_owned())).await.unwrap();
    told.into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn of_two_secrets_that_are_asked_for_at_once_the_bank_decides_by_a_third() {
    let bench = bench().await;
    let (other, _store) = bench.another();
    let late = Reply::Say(200, &FIELDS, r#"{"client_secret":"s1"}"#);
    bench
        .script
        .then(Reply::After(Duration::from_secs(4), Box::new(late)))
        .then(Reply::Say(200, &FIELDS, r#"{"client_secret":"s2"}"#))
        .then(Reply::Say(200, &FIELDS, r#"{"client_secret":"s3"}"#));
    let first = tokio::spawn(renew(Arc::clone(&bench.tokens)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(renew(other).await.len(), 1, "the warning alone");
    assert_eq!(stored_secret(&bench).await, "s2");
    let told = first.await.unwrap();
    assert!(told.last().unwrap().contains("another secret was stored meanwhile"), "{told:?}");
    assert_eq!((stored_secret(&bench).await.as_str(), bench.script.calls()), ("s3", 4));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_asked_for_alone_is_asked_for_once() {
    let bench = bench().await;
    for secret in [r#"{"client_secret":"s1"}"#, r#"{"client_secret":"s2"}"#] {
        bench.script.then(Reply::Say(200, &FIELDS, secret));
        renew(Arc::clone(&bench.tokens)).await;
        assert!(secret.contains(&stored_secret(&bench).await));
    }
    assert_eq!(bench.script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn of_two_first_registrations_at_once_both_are_kept_and_the_later_one_is_told_of_the_other() {
    let bench = registering();
    let (other, _store) = bench.another();
    let late = Reply::Say(201, &FIELDS, r#"{"client_id":"late","client_secret":"s1"}"#);
    bench.script.then(Reply::After(Duration::from_secs(4), Box::new(late))).then(Reply::Say(
        201,
        &FIELDS,
        r#"{"client_id":"early","client_secret":"s2"}"#,
    ));
    let first = tokio::spawn(register(Arc::clone(&bench.tokens)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(register(other).await, ("early".into(), Vec::new()));
    let (client_id, told) = first.await.unwrap();
    assert!(
        client_id == "late" && told.len() == 1 && told[0].contains("registered as early meanwhile, too"),
        "{told:?}"
    );
    let clients = bench.store.clients(&bench.bank.name).await.unwrap();
    assert_eq!(clients.iter().map(|client| client.client_id.as_str()).collect::<Vec<_>>(), ["early", "late"]);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_told_once_is_taken_whatever_stands_around_it() {
    let bench = bench().await;
    for (secret, expected) in
        [("\u{feff}{\"client_secret\":\"s1\"}", "s1"), ("{\"client_secret\":\"s2\"}\0\r\n;", "s2")]
    {
        bench.script.then(Reply::Say(200, &FIELDS, secret));
        renew(Arc::clone(&bench.tokens)).await;
        assert_eq!(stored_secret(&bench).await, expected);
    }
}

/// What is said to a registration that the bank answers so.
async fn refused(bench: &Bench, answer: Reply) -> String {
    bench.script.then(answer);
    with_causes(&bench.tokens.register("app", &|_| ()).await.unwrap_err())
}

#[tokio::test(start_paused = true)]
async fn where_the_credentials_are_not_found_the_fields_that_came_are_named_without_their_values() {
    let bench = registering();
    let nested = r#"{"data":{"client_id":"VALUE","keys":{"secret":"VALUE"}},"links":["VALUE"],"a\u001b":7}"#;
    let said = refused(&bench, Reply::Say(200, &FIELDS, nested)).await;
    for name in ["data.client_id", "data.keys.secret", "links", "a\\u{1b}", "200 OK"] {
        assert!(said.contains(name), "{name}: {said}");
    }
    assert!(!said.contains("VALUE"), "{said}");
    let pending = refused(&bench, Reply::Say(202, &FIELDS, r#"{"status":"pending","request_id":"7"}"#)).await;
    assert!(pending.contains("202 Accepted") && pending.contains("request_id, status"), "{pending}");
    let html = refused(&bench, Reply::Say(200, &FIELDS, "<html>")).await;
    assert!(html.contains("200 OK") && html.contains("JSON"), "{html}");
    let id_only = refused(&bench, Reply::Say(200, &FIELDS, r#"{"client_id":"i","clientKey":"VALUE"}"#)).await;
    assert!(id_only.contains("clientKey") && !id_only.contains("VALUE"), "{id_only}");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_nested_are_taken_by_their_path() {
    let bench = registering_as(|registration| {
        registration.take_client_id = vec!["client_id".into(), "data.client_id".into()];
        registration.take_client_secret = vec!["data.keys.secret".into()];
    });
    let answer = r#"{"data":{"client_id":"the-app","keys":{"secret":"s"}}}"#;
    bench.script.then(Reply::Say(200, &FIELDS, answer));
    assert_eq!(register(Arc::clone(&bench.tokens)).await.0, "the-app");
    assert_eq!(stored_secret(&bench).await, "s");
    bench.script.then(Reply::Say(
        200,
        &FIELDS,
        r#"{"data.keys.secret":"literal","data":{"keys":{"secret":"nested"}}}"#,
    ));
    renew(Arc::clone(&bench.tokens)).await;
    assert_eq!(stored_secret(&bench).await, "literal", "a field of the very name comes first");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_in_the_banks_words_whatever_form_they_have() {
    let bench = registering();
    let said = refused(&bench, Reply::Say(400, &FIELDS, r#"{"errors":[{"field":"email","text":"required"}]}"#)).await;
    assert!(said.contains("400 Bad Request") && said.contains("email") && said.contains("required"), "{said}");
    let said = refused(&bench, Reply::Say(422, &[], "the logo\n is\u{1b}[2J missing")).await;
    assert!(said.contains("the logo is\\u{1b}[2J missing"), "{said}");
    let said = refused(&bench, Reply::Say(400, &FIELDS, r#"{"error":"invalid","message":"no scope"}"#)).await;
    assert!(said.ends_with("400 Bad Request: invalid: no scope"), "{said}");
    let said = refused(&bench, Reply::Say(400, &[], LONG)).await;
    assert!(said.len() < 700, "{}", said.len());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_repeats_a_secret_is_told_without_its_words() {
    let mut code = by_code();
    (code.token.client_id, code.token.client_secret) = (None, None);
    code.token.token_headers.push(("API-key".into(), HeaderTemplate("key-1234".into())));
    let bench = registering_by(code, |_| ());
    for words in [
        r#"{"message":"key-1234 is unknown"}"#,
        "key-1234 is unknown",
        r#"["key\u002d1234"]"#,
        r#"{"client_secret":"s"}"#,
    ] {
        let said = refused(&bench, Reply::Say(403, &FIELDS, words)).await;
        assert!(said.ends_with("403 Forbidden"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_where_nothing_is_is_told_by_its_key_where_no_id_was_sent() {
    let bench = registering_as(|registration| registration.list = Some(url("/apps")));
    let said = refused(&bench, Reply::Say(404, &[], "")).await;
    assert!(said.contains("`registration.url`") && said.contains("404") && !said.contains("with this id"), "{said}");
    bench.script.then(Reply::Say(410, &[], ""));
    let said = with_causes(&bench.tokens.registrations(&|_| ()).await.unwrap_err());
    assert!(said.contains("`registration.list_url`") && said.contains("410"), "{said}");
}
