//! 100,000 grants beside one: how long the start takes, and how much memory; and a herd that is due at once. The numbers
//! are printed; `cargo test --release --test scale -- --nocapture` measures what counts.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and tells numbers"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bankside::config::{self, Config, HttpsUrl, Place, StoreKey, StoreUrl};
use bankside::message::{Fields, Request};
use bankside::oauth::{BankCall, CallAnswer, CallError, Departs, Parts, Tokens};
use bankside::store::seal::{Bound, Sealer};
use bankside::store::{BoxFuture, Sqlite, Store};
use bankside::words::{Clock, Random, Secret};
use rusqlite::{Connection, params};
use support::http::get;
use support::wait::{stays, time_passes, within};
use support::world::World;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const MANY: u32 = 100_000;
const KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

/// Writes so many grants of the bank into a store, whose renewals are due from then on, so far apart.
fn fill(path: &std::path::Path, bank: &str, grants: u32, first_due: i64, apart: f64) {
    let sealer = Sealer::new(&[Secret::new(KEY)]).unwrap();
    let mut connection = Connection::open(path).unwrap();
    let transaction = connection.transaction().unwrap();
    for number in 0..grants {
        let name = format!("customer-{number}");
        let seal =
            |purpose, text: &str| sealer.seal(Bound { purpose, bank, name: &name, version: 1 }, &text.into()).unwrap();
        let due = first_due + (f64::from(number) * apart) as i64;
        transaction
            .prepare_cached(
                "INSERT INTO grants (bank, name, version, change, standing, access, refresh, scopes, issued_at, expires_at, \
                 consent_at, used_at, renew_at) VALUES (?1, ?2, 1, ?3, 'active', ?4, ?5, '[]', ?6, ?7, ?6, ?6, ?8)",
            )
            .unwrap()
            .execute(params![bank, name, number, seal("access", "access"), seal("refresh", &format!("refresh-{number}")), first_due, due + 600_000, due])
            .unwrap();
    }
    transaction.commit().unwrap();
}

fn now() -> i64 {
    Clock::system().now().millis()
}

/// What a sidecar costs whose store has so many grants.
struct Measured {
    grants: u32,
    started: Duration,
    /// In bytes, as the peak.
    resident: u64,
    peak: u64,
}

impl Measured {
    /// Of a sidecar that starts, serves a little and then has nothing to do.
    async fn of(world: &World, grants: u32) -> Self {
        let begin = Instant::now();
        let sidecar = world.run();
        let started = begin.elapsed();
        let address = sidecar.address("icard");
        for _ in 0..20 {
            get(address, "/v1/accounts").await.with(200);
        }
        time_passes(Duration::from_secs(3)).await;
        let memory = |figure| sidecar.service.memory(figure);
        Self { grants, started, resident: memory("VmRSS"), peak: memory("VmHWM") }
    }
}

/// Of few grants and of many: these cost no more memory.
fn compare(kind: &str, measured: &[Measured]) {
    for Measured { grants, started, resident, peak } in measured {
        eprintln!(
            "{grants} grants in {kind}: ready after {started:?}, {} KiB resident, {} KiB at most",
            resident / 1024,
            peak / 1024
        );
    }
    let (few, many) = (measured[0].peak, measured[1].peak);
    assert!(many < few + 16 * 1024 * 1024, "memory does not grow with grants that nobody uses: {few} and {many}");
}

#[tokio::test]
async fn a_store_of_100_000_grants_starts_and_serves_like_one_of_one_grant() {
    let mut measured = Vec::new();
    for grants in [0, MANY] {
        let world = World::start().await;
        world.write("bankside.key", KEY_TEXT);
        world.login("icard", "default").await;
        fill(&world.dir().join("bankside.db"), "icard", grants, now() + 3_600_000, 30.0);
        measured.push(Measured::of(&world, grants + 1).await);
    }
    compare("SQLite", &measured);
}

