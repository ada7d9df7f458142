//! Connections to PostgreSQL that are good for nothing any more: none is kept, and none is made.

use bankside::store::Postgres;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::server::Database;
use crate::support::postgres::Server;
use crate::support::wait::{until, until_found};

use super::*;

/// The server's processes for the connections that calls are made on.
const PROCESSES: &str =
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'bankside' AND query LIKE '%bankside.grants%'";

#[tokio::test]
async fn a_connection_whose_statement_failed_is_replaced() {
    let Some(server) = Server::start() else { return };
    let database = Database::new(&server);
    let store = database.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    let before = database.sql(PROCESSES);
    assert_eq!(before.lines().count(), 1, "{before}");
    database.sql("ALTER TABLE bankside.grants RENAME TO away");
    assert!(matches!(store.load(&key("default")).await, Err(StoreError::Server(_))));
    database.sql("ALTER TABLE bankside.away RENAME TO grants");
    store.load(&key("default")).await.unwrap().expect("it is there");
    until("its connection is gone", || !database.sql(PROCESSES).contains(&*before)).await;
}

#[tokio::test]
async fn an_opening_that_failed_leaves_no_transaction_and_no_lock() {
    let Some(server) = Server::start() else { return };
    let database = Database::new(&server);
    database.open().await;
    assert!(matches!(database.open_with(&[8]).await.err(), Some(StoreError::WrongKey { .. })));
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    until("nothing is locked", || database.sql(locks) == "0\n").await;
    database.open().await;
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_told_and_left_as_soon_as_there_is_one_that_does() {
    let Some(server) = Server::start() else { return };
    let database = Database::new(&server);
    let store = database.open().await;
    let consent_at = store.put(&key("default"), tokens("a", Some("r"))).await.unwrap().facts.consent_at;
    store.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    // As a failover does: the connections are cut, and for a while the name leads to one that is read only.
    database.sql(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name()));
    server
        .sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bankside'");
    let keep = async || store.complete(&key("default"), 1, consent_at, tokens("b", Some("r2"))).await;
    let refused = async || keep().await.err().filter(|error| matches!(error, StoreError::ReadOnly));
    assert!(until_found("it is told", refused).await.to_string().contains("standby"));
    assert!(matches!(store.load(&key("default")).await, Err(StoreError::ReadOnly)), "what it says may be old");
    assert!(matches!(Postgres::open(&database.url(), &given(&[7])).await, Err(StoreError::ReadOnly)));
    server.sql("postgres", &format!("ALTER DATABASE {} RESET default_transaction_read_only", database.name()));
    assert!(matches!(keep().await.unwrap(), Settled::Stored(_)), "no connection to the former one is left");
}

#[tokio::test]
async fn of_several_connections_that_hang_one_holds_up_a_call() {
    let Some(server) = Server::start() else { return };
    let database = Database::new(&server);
    let store = database.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    // As long as the table is somebody else's, each call needs a connection of its own.
    let mut holder = server.begin_sql(database.name(), "BEGIN; LOCK bankside.grants; SELECT pg_sleep(60)");
    let holders = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted \
         AND relation = 'bankside.grants'::regclass";
    until("somebody has the table", || database.sql(holders) == "1\n").await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let store = Arc::clone(&store);
        calls.spawn(async move { store.load(&key("default")).await.unwrap() });
    }
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'bankside.grants'::regclass";
    until("three wait for it", || database.sql(waiting) == "3\n").await;
    database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN%'");
    calls.join_all().await;
    holder.wait().unwrap();
    let processes = database.sql(PROCESSES);
    let processes: Vec<Pid> = processes.lines().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect();
    assert_eq!(processes.len(), 3);
    let signal = |signal: Signal| {
        for process in &processes {
            kill(*process, signal).unwrap();
        }
    };
    signal(Signal::SIGSTOP);
    let late = store.load(&key("default")).await;
    let loaded = store.load(&key("default")).await;
    signal(Signal::SIGCONT);
    assert!(matches!(late, Err(StoreError::Late { .. })), "{late:?}");
    assert!(loaded.expect("on a new connection").is_some());
}
