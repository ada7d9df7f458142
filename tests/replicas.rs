//! Four sidecars on one real PostgreSQL: one token call a lifetime, no failed request, whatever happens to one of them.

#![cfg(feature = "postgres")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and tells numbers"
)]

mod support;

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bankside::sandbox::{Endpoint, Fault, Plan, Target};
use nix::sys::signal::Signal;
use support::http::get;
use support::postgres::Server;
use support::program::{Sidecar, bankside};
use support::wait::{time_passes, until, until_found};
use support::world::World;
use tokio::task::JoinSet;

/// How long the bank's access tokens last.
const LIFE: Duration = Duration::from_secs(2);
const PATH: &str = "/v1/accounts";

/// The simulated banks, a database, and sidecars that share it.
struct Fleet {
    world: World,
    server: Server,
    sidecars: Vec<Arc<Sidecar>>,
}

/// What apps have seen.
#[derive(Default)]
struct Seen {
    served: AtomicU64,
    over: AtomicBool,
    failures: Mutex<Vec<(Instant, String)>>,
}

impl Fleet {
    /// A fleet with a grant that works. `None` where PostgreSQL is not installed.
    async fn start(replicas: usize) -> Option<Self> {
        let server = Server::start()?;
        server.database("grants");
        let world = World::start().await;
        world.replace("sqlite:bankside.db", &server.url("grants"));
        world.write("bankside.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
        world.login("icard", "default").await;
        world.sandbox.icard().control().change_rules(|rules| rules.access_lifetime = LIFE);
        bankside(&["grant", "renew", "icard", "default", "-c", world.config_arg()], "").with(0);
        let mut fleet = Self { world, server, sidecars: Vec::new() };
        for number in 0..replicas {
            fleet.sidecars.push(fleet.replica(number));
        }
        Some(fleet)
    }

    fn replica(&self, number: usize) -> Arc<Sidecar> {
        let config = self.world.dir().join(format!("replica-{number}.toml"));
        fs::copy(&self.world.config, &config).expect("the configuration can be copied");
        Arc::new(Sidecar::run(&config))
    }

    /// Ends the database with this signal, and starts it anew: how long it was away.
    async fn bounce(&mut self, signal: Signal) -> (Instant, Instant) {
        let begin = Instant::now();
        self.server.bounce(signal).await;
        let outage = (begin, Instant::now());
        eprintln!("the database was away for {:?}", outage.1 - outage.0);
        outage
    }

    /// Calls that the token endpoint handled.
    fn calls(&self) -> u64 {
        self.world.sandbox.icard().control().counters().token_calls("refresh_token")
    }

    fn reuse(&self) -> u64 {
        self.world.sandbox.icard().control().counters().refresh_reuse
    }

    /// Apps that ask this sidecar without a pause, until they are told that it is over.
    fn apps(&self, number: usize, seen: &Arc<Seen>, apps: &mut JoinSet<()>) {
        let address = self.sidecars[number].address("icard");
        for _ in 0..2 {
            let seen = Arc::clone(seen);
            apps.spawn(async move {
                while !seen.over.load(Ordering::Relaxed) {
                    let answer = get(address, PATH).await;
                    if answer.status == 200 {
                        seen.served.fetch_add(1, Ordering::Relaxed);
                    } else {
                        let body = String::from_utf8_lossy(&answer.body).into_owned();
                        let failure = format!("replica {number}: {} {body}", answer.status);
                        seen.failures.lock().unwrap().push((Instant::now(), failure));
                    }
                    time_passes(Duration::from_millis(20)).await;
                }
            });
        }
    }
}

impl Seen {
    async fn stop(&self, apps: JoinSet<()>) {
        self.over.store(true, Ordering::Relaxed);
        apps.join_all().await;
    }

