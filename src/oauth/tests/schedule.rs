//! What happens unasked: renewal ahead of expiry, and what others changed.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::support::{Bench, Reply, bank, by_code, default, sent};
use crate::config::GrantType;
use crate::oauth::TokenError;
use crate::store::Store;

#[tokio::test(start_paused = true)]
async fn tokens_of_two_seconds_are_renewed_ahead_so_that_nobody_waits() {
    let bench = Bench::new();
    bench.script.always(|| Reply::Tokens(2));
    bench.import(2).await;
    bench.tokens.start(CancellationToken::new());
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(30) {
        let asked = Instant::now();
        bench.tokens.get(&default()).await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO);
        sleep(Duration::from_millis(50)).await;
    }
    let calls = bench.script.calls();
    assert!((15..=22).contains(&calls), "{calls}");
}

#[tokio::test(start_paused = true)]
async fn a_failing_endpoint_is_asked_again_ahead_of_expiry_while_the_token_serves() {
    let bench = Bench::new();
    bench.import(100).await;
    bench.script.then(Reply::Say(503, &[], "")).then(Reply::Cut).then(Reply::Tokens(100));
    bench.tokens.start(CancellationToken::new());
    for _ in 0..99 {
        bench.tokens.get(&default()).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-3");
    assert_eq!(bench.script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_idle_grant_is_renewed_on_use_only() {
    let mut bank = bank(GrantType::AuthorizationCode(Box::new(by_code())));
    bank.renewal.idle = Duration::from_secs(20);
    let bench = Bench::with(bank);
    bench.import(60).await;
    bench.tokens.start(CancellationToken::new());
    sleep(Duration::from_mins(10)).await;
    assert_eq!((bench.script.calls(), bench.state().await.as_str()), (0, "expired"));
    bench.script.always(|| Reply::Tokens(60));
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-1");
    for _ in 0..50 {
        sleep(Duration::from_secs(1)).await;
        bench.tokens.get(&default()).await.unwrap();
    }
    assert_eq!(bench.script.calls(), 2, "while it is in use it is renewed ahead");
}

#[tokio::test(start_paused = true)]
async fn what_another_process_imports_removes_or_ends_is_seen_within_two_seconds() {
    let bench = Bench::new();
    bench.tokens.start(CancellationToken::new());
    let (other, _store) = bench.another();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.tokens.get(&default()).await.unwrap_err(), TokenError::NeedsAuthorization);
    for token in ["one", "two"] {
        let response = format!(r#"{{"access_token":"{token}"}}"#);
        other.import(&default(), response.as_bytes()).await.unwrap();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), token);
    }
    other.remove(&default(), true).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.tokens.get(&default()).await.unwrap_err(), TokenError::NeedsAuthorization);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_was_authorized_by_another_process_works_without_a_scheduler_too() {
    let bench = Bench::new();
    assert!(bench.tokens.get(&default()).await.is_err());
    bench.another().0.import(&default(), br#"{"access_token":"one"}"#).await.unwrap();
    sleep(Duration::from_millis(1010)).await;
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "one");
}

#[tokio::test(start_paused = true)]
async fn after_the_stop_nothing_happens_unasked() {
    let bench = Bench::new();
    bench.import(10).await;
    let stop = CancellationToken::new();
    bench.tokens.start(stop.clone());
    sleep(Duration::from_secs(1)).await;
    stop.cancel();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(bench.script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_use_after_a_start_counts_as_one() {
    let mut brief = bank(GrantType::AuthorizationCode(Box::new(by_code())));
    brief.renewal.idle = Duration::from_secs(10);
    let bench = Bench::with(brief);
    bench.import(86_400).await;
    sleep(Duration::from_mins(1)).await;
    let (tokens, _) = bench.another();
    let stop = CancellationToken::new();
    tokens.get(&default()).await.unwrap();
    tokens.start(stop.clone());
    sleep(Duration::from_secs(2)).await;
    let facts = &bench.store.list(&bench.bank.name).await.unwrap()[0];
    assert!(bench.clock.now().since(facts.used_at) < Duration::from_secs(10), "the store knows of it");
    stop.cancel();
}
