//! Registrations whose calls cross.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use tokio::time::sleep;

use super::support::{Bench, Reply, bank, by_code, place, text, url};
use crate::config::{GrantType, Registration, RegistrationFormat};
use crate::oauth::Tokens;
use crate::store::Store;

const FIELDS: [(&str, &str); 1] = [("Content-Type", "application/json")];

/// A bank that registers apps, and renews secrets.
fn registering() -> Bench {
    let mut code = by_code();
    (code.token.client_id, code.token.client_secret) = (None, None);
    let mut bank = bank(GrantType::AuthorizationCode(Box::new(code)));
    bank.registration = Some(Registration {
        place: place(),
        url: url("/apps"),
        format: RegistrationFormat::Json,
        fields: serde_json::Map::new(),
        take_client_id: vec!["client_id".into()],
        take_client_secret: vec!["client_secret".into()],
        renew: Some((Method::POST, url("/apps/{client_id}/renew"))),
        list: None,
        delete: None,
    });
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
