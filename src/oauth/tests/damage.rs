//! A row that does not open, and a database that was set back while it was in use.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::support::{Bench, Reply, bank, by_credentials, default, sent};
use crate::oauth::{GrantError, GrantState, TokenError};

const DAMAGE: &str = "UPDATE grants SET access = zeroblob(60), refresh = zeroblob(60)";
const SAVE: &str = "CREATE TABLE saved AS SELECT * FROM grants";
const SET_BACK: &str = "DELETE FROM grants; INSERT INTO grants SELECT * FROM saved";

#[tokio::test(start_paused = true)]
async fn a_grant_that_does_not_open_is_removed_without_the_bank() {
    let bench = Bench::new();
    bench.import(300).await;
    bench.execute(DAMAGE);
    assert!(matches!(bench.tokens.remove(&default(), false).await, Err(GrantError::Store(_))));
    bench.tokens.remove(&default(), true).await.unwrap();
    assert!(matches!(bench.tokens.show(&default()).await, Err(GrantError::Missing)));
    assert!(matches!(bench.tokens.remove(&default(), true).await, Err(GrantError::Missing)));
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_does_not_open_is_counted_by_how_it_stands_and_costs_no_count_of_the_others() {
    for damage in [DAMAGE, "UPDATE grants SET scopes = '['"] {
        let mut bank = bank(by_credentials());
        bank.grants.insert("pay".parse().unwrap(), vec!["pisp".into()]);
        let bench = Bench::with(bank);
        bench.script.always(|| Reply::Tokens(300));
        bench.tokens.get(&default()).await.unwrap();
        bench.execute(damage);
        let (counts, _) = bench.tokens.count().await.unwrap();
        assert_eq!((counts[&GrantState::Active], counts[&GrantState::Expired]), (1, 1), "{damage}: {counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_person_is_needed_a_row_that_does_not_open_is_replaced() {
    let bench = Bench::with(bank(by_credentials()));
    bench.script.always(|| Reply::Say(200, &[], r#"{"access_token":"a","expires_in":300}"#));
    bench.tokens.get(&default()).await.unwrap();
    bench.execute(DAMAGE);
    let (other, _store) = bench.another();
    assert_eq!(sent(&other.get(&default()).await.unwrap()), "a");
    bench.execute(DAMAGE);
    other.renew(&default()).await.unwrap();
    assert_eq!(bench.script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn where_a_person_has_consented_a_row_that_does_not_open_stays_as_it_is() {
    let bench = Bench::with(bank(by_credentials()));
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.execute(SAVE);
    bench.execute(DAMAGE);
    assert!(matches!(bench.tokens.get(&default()).await, Err(TokenError::Store { .. })));
    bench.execute(SET_BACK);
    assert_eq!((bench.script.calls(), bench.refresh_token().await.as_str()), (0, "refresh-0"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_although_the_database_was_set_back_during_the_call() {
    // As it comes, and from a bank whose refresh tokens do not change.
    for (answer, refresh_token) in [
        (Reply::Tokens(300), "refresh-2"),
        (Reply::Say(200, &[], r#"{"access_token":"access-2","expires_in":300}"#), "refresh-1"),
    ] {
        let bench = Bench::new();
        bench.import(300).await;
        bench.execute(SAVE);
        bench.script.then(Reply::Tokens(300)).then(Reply::After(Duration::from_secs(2), Box::new(answer)));
        bench.tokens.renew(&default()).await.unwrap();
        let tokens = Arc::clone(&bench.tokens);
        let renewal = tokio::spawn(async move { tokens.renew(&default()).await });
        sleep(Duration::from_secs(1)).await;
        bench.execute(SET_BACK);
        renewal.await.unwrap().unwrap();
        assert_eq!(bench.refresh_token().await, refresh_token);
        assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-2");
        assert_eq!(sent(&bench.another().0.get(&default()).await.unwrap()), "access-2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_was_given_after_the_database_was_set_back_is_not_overwritten() {
    for logins in 1..=2 {
        let bench = Bench::new();
        bench.import(300).await;
        bench.execute("CREATE TABLE saved AS SELECT * FROM grants WHERE FALSE");
        bench.script.then(Reply::Tokens(300));
        bench.tokens.renew(&default()).await.unwrap();
        bench.script.then(Reply::After(Duration::from_secs(2), Box::new(Reply::Tokens(300))));
        let tokens = Arc::clone(&bench.tokens);
        let renewal = tokio::spawn(async move { tokens.renew(&default()).await });
        sleep(Duration::from_secs(1)).await;
        bench.execute(SET_BACK);
        for _ in 0..logins {
            let response = br#"{"access_token":"another's","refresh_token":"r","expires_in":300}"#;
            bench.another().0.import(&default(), response).await.unwrap();
        }
        let _ = renewal.await.unwrap();
        assert_eq!(bench.refresh_token().await, "r", "of version {logins}, and version 2 was renewed");
        assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "another's");
    }
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_was_given_after_the_database_was_set_back_is_not_ended_with_a_former_one() {
    let bench = Bench::new();
    bench.import(300).await;
    bench.execute("CREATE TABLE saved AS SELECT * FROM grants WHERE FALSE");
    let over = Reply::Say(400, &[], r#"{"error":"invalid_grant"}"#);
    bench.script.then(Reply::After(Duration::from_secs(2), Box::new(over)));
    let tokens = Arc::clone(&bench.tokens);
    let renewal = tokio::spawn(async move { tokens.renew(&default()).await });
    sleep(Duration::from_secs(1)).await;
    bench.execute(SET_BACK);
    let response = br#"{"access_token":"another's","refresh_token":"r","expires_in":300}"#;
    bench.another().0.import(&default(), response).await.unwrap();
    let _ = renewal.await.unwrap();
    assert_eq!((bench.state().await.as_str(), bench.refresh_token().await.as_str()), ("active", "r"));
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "another's");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_not_offered_without_end_where_a_newer_consent_does_not_open() {
    let bench = Bench::new();
    bench.import(300).await;
    bench.script.then(Reply::After(Duration::from_secs(2), Box::new(Reply::Tokens(300))));
    let tokens = Arc::clone(&bench.tokens);
    let renewal = tokio::spawn(async move { tokens.renew(&default()).await });
    sleep(Duration::from_secs(1)).await;
    bench.another().0.import(&default(), br#"{"access_token":"new","refresh_token":"r"}"#).await.unwrap();
    bench.execute(DAMAGE);
    assert!(matches!(renewal.await.unwrap(), Err(GrantError::Token(TokenError::Store { .. }))));
    assert!(bench.tokens.slots.get(&default()).unwrap().flight().is_none(), "it is offered no more");
}

#[tokio::test(start_paused = true)]
async fn a_login_by_another_process_is_seen_although_the_database_was_set_back() {
    for renewals in 1..=3 {
        let bench = Bench::new();
        bench.script.always(|| Reply::Tokens(300));
        bench.import(300).await;
        bench.execute(SAVE);
        bench.tokens.start(CancellationToken::new());
        for _ in 0..renewals {
            bench.another().0.renew(&default()).await.unwrap();
        }
        sleep(Duration::from_secs(2)).await;
        assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), format!("access-{renewals}"));
        bench.execute(SET_BACK);
        bench.another().0.import(&default(), br#"{"access_token":"new","expires_in":300}"#).await.unwrap();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "new", "{renewals} renewals were lost");
    }
}
