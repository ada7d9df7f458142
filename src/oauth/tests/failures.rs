//! The three kinds of failure: over, not now, unknown.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::support::{Bench, Reply, bank, by_credentials, default, sent};
use crate::oauth::TokenError;
use crate::oauth::renewal::HOLD;
use crate::store::{Claim, Claimant, Store};

/// A grant whose token has just ended.
async fn expired() -> Bench {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench
}

#[tokio::test(start_paused = true)]
async fn only_what_the_bank_says_of_a_refresh_token_ends_a_grant() {
    for (status, body) in [
        (400, r#"{"error":"invalid_grant","error_description":"refresh-0 was used"}"#),
        (401, r#"{"error":"invalid_request"}"#),
    ] {
        let bench = expired().await;
        bench.script.then(Reply::Say(status, &[], body));
        assert_eq!(bench.tokens.get(&default()).await.unwrap_err(), TokenError::NeedsAuthorization);
        assert_eq!(bench.state().await, "needs_authorization");
        sleep(Duration::from_mins(1)).await;
        assert_eq!(bench.tokens.get(&default()).await.unwrap_err(), TokenError::NeedsAuthorization);
        assert_eq!(bench.script.calls(), 1, "the bank is not asked again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_a_wrong_client_ended_is_renewed_where_a_person_says_so() {
    let bench = expired().await;
    let refused =
        || Reply::Say(400, &[], r#"{"error":"invalid_grant","error_description":"issued to another client"}"#);
    bench.script.then(refused());
    assert!(bench.tokens.get(&default()).await.is_err());
    bench.script.then(refused());
    assert!(bench.tokens.renew(&default()).await.is_err());
    assert_eq!(bench.state().await, "needs_authorization");
    bench.script.then(Reply::Tokens(300));
    bench.tokens.renew(&default()).await.unwrap();
    assert_eq!((bench.state().await.as_str(), bench.refresh_token().await.as_str()), ("active", "refresh-3"));
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-3");
}

#[tokio::test(start_paused = true)]
async fn a_first_failure_is_waited_for_and_not_seen_by_callers() {
    for failure in [
        Reply::NotSent,
        Reply::Cut,
        Reply::Say(500, &[], "<html>oops</html>"),
        Reply::Say(400, &[], r#"{"error":"invalid_client"}"#),
        Reply::Say(302, &[("Location", "https://elsewhere.example/")], ""),
        Reply::Say(200, &[], "<html>maintenance</html>"),
    ] {
        let bench = expired().await;
        bench.script.then(failure).then(Reply::Tokens(300));
        assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-2");
        let contents = bench.script.contents();
        assert!(contents.iter().all(|content| content.contains("refresh_token=refresh-0&")), "{contents:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_is_answered_in_bounded_time_with_few_calls_and_ends_by_itself() {
    let troubles: [fn() -> Reply; 5] = [
        || Reply::Say(500, &[], ""),
        || Reply::Say(200, &[], "garbage"),
        || Reply::Cut,
        || Reply::NotSent,
        || Reply::Hang,
    ];
    for trouble in troubles {
        let bench = expired().await;
        bench.script.always(trouble);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(40) {
            let asked = Instant::now();
            let error = bench.tokens.get(&default()).await.unwrap_err();
            assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
            assert!(asked.elapsed() <= Duration::from_millis(10_100), "{:?}", asked.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
        assert!(bench.script.most_in_ten_seconds() <= 4, "{}", bench.script.most_in_ten_seconds());
        bench.script.always(|| Reply::Tokens(300));
        let well = Instant::now();
        while bench.tokens.get(&default()).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
        assert!(well.elapsed() < Duration::from_secs(10), "{:?}", well.elapsed());
        assert!(bench.refresh_token().await.starts_with("refresh-"));
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let bench = expired().await;
    bench.script.then(Reply::Say(429, &[("Retry-After", "30")], "")).then(Reply::Tokens(300));
    let error = bench.tokens.get(&default()).await.unwrap_err();
    let TokenError::Unavailable { retry_after, .. } = error else { panic!("{error:?}") };
    assert!(retry_after > Duration::from_secs(29) && retry_after <= Duration::from_secs(31), "{retry_after:?}");
    sleep(Duration::from_secs(28)).await;
    assert!(bench.tokens.get(&default()).await.is_err());
    assert_eq!(bench.script.calls(), 1);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-2");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_came_leaves_an_unknown_outcome_that_the_next_answer_decides() {
    for (decides, state) in
        [(Reply::Tokens(300), "active"), (Reply::Say(400, &[], r#"{"error":"invalid_grant"}"#), "needs_authorization")]
    {
        let bench = expired().await;
        bench.script.then(Reply::Cut).then(Reply::Say(503, &[], ""));
        assert!(bench.tokens.get(&default()).await.is_err());
        assert_eq!(bench.state().await, "unknown_outcome", "a 503 decides nothing");
        bench.script.then(decides);
        sleep(Duration::from_secs(5)).await;
        let _ = bench.tokens.get(&default()).await;
        assert_eq!((bench.state().await.as_str(), bench.script.calls()), (state, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_or_was_refused_leaves_no_doubt() {
    for failure in
        [|| Reply::NotSent, || Reply::Say(500, &[], ""), || Reply::Say(400, &[], r#"{"error":"invalid_client"}"#)]
    {
        let bench = expired().await;
        bench.script.always(failure);
        assert!(bench.tokens.get(&default()).await.is_err());
        assert_eq!(bench.state().await, "expired");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_died_with_its_request_under_way_is_replaced_after_its_lease() {
    let bench = expired().await;
    let key = bench.tokens.key(&default());
    let dead = Claimant { holder: "dead".into(), hold: HOLD, create: false, despite_wait: false };
    assert!(matches!(bench.store.claim(&key, 1, &dead).await.unwrap(), Claim::Led(_)));
    assert_eq!(bench.state().await, "renewing");
    bench.script.then(Reply::Tokens(300));
    let begin = Instant::now();
    while bench.tokens.get(&default()).await.is_err() {
        assert_eq!(bench.script.calls(), 0);
    }
    assert!(begin.elapsed() >= HOLD && begin.elapsed() < Duration::from_secs(14), "{:?}", begin.elapsed());
    assert_eq!((bench.state().await.as_str(), bench.script.calls()), ("active", 1));
}

#[tokio::test(start_paused = true)]
async fn between_a_dead_leaders_lease_and_the_deciding_try_the_outcome_is_unknown() {
    let bench = expired().await;
    let key = bench.tokens.key(&default());
    let dead = Claimant { holder: "dead".into(), hold: HOLD, create: false, despite_wait: false };
    bench.store.claim(&key, 1, &dead).await.unwrap();
    sleep(HOLD + Duration::from_secs(1)).await;
    assert_eq!(bench.state().await, "unknown_outcome");
    bench.script.then(Reply::Say(400, &[], r#"{"error":"invalid_grant"}"#));
    assert_eq!(bench.tokens.get(&default()).await.unwrap_err(), TokenError::NeedsAuthorization);
    assert_eq!((bench.state().await.as_str(), bench.script.calls()), ("needs_authorization", 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_usable_access_token_keeps_its_refresh_token_and_makes_no_storm() {
    let bench = expired().await;
    bench.script.always(|| Reply::Say(200, &[], r#"{"access_token":"a b","refresh_token":"kept","expires_in":300}"#));
    for _ in 0..100 {
        assert!(bench.tokens.get(&default()).await.is_err());
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bench.refresh_token().await, "kept");
    assert!(bench.script.most_in_ten_seconds() <= 4);
}

#[tokio::test(start_paused = true)]
async fn client_credentials_are_never_over() {
    let bench = Bench::with(bank(by_credentials()));
    bench.script.then(Reply::Say(400, &[], r#"{"error":"invalid_grant"}"#)).then(Reply::Tokens(300));
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-2");
}

#[tokio::test(start_paused = true)]
async fn a_bank_that_always_says_that_its_tokens_have_ended_is_asked_about_once_a_minute() {
    let bench = Bench::new();
    bench.script.always(|| Reply::Say(200, &[], r#"{"access_token":"a","refresh_token":"r","expires_in":-1}"#));
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    for _ in 0..60 {
        assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "a");
        sleep(Duration::from_secs(5)).await;
    }
    let calls = bench.script.calls();
    assert!((4..=8).contains(&calls), "{calls} calls in five minutes");
}
