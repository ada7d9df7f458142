//! What is particular to PostgreSQL: restarts, hangs, several replicas that open at once, and what a dump holds.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bankside::config::{Postgres as Url, PostgresHost};
use bankside::store::Postgres;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use tokio::time::timeout;

use crate::support::postgres::{PASSWORD, Server};
use crate::support::wait::until;

use super::*;

/// A database of its own on a server.
pub struct Database<'a> {
    server: &'a Server,
    name: String,
}

impl<'a> Database<'a> {
    pub fn new(server: &'a Server) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("db{}", NEXT.fetch_add(1, Ordering::Relaxed));
        server.database(&name);
        Self { server, name }
    }

    /// One whose time stands still.
    pub async fn with_manual_clock(server: &'a Server) -> Self {
        let database = Self::new(server);
        database.open().await;
        database.sql(&format!(
            "CREATE TABLE clock (now bigint); INSERT INTO clock VALUES ({}); GRANT SELECT ON clock TO bankside; \
             CREATE OR REPLACE FUNCTION bankside.now() RETURNS bigint LANGUAGE sql VOLATILE \
             AS $$ SELECT now FROM public.clock $$",
            START.millis()
        ));
        database
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> Url {
        Url {
            host: PostgresHost::Tcp("127.0.0.1".into()),
            port: self.server.port,
            user: "bankside".into(),
            password: Some(PASSWORD.into()),
            database: self.name.clone(),
            tls: None,
        }
    }

    pub fn sql(&self, statements: &str) -> String {
        self.server.sql(&self.name, statements)
    }
}

impl Ground for Database<'_> {
    async fn open_with(&self, keys: &[u8]) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Postgres::open(&self.url(), &given(keys)).await?)
    }

    async fn advance(&self, by: Duration) {
        self.sql(&format!("UPDATE clock SET now = now + {}", by.as_millis()));
    }

    async fn update(&self, change: &str) {
        self.sql(&format!(
            "ALTER TABLE bankside.grants DROP CONSTRAINT IF EXISTS grants_standing_check; \
             UPDATE bankside.grants SET {change}"
        ));
    }
}

/// The text of an error with its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let errors = std::iter::successors(Some(error), |error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn replicas_that_open_an_empty_database_at_once_all_succeed_and_a_wrong_key_or_password_is_told() {
    let Some(server) = Server::start() else { return };
    let database = Database::new(&server);
    let mut openers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = database.url();
        openers.spawn(async move { Postgres::open(&url, &given(&[7])).await });
    }
    assert!(openers.join_all().await.iter().all(Result::is_ok));
    let wrong = Postgres::open(&database.url(), &given(&[8])).await.unwrap_err();
    assert!(matches!(wrong, StoreError::WrongKey { .. }), "{wrong}");
    Postgres::open(&database.url(), &given(&[8, 7])).await.unwrap();
    let made = Postgres::open(&database.url(), &StoreKey::Make("bankside.key".into())).await.unwrap_err();
    assert!(matches!(made, StoreError::BadKey), "a key is never made for many replicas");
    let stranger = Url { password: Some("guess".into()), ..database.url() };
    let refused = chain(&Postgres::open(&stranger, &given(&[8, 7])).await.unwrap_err());
    assert!(refused.contains("password authentication failed") && !refused.contains("guess"), "{refused}");
    database.sql("UPDATE bankside.meta SET version = 99");
    let newer = Postgres::open(&database.url(), &given(&[8, 7])).await.unwrap_err();
    assert!(matches!(newer, StoreError::NewerSchema { found: 99, .. }), "{newer}");
}

