//! Renewal when all is well: once, off the callers' tasks, and the answer is durable before it is used.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::support::{Bench, Reply, bank, by_code, by_credentials, default, sent};
use crate::config::GrantType;
use crate::oauth::TokenError;
use crate::store::{Store, StoreError};
use crate::words::Secret;

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_given_without_a_call() {
    let bench = Bench::new();
    bench.import(300).await;
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-0");
    let first = bench.tokens.get(&default()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &bench.tokens.get(&default()).await.unwrap()), "it is a snapshot");
    assert_eq!(bench.script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn five_hundred_who_meet_an_expired_token_make_one_call() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::After(Duration::from_millis(300), Box::new(Reply::Tokens(300))));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let tokens = Arc::clone(&bench.tokens);
        callers.spawn(async move { sent(&tokens.get(&default()).await.unwrap()) });
    }
    assert!(callers.join_all().await.iter().all(|token| token == "access-1"));
    assert_eq!(bench.script.calls(), 1);
    assert!(bench.script.contents()[0].contains("refresh_token=refresh-0&"));
    assert_eq!(bench.refresh_token().await, "refresh-1");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_does_not_cut_the_renewal() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::After(Duration::from_secs(2), Box::new(Reply::Tokens(300))));
    let tokens = Arc::clone(&bench.tokens);
    let caller = tokio::spawn(async move { tokens.get(&default()).await });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.script.calls(), 1);
    assert_eq!(bench.state().await, "renewing");
    caller.abort();
    sleep(Duration::from_secs(2)).await;
    assert_eq!((bench.state().await.as_str(), bench.refresh_token().await.as_str()), ("active", "refresh-1"));
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-1");
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_refresh_token_keeps_the_old_one() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::Say(200, &[], r#"{"access_token":"next","token_type":"mac","expires_in":"300"}"#));
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "next");
    assert_eq!(bench.refresh_token().await, "refresh-0");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_never_given_and_one_without_an_end_always() {
    let bench = Bench::new();
    bench.tokens.import(&default(), br#"{"access_token":"endless"}"#).await.unwrap();
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "endless");
    bench.tokens.import(&default(), br#"{"access_token":"short","expires_in":10}"#).await.unwrap();
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "short");
    sleep(Duration::from_millis(10_010)).await;
    assert_eq!(bench.tokens.get(&default()).await.unwrap_err(), TokenError::NeedsAuthorization);
    assert_eq!((bench.state().await.as_str(), bench.script.calls()), ("expired", 0));
}

#[tokio::test(start_paused = true)]
async fn the_life_of_a_token_is_counted_from_before_it_was_asked_for() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::After(Duration::from_secs(4), Box::new(Reply::Tokens(300))));
    let asked = bench.clock.now();
    let token = bench.tokens.get(&default()).await.unwrap();
    let late = token.expires_at().unwrap().since(asked.plus(Duration::from_mins(5)));
    assert!(late < Duration::from_secs(1), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_nobody_gave_needs_authorization_and_no_call() {
    let bench = Bench::new();
    for _ in 0..2 {
        assert_eq!(bench.tokens.get(&default()).await.unwrap_err(), TokenError::NeedsAuthorization);
    }
    bench.import(300).await;
    assert!(bench.tokens.get(&default()).await.is_ok());
    assert_eq!(bench.script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn client_credentials_are_asked_for_on_demand_and_only_for_configured_grants() {
    let mut bank = bank(by_credentials());
    bank.grants.insert("pisp".parse().unwrap(), vec!["pisp".into()]);
    let bench = Bench::with(bank);
    bench.script.always(|| Reply::Tokens(300));
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-1");
    assert_eq!(sent(&bench.tokens.get(&"pisp".parse().unwrap()).await.unwrap()), "access-2");
    assert!(bench.script.contents()[0].starts_with("grant_type=client_credentials&scope=aisp&"));
    assert!(bench.script.contents()[1].contains("scope=pisp&"));
    let unknown = bench.tokens.get(&"other".parse().unwrap()).await.unwrap_err();
    assert_eq!(unknown, TokenError::UnknownGrant);
    sleep(Duration::from_secs(301)).await;
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-3");
    assert!(bench.script.contents()[2].starts_with("grant_type=client_credentials"));
}

#[tokio::test(start_paused = true)]
async fn fixed_tokens_are_given_as_they_stand_and_never_renewed() {
    let given = [(default(), Secret::from("token-aisp"))].into();
    let bench = Bench::with(bank(GrantType::Fixed(given)));
    let token = bench.tokens.get(&default()).await.unwrap();
    assert_eq!(sent(&token), "token-aisp");
    let unknown = bench.tokens.get(&"pisp".parse().unwrap()).await.unwrap_err();
    assert_eq!(unknown, TokenError::UnknownGrant);
    token.mark_accepted();
    assert!(bench.tokens.after_unauthorized(&default(), &token, false).await.unwrap().is_none());
    assert_eq!(bench.script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_from_the_store_is_not_asked_of_the_bank() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.execute("UPDATE grants SET version = version + 1");
    let error = bench.tokens.get(&default()).await.unwrap_err();
    assert!(matches!(error, TokenError::Store { .. }), "{error:?}");
    assert_eq!(bench.script.calls(), 0);
    let loaded = bench.store.load(&bench.tokens.key(&default())).await;
    assert!(matches!(loaded, Err(StoreError::Damaged { .. })));
}

#[tokio::test(start_paused = true)]
async fn without_a_durable_intent_the_refresh_token_is_not_spent() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.execute("CREATE TRIGGER full BEFORE UPDATE OF sent_at ON grants BEGIN SELECT raise(ABORT, 'disk full'); END");
    let error = bench.tokens.get(&default()).await.unwrap_err();
    assert!(matches!(error, TokenError::Store { .. }), "{error:?}");
    assert_eq!(bench.script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_store_does_not_take_is_kept_until_it_does_and_not_used_before() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.execute("CREATE TRIGGER full BEFORE INSERT ON grants BEGIN SELECT raise(ABORT, 'disk full'); END");
    bench.script.then(Reply::Tokens(300));
    let error = bench.tokens.get(&default()).await.unwrap_err();
    assert!(matches!(error, TokenError::Store { .. } | TokenError::Unavailable { .. }), "{error:?}");
    sleep(Duration::from_mins(1)).await;
    let error = bench.tokens.get(&default()).await.unwrap_err();
    assert!(matches!(error, TokenError::Store { .. }), "nobody waits for a store that fails: {error:?}");
    bench.execute("DROP TRIGGER full");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-1");
    assert_eq!((bench.refresh_token().await.as_str(), bench.script.calls()), ("refresh-1", 1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_bank_is_waited_for_as_long_as_the_configuration_says() {
    let mut bank = bank(GrantType::AuthorizationCode(Box::new(by_code())));
    bank.timeouts.token = Duration::from_secs(20);
    let bench = Bench::with(bank);
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::After(Duration::from_secs(15), Box::new(Reply::Tokens(300))));
    assert!(bench.tokens.get(&default()).await.is_err(), "a caller waits for 10 s");
    sleep(Duration::from_secs(6)).await;
    assert_eq!((sent(&bench.tokens.get(&default()).await.unwrap()).as_str(), bench.script.calls()), ("access-1", 1));
}