    /// Nothing failed, but where the store was away for longer than callers wait for it: these are told just that.
    fn nothing_failed(&self, outages: &[(Instant, Instant)]) {
        let is_told = |(at, failure): &&(Instant, String)| {
            let away = |(begin, end): &(Instant, Instant)| {
                *end - *begin > Duration::from_secs(3) && (*begin..*end + Duration::from_secs(2)).contains(at)
            };
            !(failure.contains("urn:bankside:store-unavailable") && outages.iter().any(away))
        };
        let failures = self.failures.lock().unwrap();
        let failures: Vec<_> = failures.iter().filter(is_told).map(|(_, failure)| failure.as_str()).collect();
        let served = self.served.load(Ordering::Relaxed);
        assert!(failures.is_empty(), "{} of {served}:\n{}", failures.len(), failures.join("\n"));
    }
}

#[tokio::test]
async fn four_sidecars_renew_once_a_lifetime_and_no_request_fails() {
    let Some(fleet) = Fleet::start(4).await else { return };
    let (seen, mut apps) = (Arc::<Seen>::default(), JoinSet::new());
    for number in 0..4 {
        fleet.apps(number, &seen, &mut apps);
    }
    let (before, begin) = (fleet.calls(), Instant::now());
    time_passes(Duration::from_secs(30)).await;
    let (calls, took) = (fleet.calls() - before, begin.elapsed());
    seen.stop(apps).await;
    eprintln!("{calls} token calls in {took:?} for {} requests", seen.served.load(Ordering::Relaxed));
    seen.nothing_failed(&[]);
    assert_eq!(fleet.reuse(), 0, "no refresh token is used twice");
    // A renewal comes after 0.76 to 0.8 of a life: at most so many fit.
    assert!(calls as f64 <= took.as_secs_f64() / (LIFE.as_secs_f64() * 0.76) + 1.0, "{calls}");
    assert!(calls >= 10, "{calls}");
}

#[tokio::test]
async fn a_restart_of_postgres_and_a_replica_that_stands_still_fail_no_request() {
    let Some(mut fleet) = Fleet::start(4).await else { return };
    let (seen, mut apps) = (Arc::<Seen>::default(), JoinSet::new());
    for number in 0..4 {
        fleet.apps(number, &seen, &mut apps);
    }
    time_passes(Duration::from_secs(3)).await;
    let mut outages = vec![fleet.bounce(Signal::SIGINT).await];
    time_passes(Duration::from_secs(4)).await;
    // Its apps wait, and are served when it goes on; the others notice nothing.
    fleet.sidecars[0].service.signal(Signal::SIGSTOP);
    let before = fleet.calls();
    // Longer than a lease and the time of grace last.
    time_passes(Duration::from_secs(16)).await;
    assert!(fleet.calls() >= before + 2, "the others go on, at the latest when its lease is over");
    fleet.sidecars[0].service.signal(Signal::SIGCONT);
    time_passes(Duration::from_secs(5)).await;
    outages.push(fleet.bounce(Signal::SIGQUIT).await);
    time_passes(Duration::from_secs(5)).await;
    let calls = fleet.calls();
    until("renewals go on", || fleet.calls() > calls).await;
    seen.stop(apps).await;
    eprintln!("{} requests", seen.served.load(Ordering::Relaxed));
    assert_eq!(fleet.reuse(), 0, "no refresh token is used twice");
    seen.nothing_failed(&outages);
}

#[tokio::test]
async fn a_leader_that_is_killed_during_its_call_is_replaced_and_the_grant_lives() {
    let Some(mut fleet) = Fleet::start(1).await else { return };
    let bank = fleet.world.sandbox.icard().control().clone();
    bank.plan(Plan::always(Target::TOKEN, Fault::Hang));
    let asked = bank.counters().requests(Endpoint::Token);
    until("the leader asks for a token", || bank.counters().requests(Endpoint::Token) > asked).await;
    let leader = fleet.sidecars.remove(0);
    for number in 1..4 {
        fleet.sidecars.push(fleet.replica(number));
    }
    let led = "SELECT count(*) FROM bankside.grants WHERE lease_until > bankside.now()";
    assert_eq!(fleet.server.sql("grants", led), "1\n", "it leads");
    leader.service.signal(Signal::SIGKILL);
    let (begin, calls) = (Instant::now(), fleet.calls());
    bank.clear_plans();
    let address = fleet.sidecars[0].address("icard");
    until("another one asks", || fleet.calls() > calls).await;
    until_found("the grant serves again", async || (get(address, PATH).await.status == 200).then_some(())).await;
    eprintln!("another one led after {:?}", begin.elapsed());
    assert_eq!(fleet.reuse(), 0);
    assert!(!bank.grants().iter().any(|grant| grant.revoked));
}

#[tokio::test]
async fn while_postgres_is_down_valid_tokens_serve_nothing_is_spent_and_then_callers_are_told() {
    let Some(mut fleet) = Fleet::start(2).await else { return };
    let bank = fleet.world.sandbox.icard().control().clone();
    bank.change_rules(|rules| rules.access_lifetime = Duration::from_secs(20));
    let config = fleet.world.config_arg().to_owned();
    // The token that comes now lives for so long from here, however slow the machine is.
    let begin = Instant::now();
    bankside(&["grant", "renew", "icard", "default", "-c", &config], "").with(0);
    let addresses: Vec<_> = fleet.sidecars.iter().map(|sidecar| sidecar.address("icard")).collect();
    for address in &addresses {
        until_found("it has the token", async || (get(*address, PATH).await.status == 200).then_some(())).await;
    }
    let calls = bank.counters().requests(Endpoint::Token);
    fleet.server.stop();
    while begin.elapsed() < Duration::from_secs(12) {
        for address in &addresses {
            get(*address, PATH).await.with(200);
        }
        time_passes(Duration::from_millis(100)).await;
    }
    let told = until_found("the token's end", async || {
        let answer = get(addresses[0], PATH).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    told.problem("store-unavailable", 503);
    assert!(told.header("retry-after").parse::<u64>().is_ok());
    assert_eq!(bank.counters().requests(Endpoint::Token), calls, "nothing is spent without the store");
    bankside(&["grant", "list", "-c", &config], "").with(1);
    fleet.server.resume();
    for address in &addresses {
        until_found("it serves again", async || (get(*address, PATH).await.status == 200).then_some(())).await;
    }
    assert_eq!(fleet.reuse(), 0);
}

#[tokio::test]
async fn a_check_online_tells_of_a_key_that_does_not_open_the_store() {
    let Some(fleet) = Fleet::start(0).await else { return };
    fleet.world.write("bankside.key", "KioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKio=");
    let said = bankside(&["check", "--online", "-c", fleet.world.config_arg()], "").with(78);
    let told = "store.key: the store was sealed under the key with id ";
    assert!(said.err.contains(told) && said.out.is_empty(), "{}\n{}", said.err, said.out);
}