#[tokio::test]
async fn what_one_replica_changes_is_told_to_the_others_at_once_and_again_after_a_restart() {
    let Some(mut server) = Server::start() else { return };
    let (name, url) = {
        let database = Database::new(&server);
        (database.name.clone(), database.url())
    };
    let (one, two) =
        (Postgres::open(&url, &given(&[7])).await.unwrap(), Postgres::open(&url, &given(&[7])).await.unwrap());
    let (bank, mut news) = (key("default").bank, two.news());
    // The first word is that it listens.
    timeout(HOLD, news.of(&bank)).await.expect("it listens");
    one.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    timeout(HOLD, news.of(&bank)).await.expect("a change is told");
    let other = "otherbank".parse().unwrap();
    let unheard = timeout(Duration::from_millis(300), news.of(&other)).await;
    assert!(unheard.is_err(), "what happens at one bank is no news of another");
    server.stop();
    let begin = Instant::now();
    assert!(one.load(&key("default")).await.is_err());
    assert!(begin.elapsed() < Duration::from_secs(5), "a server that is gone is no reason to wait");
    server.resume();
    let grant = one.load(&key("default")).await.unwrap().expect("it is there");
    assert!(grant.access.unwrap().matches(b"a"));
    let mut news = two.news();
    timeout(HOLD, news.of(&bank)).await.expect("it listens again");
    one.remove(&key("default"), 1).await.unwrap();
    timeout(HOLD, news.of(&bank)).await.expect("a change is told");
    drop(name);
}

