//! Grants as people handle them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::support::{Bench, Reply, bank, by_code, by_credentials, default, text, url};
use crate::config::{GrantType, Revocation};
use crate::oauth::{GrantError, TokenError};

fn revocable(revocation: Revocation) -> Bench {
    let mut code = by_code();
    code.token.revocation = Some(revocation);
    Bench::with(bank(GrantType::AuthorizationCode(Box::new(code))))
}

#[tokio::test(start_paused = true)]
async fn a_token_response_is_imported_listed_and_shown_without_its_tokens() {
    let bench = Bench::new();
    let response = br#"{"access_token":"a1","refresh_token":"r1","expires_in":60,"scope":"aisp"}"#;
    bench.tokens.import(&"customer-42".parse().unwrap(), response).await.unwrap();
    bench.import(300).await;
    let list = bench.tokens.list().await.unwrap();
    assert_eq!(list.iter().map(|report| report.grant.as_str()).collect::<Vec<_>>(), ["customer-42", "default"]);
    assert_eq!((list[0].state.name(), &list[0].scopes[..]), ("active", &["aisp".to_owned()][..]));
    assert!(list[0].consent_until.is_some() && list[0].expires_at.is_some());
    assert!(!format!("{list:?}").contains("a1"));
    let revealed = bench.tokens.reveal(&"customer-42".parse().unwrap()).await.unwrap();
    assert_eq!(text(&revealed.access_token.unwrap()), "a1");
    assert!(matches!(bench.tokens.show(&"other".parse().unwrap()).await, Err(GrantError::Missing)));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_token_response_is_not_imported_and_takes_nothing_away() {
    let bench = Bench::new();
    bench.import(300).await;
    for bad in [&b""[..], b"{}", b"token", br#"{"access_token":"a b"}"#, b"\xff"] {
        let error = bench.tokens.import(&default(), bad).await.unwrap_err();
        assert!(matches!(error, GrantError::Import(_)), "{error}");
    }
    assert_eq!(bench.refresh_token().await, "refresh-0");
}

#[tokio::test(start_paused = true)]
async fn an_import_that_the_store_takes_late_does_not_bring_back_a_refresh_token_that_was_renewed_since() {
    let bench = Bench::new();
    bench.execute("CREATE TRIGGER away BEFORE INSERT ON grants BEGIN SELECT RAISE(ABORT, 'away'); END");
    let tokens = Arc::clone(&bench.tokens);
    let response = br#"{"refresh_token":"spent"}"#;
    let import = tokio::spawn(async move { tokens.import(&default(), response).await });
    sleep(Duration::from_millis(50)).await;
    bench.execute("DROP TRIGGER away");
    // As if the first try had counted without a word of it.
    let (other, _store) = bench.another();
    other.import(&default(), response).await.unwrap();
    bench.script.then(Reply::Tokens(300));
    other.renew(&default()).await.unwrap();
    assert_eq!(import.await.unwrap().unwrap().state.name(), "active");
    assert_eq!(bench.refresh_token().await, "refresh-1");
}

#[tokio::test(start_paused = true)]
async fn an_import_begins_only_where_the_store_can_be_read() {
    let bench = Bench::new();
    bench.execute("ALTER TABLE grants RENAME TO elsewhere");
    let error = bench.tokens.import(&default(), br#"{"refresh_token":"r"}"#).await.unwrap_err();
    assert!(matches!(error, GrantError::Store(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_alone_is_imported_and_used_at_once() {
    let bench = Bench::new();
    bench.tokens.import(&default(), br#"{"refresh_token":"saved"}"#).await.unwrap();
    assert_eq!(bench.state().await, "expired");
    bench.script.then(Reply::Tokens(300));
    bench.tokens.get(&default()).await.unwrap();
    assert!(bench.script.contents()[0].contains("refresh_token=saved&"));
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_renewed_when_a_person_says_so_even_during_a_wait() {
    let bench = Bench::new();
    bench.import(300).await;
    bench.script.then(Reply::Say(500, &[], "")).then(Reply::Tokens(300));
    let error = bench.tokens.renew(&default()).await.unwrap_err();
    assert!(matches!(error, GrantError::Token(TokenError::Unavailable { .. })), "{error}");
    assert_eq!(bench.tokens.renew(&default()).await.unwrap().state.name(), "active");
    assert_eq!((bench.refresh_token().await.as_str(), bench.script.calls()), ("refresh-2", 2));
    assert!(matches!(bench.tokens.renew(&"other".parse().unwrap()).await, Err(GrantError::Missing)));
}

#[tokio::test(start_paused = true)]
async fn a_removed_grant_is_revoked_by_its_refresh_token() {
    let bench = revocable(Revocation::Rfc7009(url("/revoke")));
    bench.import(300).await;
    bench.script.then(Reply::Say(200, &[], ""));
    bench.tokens.get(&default()).await.unwrap();
    bench.tokens.remove(&default(), false).await.unwrap();
    bench.script.last(|seen| {
        assert_eq!(seen.path, "/revoke");
        assert!(seen.content.starts_with("token=refresh-0&token_type_hint=refresh_token&client_id=xxxx1234&"));
    });
    assert_eq!(bench.tokens.get(&default()).await.unwrap_err(), TokenError::NeedsAuthorization);
    assert!(matches!(bench.tokens.remove(&default(), false).await, Err(GrantError::Missing)));
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_removed_during_its_renewal_is_revoked_by_what_the_renewal_brings() {
    let bench = revocable(Revocation::Rfc7009(url("/revoke")));
    let (other, _store) = bench.another();
    bench.import(300).await;
    bench.script.then(Reply::After(Duration::from_secs(5), Box::new(Reply::Tokens(300)))).then(Reply::Say(
        200,
        &[],
        "",
    ));
    let tokens = Arc::clone(&bench.tokens);
    let renewal = tokio::spawn(async move { tokens.renew(&default()).await });
    sleep(Duration::from_secs(1)).await;
    other.remove(&default(), false).await.unwrap();
    bench.script.last(|seen| {
        assert_eq!(seen.path, "/revoke");
        assert!(seen.content.starts_with("token=refresh-1&"), "{}", seen.content);
    });
    renewal.await.unwrap().unwrap();
    assert!(bench.tokens.list().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_is_given_while_the_former_one_is_revoked_stays() {
    let bench = revocable(Revocation::Rfc7009(url("/revoke")));
    let (other, _store) = bench.another();
    bench.import(300).await;
    bench.script.then(Reply::After(Duration::from_secs(4), Box::new(Reply::Say(200, &[], ""))));
    let tokens = Arc::clone(&bench.tokens);
    let removal = tokio::spawn(async move { tokens.remove(&default(), false).await });
    sleep(Duration::from_secs(1)).await;
    other.import(&default(), br#"{"access_token":"new","refresh_token":"r","expires_in":300}"#).await.unwrap();
    assert!(matches!(removal.await.unwrap(), Err(GrantError::GivenAnew)));
    assert_eq!((bench.state().await.as_str(), bench.refresh_token().await.as_str()), ("active", "r"));
    assert_eq!(bench.script.calls(), 1, "the new one is not revoked");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_begins_while_its_grant_is_revoked_is_revoked_too() {
    let bench = revocable(Revocation::Rfc7009(url("/revoke")));
    let (other, _store) = bench.another();
    bench.import(300).await;
    bench
        .script
        .then(Reply::After(Duration::from_secs(4), Box::new(Reply::Say(200, &[], ""))))
        .then(Reply::Tokens(300));
    bench.script.then(Reply::Say(200, &[], ""));
    let tokens = Arc::clone(&bench.tokens);
    let removal = tokio::spawn(async move { tokens.remove(&default(), false).await });
    sleep(Duration::from_secs(1)).await;
    other.renew(&default()).await.unwrap();
    removal.await.unwrap().unwrap();
    bench.script.last(|seen| assert!(seen.content.starts_with("token=refresh-2&"), "{}", seen.content));
    assert!(bench.tokens.list().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_the_bank_did_not_revoke_is_kept_unless_it_need_not_know() {
    let bench = revocable(Revocation::Rfc7009(url("/revoke")));
    bench.import(300).await;
    // RFC 7009 knows no 404: the endpoint is elsewhere.
    for failure in [Reply::Say(503, &[], ""), Reply::Say(404, &[], ""), Reply::NotSent, Reply::Cut] {
        bench.script.then(failure);
        let error = bench.tokens.remove(&default(), false).await.unwrap_err();
        assert!(matches!(error, GrantError::NotRevoked(_)), "{error}");
    }
    assert_eq!(bench.state().await, "active");
    bench.tokens.remove(&default(), true).await.unwrap();
    assert_eq!(bench.script.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn configured_grants_are_listed_before_they_are_used() {
    let bench = Bench::with(bank(by_credentials()));
    let list = bench.tokens.list().await.unwrap();
    assert_eq!((list.len(), list[0].state.name(), list[0].consent_until), (1, "expired", None));
    bench.script.then(Reply::Tokens(300));
    bench.tokens.renew(&default()).await.unwrap();
    let list = bench.tokens.list().await.unwrap();
    assert_eq!((list.len(), list[0].state.name(), list[0].consent_until), (1, "active", None));
    assert_eq!(list[0].scopes, ["aisp"]);
}

#[tokio::test(start_paused = true)]
async fn fixed_tokens_are_listed_and_cannot_be_changed() {
    let given = [("aisp".parse().unwrap(), "token-aisp".into())].into();
    let bench = Bench::with(bank(GrantType::Fixed(given)));
    let grant = "aisp".parse().unwrap();
    assert_eq!(bench.tokens.show(&grant).await.unwrap().state.name(), "active");
    assert!(matches!(bench.tokens.import(&grant, b"{}").await, Err(GrantError::Fixed)));
    assert!(matches!(bench.tokens.renew(&grant).await, Err(GrantError::Fixed)));
    assert!(matches!(bench.tokens.remove(&grant, false).await, Err(GrantError::Fixed)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(text(&bench.tokens.reveal(&grant).await.unwrap().access_token.unwrap()), "token-aisp");
}

/// As the operator's API does when its caller hangs up.
#[tokio::test(start_paused = true)]
async fn a_grant_that_was_revoked_is_removed_whoever_hangs_up() {
    let bench = revocable(Revocation::Rfc7009(url("/revoke")));
    bench.import(300).await;
    bench.script.then(Reply::After(Duration::from_secs(2), Box::new(Reply::Say(200, &[], ""))));
    let default = default();
    let removal = bench.tokens.remove(&default, false);
    assert!(tokio::time::timeout(Duration::from_secs(1), removal).await.is_err());
    assert_eq!(bench.script.calls(), 1, "the bank revokes it");
    sleep(Duration::from_secs(5)).await;
    assert!(matches!(bench.tokens.show(&default).await, Err(GrantError::Missing)), "{}", bench.state().await);
}