/// What the operator's listener shows of very many grants: the page is cut, and a scrape counts only.
#[tokio::test]
async fn the_page_of_20_000_grants_is_short_and_a_scrape_names_none_of_them() {
    const GRANTS: u32 = 20_000;
    let world = World::start().await;
    world.write("bankside.key", KEY_TEXT);
    world.login("icard", "default").await;
    fill(&world.dir().join("bankside.db"), "icard", GRANTS, now() + 3_600_000, 30.0);
    let sidecar = world.run();
    let mut sizes = Vec::new();
    for path in ["/", "/metrics", "/readyz", "/api/banks", "/", "/metrics", "/readyz", "/api/banks"] {
        let begin = Instant::now();
        let page = get(sidecar.address("admin"), path).await;
        eprintln!("{path} of {GRANTS} grants: {} KiB in {:?}", page.body.len() / 1024, begin.elapsed());
        sizes.push(page.body);
    }
    let text = |index: usize| String::from_utf8_lossy(&sizes[index]).into_owned();
    let page = text(0);
    assert!(page.contains("and 19801 more") && page.matches("<tr data-grant=").count() < 220, "{}", page.len());
    assert!(page.contains(">default<") || page.contains("customer-0"), "some are shown");
    assert!(text(1).contains("bankside_grants{bank=\"icard\",state=\"active\"} 20001"), "{}", text(1));
    assert!(!text(1).contains("customer") && !text(2).contains("customer"));
    assert!(text(3).contains("customer-19999"), "the API has them all");
}

const KEY_TEXT: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";

/// A bank that answers every call at once with tokens that live long, and remembers when it was called.
#[derive(Default)]
struct QuickBank(Mutex<Vec<Instant>>);

impl BankCall for QuickBank {
    fn call<'a>(
        &'a self,
        _url: &'a HttpsUrl,
        _request: Request,
        _limit: Duration,
        _departs: Departs<'a>,
    ) -> BoxFuture<'a, Result<CallAnswer, CallError>> {
        self.0.lock().unwrap().push(Instant::now());
        Box::pin(async {
            time_passes(Duration::from_millis(20)).await;
            let body = br#"{"token_type":"Bearer","access_token":"new","refresh_token":"newer","expires_in":86400}"#;
            Ok(CallAnswer { status: http::StatusCode::OK, fields: Fields::new(), body: body.to_vec().into() })
        })
    }
}

/// Renews a herd that is due within a minute, all of it overdue at the start; prints at which rate, and checks that the
/// bank's limit holds.
async fn renew_herd(kind: &str, store: Arc<dyn Store>, herd: usize, rate: u32) {
    let toml = format!(
        "[banks.examplebank]\nlisten = \"127.0.0.1:0\"\nbase_url = \"https://bank.example\"\nclient_id = \"x\"\n\
         redirect_uri = \"https://app.example/callback\"\nscopes = [\"ais\"]\ngrant_type = \"authorization_code\"\n\
         tls.client_certificate = false\nrenewal.rate = {rate}\n\
         oauth = {{ authorize_url = \"https://bank.example/a\", token_url = \"https://bank.example/t\", client_auth = \"none\" }}\n\
         [store]\nkey = {{ value = \"{}\" }}\n",
        KEY_TEXT.trim()
    );
    let config = Config::parse(&toml, "bankside.toml".as_ref(), "".as_ref(), &|_: &str| None).expect("a configuration");
    let bank = Arc::new(QuickBank::default());
    let tokens = Tokens::new(
        Arc::clone(&config.banks[0]),
        Parts {
            store,
            call: Arc::clone(&bank) as _,
            clock: Clock::system(),
            random: Random::system(),
            control: tokio::runtime::Handle::current(),
            under_way: TaskTracker::new(),
            metrics: bankside::telemetry::BankMetrics::default(),
            certificate: None,
            identity: None,
        },
    );
    let (stop, begin) = (CancellationToken::new(), Instant::now());
    tokens.start(stop.clone());
    let count = || bank.0.lock().unwrap().len();
    within(Duration::from_mins(10), "all of the herd is renewed", || count() >= herd).await;
    let took = begin.elapsed();
    stays(Duration::from_secs(2), "each is renewed once", || count() == herd).await;
    stop.cancel();
    let calls = bank.0.lock().unwrap().clone();
    let within =
        |from: usize| calls[from..].iter().take_while(|at| **at - calls[from] < Duration::from_secs(1)).count();
    let most = (0..calls.len()).map(within).max().unwrap();
    eprintln!(
        "{herd} due at once, {kind}, limit {rate}/s: {:.1} calls/s for {took:?}, {most} in the fullest second",
        herd as f64 / took.as_secs_f64()
    );
    assert_eq!(calls.len(), herd, "each is renewed once");
    // Timers wake late: what waited then may come closer together than it was given out.
    assert!(most <= rate as usize + rate as usize / 4 + 2, "{most}");
}