#[tokio::test]
async fn a_server_that_hangs_is_a_failure_in_bounded_time_and_works_again_when_it_goes_on() {
    let Some(server) = Server::start() else { return };
    let database = Database::new(&server);
    let store = database.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    server.signal_all(Signal::SIGSTOP);
    let begin = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        calls.spawn(async move { store.load(&key("default")).await });
    }
    let outcomes = calls.join_all().await;
    server.signal_all(Signal::SIGCONT);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(StoreError::Late { .. }))));
    assert!(begin.elapsed() < Duration::from_secs(9), "{:?}", begin.elapsed());
    assert!(store.load(&key("default")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_row_that_somebody_holds_keeps_a_claim_waiting_in_bounded_time_only() {
    let Some(server) = Server::start() else { return };
    let database = Database::new(&server);
    let store = database.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    let lock = "BEGIN; SELECT 1 FROM bankside.grants FOR UPDATE; SELECT pg_sleep(6); COMMIT";
    let mut holder = server.begin_sql(&database.name, lock);
    let held = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'BEGIN%' AND wait_event = 'PgSleep'";
    until("somebody holds the row", || database.sql(held) == "t\n").await;
    store.touch(vec![(key("default"), START)]).await.expect("a use waits for nobody");
    let claim = store.claim(&key("default"), 1, &claimant("one")).await;
    assert!(matches!(claim, Err(StoreError::Server(_) | StoreError::Late { .. })), "{claim:?}");
    holder.wait().unwrap();
    assert!(matches!(store.claim(&key("default"), 1, &claimant("one")).await.unwrap(), Claim::Led(_)));
}

#[tokio::test]
async fn a_dump_holds_no_secret_in_clear_or_in_base64_or_hex() {
    let Some(server) = Server::start() else { return };
    let database = Database::new(&server);
    let store = database.open().await;
    let secrets = ["the-access-token", "the-refresh-token", "the-verifier", "the-session", "the-client-secret"];
    let put = store.put(&key("default"), tokens(secrets[0], Some(secrets[1]))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    store.complete(&key("default"), 1, put.facts.consent_at, tokens(secrets[0], Some(secrets[1]))).await.unwrap();
    store.put_attempt(attempt("aa"), HOLD).await.unwrap();
    let client_secret = Some(secrets[4].into());
    let client = RegisteredClient { client_id: "id".into(), client_secret, registered_at: START };
    store.put_client(&key("default").bank, client).await.unwrap();
    let dump = server.dump(&database.name);
    assert!(dump.contains("examplebank") && !dump.contains("xxxx1234"), "the rows are there:\n{dump}");
    assert_eq!(database.sql("SELECT count(*) FROM bankside.kept"), "3\n");
    for secret in secrets {
        let (base64, hex) =
            (STANDARD.encode(secret), secret.bytes().fold(String::new(), |text, byte| text + &format!("{byte:02x}")));
        for text in [secret, &base64[..base64.len() - 4], &hex] {
            assert!(!dump.contains(text), "{secret}");
        }
    }
}

#[tokio::test]
async fn a_row_that_was_moved_or_set_back_does_not_open() {
    let Some(server) = Server::start() else { return };
    let database = Database::new(&server);
    let store = database.open().await;
    store.put(&key("default"), tokens("a", None)).await.unwrap();
    store.put(&key("pisp"), tokens("b", None)).await.unwrap();
    database.sql(
        "UPDATE bankside.grants SET access = (SELECT access FROM bankside.grants WHERE name = 'pisp') \
         WHERE name = 'default'; UPDATE bankside.grants SET version = 2 WHERE name = 'pisp'",
    );
    for name in ["default", "pisp"] {
        assert!(matches!(store.load(&key(name)).await, Err(StoreError::Damaged { what: "access" })));
        assert!(store.claim(&key(name), if name == "pisp" { 2 } else { 1 }, &claimant("one")).await.is_err());
    }
    let left = database.sql("SELECT count(*) FROM bankside.grants WHERE sent_at IS NOT NULL");
    assert_eq!(left, "0\n", "no intent is written for what cannot be sent");
}

#[tokio::test]
async fn a_renewal_is_due_by_the_databases_clock_however_far_ours_is_from_it() {
    let Some(server) = Server::start() else { return };
    let database = Database::with_manual_clock(&server).await;
    let (store, bank) = (database.open().await, key("default").bank);
    // Tokens are issued by our clock, and the database's is ahead.
    database.advance(Duration::from_hours(2)).await;
    let put = store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    store.complete(&key("default"), 1, put.facts.consent_at, tokens("b", Some("r2"))).await.unwrap();
    let due = store.due(&bank, Duration::from_hours(1), 10).await.unwrap();
    assert_eq!((due.grants, due.next), (Vec::new(), Some(Duration::from_mins(4))));
    database.advance(Duration::from_mins(4)).await;
    assert_eq!(store.due(&bank, Duration::from_hours(1), 10).await.unwrap().grants, [(key("default"), 2)]);
    // And behind.
    database.sql("UPDATE clock SET now = now - 18000000");
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    assert_eq!(store.due(&bank, Duration::from_hours(1), 10).await.unwrap().next, Some(Duration::from_mins(4)));
    let endless = NewTokens { renew_at: Some(Timestamp::from_millis(i64::MAX)), ..tokens("a", Some("r")) };
    store.put(&key("endless"), endless).await.expect("it is kept");
}

#[tokio::test]
async fn the_renewals_that_are_due_come_from_the_index() {
    let Some(server) = Server::start() else { return };
    let database = Database::new(&server);
    let store = database.open().await;
    database.sql(
        "INSERT INTO bankside.grants (bank, name, version, change, standing, scopes, issued_at, used_at, renew_at) \
         SELECT 'examplebank', 'g' || n, 1, n, 'active', '[]', 0, bankside.now(), bankside.now() + n * 1000 - 5500 \
         FROM generate_series(1, 50000) AS n; ANALYZE bankside.grants",
    );
    let due = store.due(&key("g").bank, Duration::from_hours(1), 3).await.unwrap();
    let names: Vec<_> = due.grants.iter().map(|(key, _)| key.grant.as_str()).collect();
    assert_eq!(names, ["g1", "g2", "g3"]);
    assert!(due.next.is_some_and(|next| next < Duration::from_secs(1)));
    let plan = database.sql(
        "EXPLAIN SELECT name FROM bankside.grants WHERE bank = 'examplebank' AND renew_at <= (SELECT bankside.now()) \
         AND lease_until <= (SELECT bankside.now()) AND retry_at <= (SELECT bankside.now()) AND standing = 'active' \
         ORDER BY renew_at LIMIT 32",
    );
    assert!(plan.contains("Index Scan using grants_due"), "{plan}");
    let distinct: BTreeSet<_> = names.into_iter().collect();
    assert_eq!(distinct.len(), 3);
}
