//! What the end of a login spends, and when: an attempt and its code are good for once.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::login::{begin, bench, callback};
use super::support::{Reply, default, sent};
use crate::oauth::LoginError;
use crate::store::{RegisteredClient, Store};

/// Fails what is written to a table.
const AWAY: &str = "CREATE TRIGGER away BEFORE INSERT ON grants BEGIN SELECT RAISE(ABORT, 'away'); END";

fn registered(client_id: &str) -> RegisteredClient {
    RegisteredClient {
        client_id: client_id.into(),
        client_secret: Some("its-secret".into()),
        registered_at: crate::oauth::tests::support::START,
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_before_the_code_is_sent_costs_nothing() {
    let bench = bench(|_| ());
    bench.import(300).await;
    let callback = callback(&begin(&bench).await);
    for table in ["grants", "kept"] {
        bench.execute(&format!("ALTER TABLE {table} RENAME TO elsewhere"));
        let error = bench.tokens.finish_login(&callback).await.unwrap_err();
        assert!(matches!(error, LoginError::Store(_)), "{error}");
        assert_eq!(bench.script.calls(), 0);
        bench.execute(&format!("ALTER TABLE elsewhere RENAME TO {table}"));
    }
    bench.script.then(Reply::Tokens(300));
    bench.tokens.finish_login(&callback).await.unwrap();
    assert_eq!(bench.refresh_token().await, "refresh-1");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_moment_while_the_attempt_is_taken_costs_no_login() {
    let bench = bench(|_| ());
    let callback = callback(&begin(&bench).await);
    for change in ["DELETE", "UPDATE"] {
        let fails = "BEGIN SELECT RAISE(ABORT, 'away'); END";
        bench.execute(&format!("CREATE TRIGGER away_{change} BEFORE {change} ON kept {fails}"));
    }
    bench.script.then(Reply::Tokens(300));
    let mut finish = std::pin::pin!(bench.tokens.finish_login(&callback));
    assert!(timeout(Duration::from_millis(700), &mut finish).await.is_err(), "it is tried again");
    bench.execute("DROP TRIGGER away_DELETE; DROP TRIGGER away_UPDATE");
    finish.await.unwrap();
    assert_eq!((bench.refresh_token().await.as_str(), bench.script.calls()), ("refresh-1", 1));
    assert!(matches!(bench.tokens.finish_login(&callback).await, Err(LoginError::UnknownState)));
}

#[tokio::test(start_paused = true)]
async fn new_tokens_take_the_place_of_what_does_not_open_however_late_the_store_takes_them() {
    let bench = bench(|_| ());
    bench.import(300).await;
    bench.execute("UPDATE grants SET access = x'00', refresh = x'00'");
    let callback = callback(&begin(&bench).await);
    bench.execute(AWAY);
    bench.script.then(Reply::Tokens(300));
    let mut finish = std::pin::pin!(bench.tokens.finish_login(&callback));
    assert!(timeout(Duration::from_secs(10), &mut finish).await.is_err(), "the store takes nothing yet");
    bench.execute("DROP TRIGGER away");
    timeout(Duration::from_secs(10), finish).await.expect("it ends").unwrap();
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-1");
    assert_eq!((bench.refresh_token().await.as_str(), bench.script.calls()), ("refresh-1", 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_not_known_for_now_costs_no_attempt() {
    let bench = bench(|code| (code.token.client_id, code.token.client_secret) = (None, None));
    bench.store.put_client(&bench.bank.name, registered("first")).await.unwrap();
    let callback = callback(&begin(&bench).await);
    bench.store.remove_client(&bench.bank.name, "first").await.unwrap();
    assert!(matches!(bench.tokens.finish_login(&callback).await, Err(LoginError::NoClient)));
    bench.store.put_client(&bench.bank.name, registered("first")).await.unwrap();
    bench.script.then(Reply::Tokens(300));
    bench.tokens.finish_login(&callback).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_login_that_another_client_began_than_would_renew_its_grant_is_left_as_it_is() {
    let bench = bench(|code| (code.token.client_id, code.token.client_secret) = (None, None));
    bench.store.put_client(&bench.bank.name, registered("first")).await.unwrap();
    let callback = callback(&begin(&bench).await);
    sleep(Duration::from_secs(1)).await;
    let second = RegisteredClient { registered_at: bench.clock.now(), ..registered("second") };
    bench.store.put_client(&bench.bank.name, second).await.unwrap();
    let error = bench.tokens.finish_login(&callback).await.unwrap_err();
    assert!(error.leaves_attempt() && error.to_string().contains("the client first"), "{error}");
    assert_eq!(bench.script.calls(), 0);
    bench.store.remove_client(&bench.bank.name, "second").await.unwrap();
    bench.script.then(Reply::Tokens(300));
    bench.tokens.finish_login(&callback).await.unwrap();
    assert!(bench.script.contents()[0].ends_with("&client_id=first&client_secret=its-secret"));
}
