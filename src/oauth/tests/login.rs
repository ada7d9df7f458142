//! Logins, from the authorization URL to the kept grant.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::support::{Bench, Reply, bank, by_code, by_credentials, default, sent, url};
use crate::config::{AuthorizationCode, GrantType, HeaderTemplate, Session};
use crate::oauth::{LoginError, TokenError, bank_of_callback};
use crate::store::{RegisteredClient, Store};
use crate::words::with_causes;

pub(super) fn bench(change: impl FnOnce(&mut AuthorizationCode)) -> Bench {
    let mut code = by_code();
    change(&mut code);
    Bench::with(bank(GrantType::AuthorizationCode(Box::new(code))))
}

/// Begins a login; the parameters of its address.
pub(super) async fn begin(bench: &Bench) -> BTreeMap<String, String> {
    let authorization = bench.tokens.begin_login(&default()).await.unwrap();
    let (_, query) = authorization.url.split_once('?').unwrap();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

pub(super) fn callback(parameters: &BTreeMap<String, String>) -> String {
    format!("https://redirect.website/callback?code=the-code&state={}", parameters["state"])
}

#[tokio::test(start_paused = true)]
async fn the_address_has_all_parameters_properly_encoded() {
    let bench = bench(|code| {
        code.authorize_params.insert("access_type".into(), "offline".into());
        code.authorize_url = url("/authorize?tenant=1");
    });
    let authorization = bench.tokens.begin_login(&default()).await.unwrap();
    let expected = "https://bank.example/authorize?tenant=1&response_type=code&client_id=xxxx1234\
                    &redirect_uri=https%3A%2F%2Fredirect.website%2Fcallback&scope=ais+AIS%3A+7&state=";
    assert!(authorization.url.starts_with(expected), "{}", authorization.url);
    assert!(authorization.url.ends_with("&access_type=offline"));
    assert_eq!(bench.script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_login_ends_with_a_kept_grant_and_works_from_another_process() {
    let bench = bench(|_| ());
    let parameters = begin(&bench).await;
    bench.script.then(Reply::Tokens(300));
    let (other, store) = bench.another();
    assert_eq!(bank_of_callback(&*store, &callback(&parameters)).await.unwrap(), bench.bank.name);
    assert_eq!(other.finish_login(&callback(&parameters)).await.unwrap(), default());
    let content = &bench.script.contents()[0];
    assert!(content.starts_with("grant_type=authorization_code&code=the-code&redirect_uri=https%3A%2F%2Fredirect"));
    assert!(!content.contains("code_verifier"));
    let coding = bench.script.last(|seen| seen.fields.get("Accept-Encoding").map(<[u8]>::to_vec));
    assert_eq!(coding.as_deref(), Some(&b"identity"[..]), "nothing here decodes an answer");
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-1");
    let report = bench.tokens.show(&default()).await.unwrap();
    assert_eq!(report.scopes, ["ais", "AIS: 7"]);
    assert!(report.consent_until.unwrap().since(bench.clock.now()) > Duration::from_hours(2136));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_used_or_old_state_is_refused_without_a_call() {
    let bench = bench(|_| ());
    let parameters = begin(&bench).await;
    bench.script.then(Reply::Tokens(300));
    bench.tokens.finish_login(&callback(&parameters)).await.unwrap();
    let old = begin(&bench).await;
    sleep(Duration::from_secs(1801)).await;
    for wrong in [callback(&parameters), callback(&old), "?code=c&state=guess".into()] {
        let error = bench.tokens.finish_login(&wrong).await.unwrap_err();
        assert!(matches!(error, LoginError::UnknownState), "{error}");
        assert!(matches!(bank_of_callback(&*bench.store, &wrong).await, Err(LoginError::UnknownState)));
    }
    assert!(matches!(bench.tokens.finish_login("nonsense").await, Err(LoginError::NotACallback(_))));
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_two_who_finish_the_same_login_at_once_one_asks_the_bank() {
    let bench = bench(|_| ());
    let callback = callback(&begin(&bench).await);
    bench.script.then(Reply::Tokens(300));
    let (other, _store) = bench.another();
    let (one, two) = tokio::join!(bench.tokens.finish_login(&callback), other.finish_login(&callback));
    assert!(one.is_ok() != two.is_ok());
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_session_step_is_made_anew_for_each_attempt_and_its_value_is_sent() {
    let step = Session {
        url: url("/generate/auth-id"),
        params: [("client_id".to_owned(), "{client_id}".to_owned())].into(),
        field: vec!["auth_id".into(), "auth-id".into()],
        send_as: "auth_id".into(),
    };
    let bench = bench(|code| code.session = Some(step));
    bench.script.then(Reply::Say(200, &[], "\u{feff}{\"auth-id\":\"first one\"}\0"));
    bench.script.then(Reply::Say(200, &[], r#"{"auth_id":"second"}"#));
    assert_eq!(begin(&bench).await["auth_id"], "first one");
    bench.script.last(|seen| {
        assert_eq!((seen.path.as_str(), seen.content.as_str()), ("/generate/auth-id", "client_id=xxxx1234"));
    });
    assert_eq!(begin(&bench).await["auth_id"], "second");
    for bad in [Reply::Say(403, &[], "{}"), Reply::Say(200, &[], "<html>"), Reply::Say(200, &[], "{}"), Reply::Cut] {
        bench.script.then(bad);
        let error = bench.tokens.begin_login(&default()).await.unwrap_err();
        assert!(matches!(error, LoginError::Session(_)), "{error}");
    }
}

fn session_step() -> Session {
    let params = [("client_id".to_owned(), "{client_id}".to_owned()), ("pass".to_owned(), "hunter2".to_owned())];
    Session { url: url("/session"), params: params.into(), field: vec!["id".into()], send_as: "id".into() }
}

#[tokio::test(start_paused = true)]
async fn the_session_step_has_the_field_lines_of_a_token_request() {
    let bench = bench(|code| {
        code.session = Some(session_step());
        code.token.token_headers.push(("API-key".into(), HeaderTemplate("k-123".into())));
        code.token.token_headers.push(("X-Request-ID".into(), HeaderTemplate("{uuid}".into())));
    });
    bench.script.then(Reply::Say(200, &[], r#"{"id":"1"}"#));
    begin(&bench).await;
    bench.script.last(|seen| {
        assert_eq!(seen.fields.get("api-key"), Some(&b"k-123"[..]));
        assert_eq!(seen.fields.get("x-request-id").map(<[u8]>::len), Some(36));
    });
}

#[tokio::test(start_paused = true)]
async fn a_refused_session_is_told_with_the_banks_words_unless_they_repeat_a_secret() {
    let bench = bench(|code| {
        code.session = Some(session_step());
        code.token.token_headers.push(("API-key".into(), HeaderTemplate("Key k-123".into())));
    });
    let told = async |content: &'static str| {
        bench.script.then(Reply::Say(403, &[], content));
        bench.tokens.begin_login(&default()).await.unwrap_err().to_string()
    };
    let said = told(r#"{"error":"invalid_client","error_description":"xxxx1234 is\u001b[2J not registered"}"#).await;
    assert!(said.ends_with("403 Forbidden: invalid_client: xxxx1234 is\\u{1b}[2J not registered"), "{said}");
    assert!(told(r#"{"message":"not from here"}"#).await.ends_with("403 Forbidden: not from here"));
    for silent in [
        r#"{"message":"the key k-123 is blocked"}"#,
        r#"{"message":"the password hunter2 is old"}"#,
        "<html>k-123</html>",
        r#"{"error":"Not A Code"}"#,
    ] {
        assert!(told(silent).await.ends_with("403 Forbidden"), "{silent}");
    }
    let long = Box::leak(format!(r#"{{"message":"{}"}}"#, "x".repeat(5000)).into_boxed_str());
    assert!(told(long).await.len() < 300);
}

#[tokio::test(start_paused = true)]
async fn with_pkce_the_verifier_matches_the_challenge() {
    use base64::Engine;
    let bench = bench(|code| code.pkce = true);
    let parameters = begin(&bench).await;
    assert_eq!(parameters["code_challenge_method"], "S256");
    bench.script.then(Reply::Tokens(300));
    bench.tokens.finish_login(&callback(&parameters)).await.unwrap();
    let form: BTreeMap<_, _> =
        bench.script.last(|seen| form_urlencoded::parse(seen.content.as_bytes()).into_owned().collect());
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, form["code_verifier"].as_bytes());
    let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash);
    assert_eq!(parameters["code_challenge"], challenge);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_the_person_is_told_and_uses_the_attempt_up() {
    let bench = bench(|_| ());
    let parameters = begin(&bench).await;
    let denied = format!("?error=access_denied&state={}", parameters["state"]);
    let error = bench.tokens.finish_login(&denied).await.unwrap_err();
    assert!(matches!(error, LoginError::Denied { ref error } if error == "access_denied"));
    assert!(matches!(bench.tokens.finish_login(&callback(&parameters)).await, Err(LoginError::UnknownState)));
    assert_eq!(bench.script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_another_issuer_is_refused_without_a_call() {
    let bench = bench(|code| code.issuer = Some("https://bank.example".into()));
    let wrong = callback(&begin(&bench).await) + "&iss=https%3A%2F%2Fevil.example";
    assert!(matches!(bench.tokens.finish_login(&wrong).await, Err(LoginError::WrongIssuer)));
    assert_eq!(bench.script.calls(), 0);
    assert!(matches!(bench.tokens.finish_login(&wrong).await, Err(LoginError::UnknownState)), "it is used up");
    bench.script.always(|| Reply::Tokens(300));
    let right = callback(&begin(&bench).await) + "&iss=https%3A%2F%2Fbank.example";
    bench.tokens.finish_login(&right).await.unwrap();
    bench.tokens.finish_login(&callback(&begin(&bench).await)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_code_is_sent_again_only_if_it_did_not_leave() {
    let bench = bench(|_| ());
    bench.script.then(Reply::NotSent).then(Reply::Tokens(300));
    bench.tokens.finish_login(&callback(&begin(&bench).await)).await.unwrap();
    assert_eq!(bench.script.calls(), 2);
    for failure in [Reply::Cut, Reply::Say(400, &[], r#"{"error":"invalid_grant"}"#), Reply::Say(200, &[], "x")] {
        let before = bench.script.calls();
        bench.script.then(failure);
        let error = bench.tokens.finish_login(&callback(&begin(&bench).await)).await.unwrap_err();
        assert!(matches!(error, LoginError::Exchange(_)), "{error}");
        assert_eq!(bench.script.calls(), before + 1);
    }
    assert_eq!(bench.state().await, "active", "a login that failed takes nothing away");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_does_not_lose_the_grant() {
    let bench = bench(|_| ());
    let callback = callback(&begin(&bench).await);
    bench.script.then(Reply::After(Duration::from_secs(2), Box::new(Reply::Tokens(300))));
    let finish = bench.tokens.finish_login(&callback);
    assert!(tokio::time::timeout(Duration::from_secs(1), finish).await.is_err());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-1");
}

#[tokio::test(start_paused = true)]
async fn tokens_that_the_store_does_not_take_are_kept_until_it_does() {
    let bench = bench(|_| ());
    let callback = callback(&begin(&bench).await);
    bench.execute("CREATE TRIGGER full BEFORE INSERT ON grants BEGIN SELECT raise(ABORT, 'disk full'); END");
    bench.script.then(Reply::Tokens(300));
    let finish = bench.tokens.finish_login(&callback);
    let mut finish = std::pin::pin!(finish);
    assert!(tokio::time::timeout(Duration::from_mins(1), &mut finish).await.is_err(), "the code is spent");
    bench.execute("DROP TRIGGER full");
    assert_eq!(finish.await.unwrap(), default());
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-1");
    assert_eq!((bench.refresh_token().await.as_str(), bench.script.calls()), ("refresh-1", 1));
}

#[tokio::test(start_paused = true)]
async fn the_client_that_was_registered_is_used_and_without_one_there_is_no_login() {
    let bench = bench(|code| (code.token.client_id, code.token.client_secret) = (None, None));
    assert!(matches!(bench.tokens.begin_login(&default()).await, Err(LoginError::NoClient)));
    let client = RegisteredClient {
        client_id: "registered".into(),
        client_secret: Some("its-secret".into()),
        registered_at: bench.clock.now(),
    };
    bench.store.put_client(&bench.bank.name, client).await.unwrap();
    let parameters = begin(&bench).await;
    assert_eq!(parameters["client_id"], "registered");
    bench.script.then(Reply::Tokens(300));
    bench.tokens.finish_login(&callback(&parameters)).await.unwrap();
    assert!(bench.script.contents()[0].ends_with("&client_id=registered&client_secret=its-secret"));
}

#[tokio::test(start_paused = true)]
async fn a_client_without_the_secret_that_it_needs_asks_the_bank_for_nothing() {
    let bench = bench(|code| (code.token.client_id, code.token.client_secret) = (None, None));
    bench.import(60).await;
    let registered_at = bench.clock.now();
    let mut client = RegisteredClient { client_id: "registered".into(), client_secret: None, registered_at };
    bench.store.put_client(&bench.bank.name, client.clone()).await.unwrap();
    assert!(matches!(bench.tokens.begin_login(&default()).await, Err(LoginError::NoSecret)));
    let error = bench.tokens.renew(&default()).await.unwrap_err();
    assert!(with_causes(&error).contains("no client secret"), "{error}");
    assert_eq!(bench.script.calls(), 0);

    client.client_secret = Some("its-secret".into());
    bench.store.put_client(&bench.bank.name, client).await.unwrap();
    bench.script.then(Reply::Tokens(300));
    bench.tokens.renew(&default()).await.unwrap();
    assert!(bench.script.contents()[0].ends_with("&client_id=registered&client_secret=its-secret"));
}

#[tokio::test(start_paused = true)]
async fn grants_that_need_no_person_have_no_login() {
    let bench = Bench::with(bank(by_credentials()));
    assert!(matches!(bench.tokens.begin_login(&default()).await, Err(LoginError::NotByPersons)));
    assert!(matches!(bench.tokens.finish_login("?code=c&state=s").await, Err(LoginError::NotByPersons)));
}

#[tokio::test(start_paused = true)]
async fn a_login_whose_tokens_the_store_takes_late_does_not_replace_a_newer_consent() {
    let bench = bench(|_| ());
    let (other, _store) = bench.another();
    let parameters = begin(&bench).await;
    bench.execute("CREATE TRIGGER away BEFORE INSERT ON grants BEGIN SELECT RAISE(ABORT, 'away'); END");
    bench.script.then(Reply::Tokens(2));
    let tokens = std::sync::Arc::clone(&bench.tokens);
    let login = tokio::spawn(async move { tokens.finish_login(&callback(&parameters)).await });
    sleep(Duration::from_millis(50)).await;
    bench.execute("DROP TRIGGER away");
    other.import(&default(), br#"{"access_token":"newer","refresh_token":"r","expires_in":300}"#).await.unwrap();
    assert_eq!(login.await.unwrap().unwrap(), default());
    assert_eq!(
        (sent(&bench.tokens.get(&default()).await.unwrap()), bench.refresh_token().await),
        ("newer".into(), "r".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_code_that_the_bank_has_no_time_for_is_sent_again_in_a_while() {
    for (busy, least) in [
        (Reply::Say(429, &[("Retry-After", "3")], ""), 3),
        (Reply::Say(503, &[("Retry-After", "2")], "<html>maintenance</html>"), 2),
        (Reply::Say(429, &[("Retry-After", "3600")], r#"{"error":"slow_down"}"#), 5),
        (Reply::Say(503, &[], ""), 1),
    ] {
        let bench = bench(|_| ());
        let callback = callback(&begin(&bench).await);
        bench.script.then(busy).then(Reply::Tokens(300));
        let begun = Instant::now();
        bench.tokens.finish_login(&callback).await.unwrap();
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(least) && took < Duration::from_secs(11), "{took:?}");
        assert_eq!((bench.script.calls(), bench.state().await.as_str()), (2, "active"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_is_given_up_after_a_few_tries_and_at_once_where_it_may_be_spent() {
    let bench = bench(|_| ());
    let callback_address = callback(&begin(&bench).await);
    bench.script.always(|| Reply::Say(503, &[], ""));
    let error = bench.tokens.finish_login(&callback_address).await.unwrap_err();
    assert!(with_causes(&error).contains("503"), "{error}");
    assert_eq!(bench.script.calls(), 4);
    for spent in [Reply::Say(500, &[], ""), Reply::Say(502, &[], "<html>"), Reply::Say(504, &[], "")] {
        let before = bench.script.calls();
        let address = callback(&begin(&bench).await);
        bench.script.then(spent);
        assert!(bench.tokens.finish_login(&address).await.is_err());
        assert_eq!(bench.script.calls(), before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_ended_before_it_came_is_not_taken_for_one_without_an_end() {
    let bench = bench(|_| ());
    let callback = callback(&begin(&bench).await);
    bench.script.then(Reply::Say(200, &[], r#"{"access_token":"a","expires_in":0}"#));
    bench.tokens.finish_login(&callback).await.unwrap();
    assert_eq!(bench.state().await, "active");
    sleep(Duration::from_secs(61)).await;
    assert_eq!(bench.state().await, "expired");
    assert_eq!(bench.tokens.get(&default()).await.unwrap_err(), TokenError::NeedsAuthorization);
}
