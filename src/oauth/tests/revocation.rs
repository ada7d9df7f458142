//! Grants that are removed at a bank which revokes by a DELETE with the access token.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::support::{Bench, Reply, bank, by_code, default, url};
use crate::config::{GrantType, Revocation};
use crate::oauth::{GrantError, Removal};

const OVER: &str = r#"{"error":"invalid_grant"}"#;

fn bench() -> Bench {
    let mut code = by_code();
    code.token.revocation = Some(Revocation::Delete(url("/token")));
    Bench::with(bank(GrantType::AuthorizationCode(Box::new(code))))
}

fn assert_deleted_by(bench: &Bench, authorization: &str) {
    bench.script.last(|seen| {
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("DELETE", "/token"));
        assert_eq!(seen.fields.get("authorization"), Some(authorization.as_bytes()));
    });
}

async fn assert_kept(bench: &Bench) {
    let error = bench.tokens.remove(&default(), false).await.unwrap_err();
    assert!(matches!(error, GrantError::NotRevoked(_)), "{error}");
    assert_eq!(bench.state().await, "active");
}

#[tokio::test(start_paused = true)]
async fn a_removed_grant_is_revoked_by_deleting_its_access_token() {
    for status in [200, 204] {
        let bench = bench();
        bench.import(300).await;
        bench.script.then(Reply::Say(status, &[], ""));
        bench.tokens.remove(&default(), false).await.unwrap();
        assert_deleted_by(&bench, "Bearer access-0");
        assert_eq!(bench.script.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_removes_a_grant_hears_whether_the_bank_was_told() {
    let removal = async |bench: &Bench, local| {
        bench.import(300).await;
        bench.tokens.remove(&default(), local).await.unwrap()
    };
    let silent = Bench::new();
    assert_eq!(removal(&silent, false).await, Removal::NoRevocation);
    assert_eq!(removal(&silent, true).await, Removal::Local);
    assert_eq!(silent.script.calls(), 0);
    let telling = bench();
    telling.script.then(Reply::Say(204, &[], ""));
    assert_eq!(removal(&telling, false).await, Removal::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_access_token_the_bank_does_not_take_is_renewed_to_be_revoked() {
    let bench = bench();
    bench.import(300).await;
    bench.script.then(Reply::Say(401, &[], "")).then(Reply::Tokens(300)).then(Reply::Say(204, &[], ""));
    bench.tokens.remove(&default(), false).await.unwrap();
    assert_deleted_by(&bench, "Bearer access-2");
    assert_eq!(bench.script.calls(), 3);
    assert!(bench.tokens.list().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_tokens_are_both_over_at_the_bank_needs_no_revoking() {
    for status in [401, 404, 410] {
        let bench = bench();
        bench.import(300).await;
        bench.script.then(Reply::Say(status, &[], "")).then(Reply::Say(400, &[], OVER));
        bench.tokens.remove(&default(), false).await.unwrap();
        assert!(bench.tokens.list().await.unwrap().is_empty());
    }
}

/// As a bank answers whose new release revokes elsewhere.
#[tokio::test(start_paused = true)]
async fn a_grant_is_kept_where_the_bank_finds_nothing_to_delete_by_a_token_that_it_gave_just_now() {
    for status in [404, 410] {
        let bench = bench();
        bench.import(300).await;
        bench.script.then(Reply::Say(status, &[], "")).then(Reply::Tokens(300)).then(Reply::Say(status, &[], ""));
        assert_kept(&bench).await;
        assert_eq!((bench.refresh_token().await.as_str(), bench.script.calls()), ("refresh-2", 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_token_is_not_taken_and_cannot_be_renewed_now_is_kept() {
    for failure in [Reply::Say(503, &[], ""), Reply::NotSent, Reply::Cut] {
        let bench = bench();
        bench.import(300).await;
        bench.script.then(Reply::Say(401, &[], "")).then(failure);
        let error = bench.tokens.remove(&default(), false).await.unwrap_err();
        assert!(matches!(error, GrantError::NotRevoked(_)), "{error}");
        assert_eq!((bench.refresh_token().await.as_str(), bench.script.calls()), ("refresh-0", 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_fresh_token_is_not_taken_either_is_kept_with_what_the_renewal_brought() {
    let bench = bench();
    bench.import(300).await;
    bench.script.then(Reply::Say(401, &[], "")).then(Reply::Tokens(300)).then(Reply::Say(401, &[], ""));
    assert_kept(&bench).await;
    assert_eq!((bench.refresh_token().await.as_str(), bench.script.calls()), ("refresh-2", 3));
    bench.tokens.remove(&default(), true).await.unwrap();
    assert_eq!(bench.script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_grant_without_a_refresh_token_is_over_where_the_bank_and_the_clock_say_so() {
    let bench = bench();
    bench.tokens.import(&default(), br#"{"access_token":"a1","expires_in":300}"#).await.unwrap();
    bench.script.always(|| Reply::Say(401, &[], ""));
    assert_kept(&bench).await;
    sleep(Duration::from_secs(301)).await;
    bench.tokens.remove(&default(), false).await.unwrap();
    assert_deleted_by(&bench, "Bearer a1");
    assert_eq!(bench.script.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_is_given_while_the_former_one_is_renewed_to_be_revoked_stays() {
    let bench = bench();
    let (other, _store) = bench.another();
    bench.import(300).await;
    let slowly = Reply::After(Duration::from_secs(4), Box::new(Reply::Tokens(300)));
    bench.script.then(Reply::Say(401, &[], "")).then(slowly);
    let tokens = Arc::clone(&bench.tokens);
    let removal = tokio::spawn(async move { tokens.remove(&default(), false).await });
    sleep(Duration::from_secs(1)).await;
    other.import(&default(), br#"{"access_token":"new","refresh_token":"r","expires_in":300}"#).await.unwrap();
    assert!(matches!(removal.await.unwrap(), Err(GrantError::GivenAnew)));
    assert_eq!((bench.refresh_token().await.as_str(), bench.script.calls()), ("r", 2), "the new one is not revoked");
}
