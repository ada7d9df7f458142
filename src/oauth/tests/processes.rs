//! Two processes on one store: one renewal a lifetime, and none loses what the other one got.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::support::{Bench, Reply, bank, by_code, default, sent};
use crate::config::GrantType;
use crate::oauth::{GrantError, TokenError};
use crate::store::Store;

#[tokio::test(start_paused = true)]
async fn two_processes_that_meet_an_expired_token_make_one_call() {
    let bench = Bench::new();
    let (other, _store) = bench.another();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::After(Duration::from_secs(1), Box::new(Reply::Tokens(300))));
    let name = default();
    let (one, two) = tokio::join!(bench.tokens.get(&name), other.get(&name));
    assert_eq!((sent(&one.unwrap()), sent(&two.unwrap())), ("access-1".into(), "access-1".into()));
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_sidecars_renew_a_short_lived_token_once_a_lifetime_and_nobody_fails() {
    let bench = Bench::new();
    let (other, _store) = bench.another();
    bench.script.always(|| Reply::After(Duration::from_millis(50), Box::new(Reply::Tokens(2))));
    bench.import(2).await;
    bench.tokens.start(CancellationToken::new());
    other.start(CancellationToken::new());
    for _ in 0..300 {
        bench.tokens.get(&default()).await.unwrap();
        other.get(&default()).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    let spent = bench.script.contents();
    for (number, content) in spent.iter().enumerate() {
        assert!(content.contains(&format!("refresh_token=refresh-{number}&")), "no refresh token is used twice");
    }
    assert!((14..=24).contains(&spent.len()), "{}", spent.len());
}

#[tokio::test(start_paused = true)]
async fn an_invalid_grant_for_an_old_refresh_token_ends_nothing_if_somebody_stored_a_newer_one() {
    let bench = Bench::new();
    let (other, _store) = bench.another();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    let refused = Reply::Say(400, &[], r#"{"error":"invalid_grant"}"#);
    bench.script.then(Reply::After(Duration::from_secs(3), Box::new(refused)));
    let tokens = Arc::clone(&bench.tokens);
    let caller = tokio::spawn(async move { tokens.get(&default()).await });
    sleep(Duration::from_secs(1)).await;
    other.import(&default(), br#"{"access_token":"newer","refresh_token":"r"}"#).await.unwrap();
    assert_eq!(sent(&caller.await.unwrap().unwrap()), "newer");
    assert_eq!(bench.state().await, "active");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_a_rivals_refusal_revives_the_grant() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::After(Duration::from_secs(4), Box::new(Reply::Tokens(300))));
    let tokens = Arc::clone(&bench.tokens);
    let caller = tokio::spawn(async move { tokens.get(&default()).await });
    sleep(Duration::from_secs(1)).await;
    // A rival took this process for dead, asked with the spent token, and was refused.
    let consent = bench.tokens.consented_at(&default()).await.unwrap();
    bench.store.end(&bench.tokens.key(&default()), 1, consent).await.unwrap();
    assert_eq!(sent(&caller.await.unwrap().unwrap()), "access-1");
    assert_eq!((bench.state().await.as_str(), bench.refresh_token().await.as_str()), ("active", "refresh-1"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_keeps_its_lease() {
    let mut bank = bank(GrantType::AuthorizationCode(Box::new(by_code())));
    bank.timeouts.token = Duration::from_secs(20);
    let bench = Bench::with(bank);
    let (other, store) = bench.another();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::After(Duration::from_secs(12), Box::new(Reply::Tokens(300))));
    let name = default();
    let (one, two) = tokio::join!(bench.tokens.get(&name), other.get(&name));
    assert!(matches!(one.unwrap_err(), TokenError::Unavailable { .. }));
    assert!(matches!(two.unwrap_err(), TokenError::Unavailable { .. }));
    assert!(store.list(&bench.bank.name).await.unwrap()[0].leased, "ten seconds are over, and the lease is held");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(sent(&other.get(&name).await.unwrap()), "access-1");
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_was_removed_during_its_renewal_stays_removed() {
    let bench = Bench::new();
    let (other, _store) = bench.another();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::After(Duration::from_secs(2), Box::new(Reply::Tokens(300))));
    let tokens = Arc::clone(&bench.tokens);
    let caller = tokio::spawn(async move { tokens.get(&default()).await });
    sleep(Duration::from_secs(1)).await;
    other.remove(&default(), true).await.unwrap();
    assert_eq!(caller.await.unwrap().unwrap_err(), TokenError::NeedsAuthorization);
    assert!(bench.tokens.list().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_store_does_not_take_is_waited_for_by_other_processes() {
    let bench = Bench::new();
    let (other, _store) = bench.another();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    // As a full disk does: what is there can be changed, and nothing larger written.
    bench.execute("CREATE TRIGGER full BEFORE INSERT ON grants BEGIN SELECT RAISE(ABORT, 'full'); END");
    bench.script.then(Reply::Tokens(300));
    let tokens = Arc::clone(&bench.tokens);
    let leader = tokio::spawn(async move { tokens.renew(&default()).await });
    for _ in 0..20 {
        sleep(Duration::from_secs(1)).await;
        assert!(matches!(other.get(&default()).await.unwrap_err(), TokenError::Unavailable { .. }));
    }
    assert_eq!(bench.script.calls(), 1, "the refresh token is not spent twice");
    bench.execute("DROP TRIGGER full");
    assert_eq!(sent(&other.get(&default()).await.unwrap()), "access-1");
    drop(leader);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_has_lost_its_lease_before_it_has_a_connection_sends_nothing() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::Connecting(Duration::from_secs(7), Box::new(Reply::Tokens(300))));
    let tokens = Arc::clone(&bench.tokens);
    let leader = tokio::spawn(async move { tokens.renew(&default()).await });
    sleep(Duration::from_secs(1)).await;
    bench.execute("UPDATE grants SET lease_holder = 'another'");
    sleep(Duration::from_secs(8)).await;
    assert!(matches!(leader.await.unwrap(), Err(GrantError::Token(TokenError::Unavailable { .. }))));
    assert_eq!(bench.script.departed(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_can_reach_neither_bank_nor_store_sends_nothing_after_its_lease() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::Connecting(Duration::from_secs(9), Box::new(Reply::Tokens(300))));
    let tokens = Arc::clone(&bench.tokens);
    let leader = tokio::spawn(async move { tokens.renew(&default()).await });
    sleep(Duration::from_secs(1)).await;
    bench.execute("CREATE TRIGGER away BEFORE UPDATE ON grants BEGIN SELECT RAISE(ABORT, 'away'); END");
    sleep(Duration::from_secs(10)).await;
    assert!(leader.await.unwrap().is_err());
    assert_eq!(bench.script.departed(), 0);
    bench.execute("DROP TRIGGER away");
    bench.script.then(Reply::Tokens(300));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-2");
}

#[tokio::test(start_paused = true)]
async fn a_slow_connection_is_waited_for_as_long_as_the_lease_is_held() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::Connecting(Duration::from_secs(20), Box::new(Reply::Tokens(300))));
    bench.tokens.renew(&default()).await.unwrap();
    assert_eq!((bench.script.departed(), bench.script.calls()), (1, 1));
}
