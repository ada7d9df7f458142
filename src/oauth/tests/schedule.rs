//! What happens unasked: renewal ahead of expiry, and what others changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::support::{Bench, Reply, START, bank, by_code, default, endpoint, sent};
use crate::config::{ClientCredentials, GrantType};
use crate::oauth::TokenError;
use crate::store::{NewTokens, Store};
use crate::words::GrantName;

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
async fn answers_without_a_token_that_can_be_used_make_no_storm_for_a_grant_that_nobody_uses() {
    let replies: [fn() -> Reply; 2] = [
        || Reply::Say(200, &[], r#"{"access_token":"in two\nlines","refresh_token":"refresh-n","expires_in":300}"#),
        || Reply::After(Duration::from_secs(2), Box::new(Reply::Tokens(1))),
    ];
    for reply in replies {
        let bench = Bench::new();
        bench.import(2).await;
        bench.script.always(reply);
        bench.tokens.start(CancellationToken::new());
        sleep(Duration::from_mins(1)).await;
        assert!(bench.script.most_in_ten_seconds() <= 5, "{}", bench.script.most_in_ten_seconds());
        assert!(bench.script.calls() > 2);
    }
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
async fn a_row_that_does_not_open_hides_no_other_change() {
    let bench = Bench::new();
    let grants: [GrantName; 2] = ["first", "second"].map(|name| name.parse().unwrap());
    for grant in &grants {
        bench.tokens.import(grant, br#"{"access_token":"a"}"#).await.unwrap();
        bench.tokens.get(grant).await.unwrap();
    }
    bench.tokens.start(CancellationToken::new());
    sleep(Duration::from_secs(1)).await;
    // As another process writes it that has a newer key.
    bench.execute("UPDATE grants SET version = 9, change = 9, access = zeroblob(60) WHERE name = 'first'");
    bench.another().0.remove(&grants[1], true).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.tokens.get(&grants[1]).await.unwrap_err(), TokenError::NeedsAuthorization);
    assert_eq!(sent(&bench.tokens.get(&grants[0]).await.unwrap()), "a", "what is had goes on being used");
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
async fn a_herd_that_is_due_at_once_is_spread_under_the_banks_limit() {
    let mut bank = bank(GrantType::AuthorizationCode(Box::new(by_code())));
    bank.renewal.rate = 100;
    let bench = Bench::with(bank);
    bench.script.always(|| Reply::Tokens(100_000));
    for number in 0..1_000_u32 {
        let tokens = NewTokens {
            access: Some("a".into()),
            refresh: Some("r".into()),
            scopes: None,
            issued_at: START,
            expires_at: Some(START.plus(Duration::from_hours(1))),
            renew_at: Some(START.plus(Duration::from_millis(u64::from(number) * 60))),
            certificate: None,
        };
        bench.store.put(&bench.tokens.key(&format!("grant-{number}").parse().unwrap()), tokens).await.unwrap();
    }
    sleep(Duration::from_mins(1)).await;
    bench.tokens.start(CancellationToken::new());
    let begin = Instant::now();
    while bench.script.calls() < 1_000 {
        assert!(begin.elapsed() < Duration::from_mins(3), "{} of them are renewed", bench.script.calls());
        sleep(Duration::from_secs(1)).await;
    }
    assert!(bench.script.most_in(Duration::from_secs(1)) <= 101);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.script.calls(), 1_000, "each is renewed once");
    assert_eq!(bench.tokens.slots.all().len(), 0, "what nobody uses does not stay in memory");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_token_goes_before_what_is_renewed_ahead_and_under_the_same_limit() {
    let mut bank =
        bank(GrantType::ClientCredentials(Box::new(ClientCredentials { scopes: Vec::new(), token: endpoint() })));
    bank.renewal.rate = 10;
    bank.grants = (0..200).map(|number| (format!("grant-{number}").parse().unwrap(), Vec::new())).collect();
    let bench = Bench::with(bank);
    bench.script.always(|| Reply::Tokens(300));
    let mut callers = JoinSet::new();
    for number in 0..200 {
        let tokens = Arc::clone(&bench.tokens);
        callers.spawn(async move { tokens.get(&format!("grant-{number}").parse().unwrap()).await });
    }
    let outcomes = callers.join_all().await;
    let served = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((50..200).contains(&served), "{served}");
    assert_eq!(served, bench.script.calls());
    assert!(bench.script.most_in(Duration::from_secs(1)) <= 11);
    let refused = outcomes.into_iter().filter_map(Result::err);
    assert!(refused.into_iter().all(|error| matches!(error, TokenError::Unavailable { .. })));
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