fn herd() -> (u32, u32) {
    // The whole herd takes its time; by default a smaller one must do.
    if std::env::var_os("BANKSIDE_WHOLE_HERD").is_some() { (10_000, 100) } else { (1_000, 100) }
}

#[tokio::test]
async fn a_herd_in_sqlite_is_renewed_once_each_under_the_banks_limit() {
    let (herd, rate) = herd();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bankside.db");
    let place = Place { file: Arc::new("bankside.toml".into()), line: 1, key: "store".into() };
    let key = StoreKey::Given([Secret::new(KEY)].into());
    let settings = config::Store { place, url: StoreUrl::Sqlite(path.clone()), key };
    let store = Sqlite::open(&settings, Clock::system(), &Random::system()).unwrap();
    fill(&path, "examplebank", herd, now() - 60_000, 60_000.0 / f64::from(herd));
    renew_herd("SQLite", store, herd as usize, rate).await;
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::fmt::Write;

    use bankside::config::{Postgres as Url, PostgresHost};
    use bankside::store::Postgres;

    use super::support::postgres::{PASSWORD, Server};
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    fn url(server: &Server) -> Url {
        let (user, database) = ("bankside".to_owned(), "grants".to_owned());
        let host = PostgresHost::Tcp("127.0.0.1".into());
        Url { host, port: server.port, user, password: Some(PASSWORD.into()), database, tls: None }
    }

    /// As `fill`: rows are made in SQLite, where there is a quick way, and copied.
    fn fill_server(server: &Server, bank: &str, grants: u32, first_due: i64, apart: f64) {
        let sealer = Sealer::new(&[Secret::new(KEY)]).unwrap();
        let mut rows = String::new();
        for number in 0..grants {
            let name = format!("customer-{number}");
            let seal = |purpose, text: &str| {
                let value = sealer.seal(Bound { purpose, bank, name: &name, version: 1 }, &text.into()).unwrap();
                hex(&value)
            };
            let due = first_due + (f64::from(number) * apart) as i64;
            let (access, refresh) = (seal("access", "access"), seal("refresh", &format!("refresh-{number}")));
            writeln!(
                rows,
                "{bank}\t{name}\t1\t{number}\tactive\t\\\\x{access}\t\\\\x{refresh}\t[]\t{first_due}\t{}\t{first_due}\t{first_due}\t{due}",
                due + 600_000
            )
            .unwrap();
        }
        let file = server.file("rows", &rows);
        server.sql(
            "grants",
            &format!(
                "COPY bankside.grants (bank, name, version, change, standing, access, refresh, scopes, issued_at, expires_at, \
                 consent_at, used_at, renew_at) FROM '{}'; \
                 UPDATE bankside.meta SET change = greatest(change, {grants}); ANALYZE bankside.grants",
                file.display()
            ),
        );
    }

    #[tokio::test]
    async fn a_database_of_100_000_grants_starts_and_serves_like_one_of_one_grant() {
        let Some(server) = Server::start() else { return };
        server.database("grants");
        let world = World::start().await;
        world.write("bankside.key", KEY_TEXT);
        world.replace("sqlite:bankside.db", &server.url("grants"));
        world.login("icard", "default").await;
        let mut measured = Vec::new();
        for grants in [0, MANY] {
            fill_server(&server, "icard", grants, now() + 3_600_000, 30.0);
            measured.push(Measured::of(&world, grants + 1).await);
        }
        compare("PostgreSQL", &measured);
    }

    #[tokio::test]
    async fn a_herd_in_postgres_is_renewed_once_each_under_the_banks_limit() {
        let (herd, rate) = herd();
        let Some(server) = Server::start() else { return };
        server.database("grants");
        let store = Postgres::open(&url(&server), &StoreKey::Given([Secret::new(KEY)].into())).await.unwrap();
        fill_server(&server, "examplebank", herd, now() - 60_000, 60_000.0 / f64::from(herd));
        renew_herd("PostgreSQL", store, herd as usize, rate).await;
    }
}
