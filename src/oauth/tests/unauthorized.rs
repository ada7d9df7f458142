//! What a 401 of the bank leads to.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::support::{Bench, Reply, default, sent};
use crate::oauth::TokenError;
use crate::words::Token;

/// A grant that lives long, and its token.
async fn valid() -> (Bench, Arc<Token>) {
    let bench = Bench::new();
    bench.import(86_400).await;
    let token = bench.tokens.get(&default()).await.unwrap();
    (bench, token)
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_good_is_renewed_once_for_all_who_met_a_401() {
    let (bench, token) = valid().await;
    token.mark_accepted();
    bench.script.then(Reply::After(Duration::from_millis(200), Box::new(Reply::Tokens(300))));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (tokens, token) = (Arc::clone(&bench.tokens), Arc::clone(&token));
        callers.spawn(
            async move { tokens.after_unauthorized(&default(), &token, false).await.unwrap().map(|t| sent(&t)) },
        );
    }
    assert!(callers.join_all().await.iter().all(|token| token.as_deref() == Some("access-1")));
    let late = bench.tokens.after_unauthorized(&default(), &token, true).await.unwrap().unwrap();
    assert_eq!((sent(&late).as_str(), bench.script.calls()), ("access-1", 1), "the newer token is taken");
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_that_the_bank_never_took_and_a_scope_that_lacks_renew_nothing() {
    let (bench, token) = valid().await;
    assert!(bench.tokens.after_unauthorized(&default(), &token, false).await.unwrap().is_none());
    sleep(Duration::from_secs(4)).await;
    assert!(bench.tokens.after_unauthorized(&default(), &token, true).await.unwrap().is_none());
    assert_eq!(bench.script.calls(), 0);
    bench.script.then(Reply::Tokens(300));
    assert!(
        bench.tokens.after_unauthorized(&default(), &token, false).await.unwrap().is_some(),
        "it is older than 3 s by now"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_issued_before_the_clock_was_set_back_is_renewed() {
    let bench = Bench::new();
    bench.import(86_400).await;
    bench.execute("UPDATE grants SET issued_at = issued_at + 7200000, expires_at = expires_at + 7200000");
    let token = bench.tokens.get(&default()).await.unwrap();
    bench.script.then(Reply::Tokens(300));
    assert!(bench.tokens.after_unauthorized(&default(), &token, false).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn three_renewals_a_minute_are_made_for_this_cause() {
    let (bench, mut token) = valid().await;
    bench.script.always(|| Reply::Tokens(86_400));
    for _ in 0..3 {
        token.mark_accepted();
        token = bench.tokens.after_unauthorized(&default(), &token, false).await.unwrap().unwrap();
    }
    token.mark_accepted();
    assert!(bench.tokens.after_unauthorized(&default(), &token, false).await.unwrap().is_none());
    assert_eq!(bench.script.calls(), 3);
    sleep(Duration::from_secs(61)).await;
    assert!(bench.tokens.after_unauthorized(&default(), &token, false).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_ended_on_its_way_is_renewed_like_any_that_has_ended() {
    let bench = Bench::new();
    bench.import(1).await;
    bench.script.always(|| Reply::Tokens(1));
    let mut token = bench.tokens.get(&default()).await.unwrap();
    // Neither settled nor ever accepted, and more often than 401s may cause renewals.
    for _ in 0..5 {
        sleep(Duration::from_millis(1100)).await;
        assert!(
            bench.tokens.after_unauthorized(&default(), &token, true).await.unwrap().is_none(),
            "it would lack the scope too"
        );
        token = bench.tokens.after_unauthorized(&default(), &token, false).await.unwrap().unwrap();
    }
    assert_eq!(bench.script.calls(), 5);
    bench.script.then(Reply::Say(400, &[], r#"{"error":"invalid_grant"}"#));
    sleep(Duration::from_millis(1100)).await;
    let ended = bench.tokens.after_unauthorized(&default(), &token, false).await;
    assert_eq!(ended.unwrap_err(), TokenError::NeedsAuthorization, "what is told is why there is no token");
}

#[tokio::test(start_paused = true)]
async fn a_newer_token_of_another_process_is_found_even_where_no_renewal_is_allowed() {
    let (bench, token) = valid().await;
    bench.script.then(Reply::Tokens(86_400));
    bench.another().0.renew(&default()).await.unwrap();
    let newer = bench.tokens.after_unauthorized(&default(), &token, true).await.unwrap().unwrap();
    assert_eq!((sent(&newer).as_str(), bench.script.calls()), ("access-1", 1));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_bank_refuses_for_good_is_given_no_more() {
    let (bench, token) = valid().await;
    token.mark_accepted();
    bench.script.then(Reply::Say(400, &[], r#"{"error":"invalid_grant"}"#));
    assert!(bench.tokens.after_unauthorized(&default(), &token, false).await.unwrap().is_none());
    assert_eq!(bench.tokens.get(&default()).await.unwrap_err(), TokenError::NeedsAuthorization);
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_endpoint_fails_the_token_stays_in_use() {
    let (bench, token) = valid().await;
    token.mark_accepted();
    bench.script.always(|| Reply::Say(500, &[], ""));
    for _ in 0..10 {
        assert!(bench.tokens.after_unauthorized(&default(), &token, false).await.unwrap().is_none());
        assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-0");
    }
    assert_eq!(bench.script.calls(), 1, "the wait holds for 401s too");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_renewed_stays_in_use_after_a_401() {
    let bench = Bench::new();
    bench.tokens.import(&default(), br#"{"access_token":"alone","expires_in":300}"#).await.unwrap();
    let token = bench.tokens.get(&default()).await.unwrap();
    token.mark_accepted();
    assert!(bench.tokens.after_unauthorized(&default(), &token, false).await.unwrap().is_none());
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "alone");
}
