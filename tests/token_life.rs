//! The life of a token as apps and the bank see it: renewed once, rotated, kept, and over.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bankside::sandbox::{Endpoint, Fault, Plan, Target};
use support::http::{get, send};
use support::program::bankside;
use support::wait::{time_passes, until, until_found};
use support::world::World;

const REFRESH: &str = "refresh_token";

fn refreshes(world: &World) -> u64 {
    world.sandbox.icard().control().counters().token_calls(REFRESH)
}

/// Apps that ask without a pause.
struct Flow {
    end: Arc<AtomicBool>,
    apps: Vec<tokio::task::JoinHandle<Vec<u16>>>,
}

impl Flow {
    fn start(address: SocketAddr, apps: usize) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ask = |end: Arc<AtomicBool>| async move {
            let mut seen = Vec::new();
            while !end.load(Ordering::Relaxed) {
                seen.push(get(address, "/v1/accounts").await.status);
            }
            seen
        };
        let apps = (0..apps).map(|_| tokio::spawn(ask(Arc::clone(&end)))).collect();
        Self { end, apps }
    }

    /// The statuses of all answers.
    async fn end(self) -> Vec<u16> {
        self.end.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for app in self.apps {
            all.extend(app.await.expect("the app ends"));
        }
        all
    }
}

#[tokio::test]
async fn a_token_that_expires_while_requests_flow_is_renewed_once_and_no_request_fails() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    let life = Duration::from_secs(4);
    control.change_rules(|rules| rules.access_lifetime = life);
    world.login("icard", "default").await;
    let issued = Instant::now();
    control.change_rules(|rules| rules.access_lifetime = Duration::from_hours(1));
    let sidecar = world.run();

    let flow = Flow::start(sidecar.address("icard"), 4);
    until("the first token is over", || issued.elapsed() > life + Duration::from_secs(1)).await;
    let seen = flow.end().await;
    assert!(seen.len() > 20 && seen.iter().all(|status| *status == 200), "{seen:?}");
    assert_eq!(refreshes(&world), 1);
    // The renewal revokes the old token at once: at most the four requests that were under way found it so, and went
    // once more. Had the token been used to its end and beyond, there would be many more.
    assert!(control.counters().unauthorized <= 4, "{:?}", control.counters());
}

#[tokio::test]
async fn a_token_that_the_bank_ends_early_is_renewed_once_and_no_request_fails() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    world.login("icard", "default").await;
    let sidecar = world.run();
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);

    let flow = Flow::start(sidecar.address("icard"), 8);
    control.expire_access_tokens();
    until("it is renewed", || refreshes(&world) > 0).await;
    let asked = control.counters().requests(Endpoint::Api);
    until("requests flow on", || control.counters().requests(Endpoint::Api) > asked + 50).await;
    let seen = flow.end().await;
    assert!(seen.iter().all(|status| *status == 200), "{seen:?}");
    assert_eq!(refreshes(&world), 1);
    assert!(control.counters().unauthorized > 0, "the bank did answer 401");
}

#[tokio::test]
async fn a_hundred_requests_that_find_the_token_over_make_one_renewal() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    let address = sidecar.address("icard");
    get(address, "/v1/accounts").await.with(200);
    world.sandbox.icard().control().expire_access_tokens();
    let apps: Vec<_> =
        (0..100).map(|_| tokio::spawn(async move { get(address, "/v1/accounts").await.status })).collect();
    for app in apps {
        assert_eq!(app.await.expect("an answer"), 200);
    }
    assert_eq!(refreshes(&world), 1);
}

#[tokio::test]
async fn a_rotated_refresh_token_is_kept_and_a_restarted_sidecar_goes_on_with_it() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    world.login("icard", "default").await;
    let first = world.reveal("icard", "default");
    let sidecar = world.run();
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    control.expire_access_tokens();
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    let second = world.reveal("icard", "default");
    for name in ["access_token", "refresh_token"] {
        assert!(second[name].is_string());
        assert_ne!(first[name], second[name], "{name}");
    }
    assert_eq!(sidecar.terminate(), Some(0));

    let sidecar = world.run();
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    assert_eq!(refreshes(&world), 1, "the stored token is used as it is");
    control.expire_access_tokens();
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    let counters = control.counters();
    assert_eq!((counters.token_calls(REFRESH), counters.refresh_reuse), (2, 0));
    assert_ne!(world.reveal("icard", "default")["refresh_token"], second["refresh_token"]);
}

#[tokio::test]
async fn a_refresh_token_that_the_bank_does_not_repeat_stays() {
    let world = World::start().await;
    world.login("cnb", "aisp").await;
    let first = world.reveal("cnb", "aisp");
    bankside(&["grant", "renew", "cnb", "aisp", "-c", world.config_arg()], "").with(0);
    let second = world.reveal("cnb", "aisp");
    assert_ne!(first["access_token"], second["access_token"]);
    assert_eq!(first["refresh_token"], second["refresh_token"]);
}

#[tokio::test]
async fn a_401_for_a_token_that_another_process_has_replaced_is_answered_with_the_newer_one() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    world.login("icard", "default").await;
    let sidecar = world.run();
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    bankside(&["grant", "renew", "icard", "default", "-c", world.config_arg()], "").with(0);
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    let newest = world.reveal("icard", "default");
    let last = control.requests().pop().expect("a request");
    assert_eq!(
        last.line("authorization"),
        Some(format!("Bearer {}", newest["access_token"].as_str().unwrap()).as_str())
    );
    assert_eq!(refreshes(&world), 1, "the other process' renewal is enough");
}

#[tokio::test]
async fn a_post_whose_body_was_kept_goes_once_more_after_a_401_and_a_longer_one_does_not() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    world.append("[banks.icard.limits]\nreplay_body = \"1KiB\"");
    world.login("icard", "default").await;
    let sidecar = world.run();
    let address = sidecar.address("icard");
    get(address, "/v1/accounts").await.with(200);

    control.expire_access_tokens();
    let echoed = send(address, "POST", "/_test/upload", &[], "x".repeat(1024)).await.with(200).json();
    assert_eq!(echoed["bytes"], 1024);
    assert_eq!(refreshes(&world), 1);

    control.expire_access_tokens();
    let answer = send(address, "POST", "/_test/upload", &[], "x".repeat(1025)).await.with(401);
    assert_eq!(answer.header("proxy-status"), "", "the 401 is the bank's own word");
    let posts =
        control.requests().into_iter().filter(|request| request.method == "POST" && request.endpoint == Endpoint::Test);
    assert_eq!(posts.count(), 3, "two of the kept body, one of the longer one");
}

#[tokio::test]
async fn a_401_to_a_post_that_cannot_go_once_more_begins_the_renewal_all_the_same() {
    let world = World::start().await;
    world.append("[banks.icard.limits]\nreplay_body = \"1KiB\"");
    world.login("icard", "default").await;
    let sidecar = world.run();
    let address = sidecar.address("icard");
    get(address, "/v1/accounts").await.with(200);
    world.sandbox.icard().control().expire_access_tokens();
    send(address, "POST", "/_test/upload", &[], "x".repeat(1025)).await.with(401);
    until("it is renewed", || refreshes(&world) == 1).await;
    until_found("the next one is taken", async || {
        let answer = send(address, "POST", "/_test/upload", &[], "x".repeat(1025)).await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(refreshes(&world), 1);
}

#[tokio::test]
async fn what_was_sent_twice_because_its_connection_died_is_not_sent_a_third_time_after_a_401() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    // With HTTP/2, the stream may be reset before the connection, and the second sending meet the end of that, too.
    world.in_table("banks.icard.tls", "alpn = [\"http/1.1\"]");
    world.login("icard", "default").await;
    let sidecar = world.run();
    let address = sidecar.address("icard");
    get(address, "/v1/accounts").await.with(200);
    control.expire_access_tokens();
    control.plan(Plan::next(1, Target::API, Fault::Cut));
    let before = control.counters().requests(Endpoint::Api);
    get(address, "/v1/accounts").await.with(401);
    assert_eq!(control.counters().requests(Endpoint::Api) - before, 2);
    until("it is renewed", || refreshes(&world) == 1).await;
    until_found("the next one is taken", async || (get(address, "/v1/accounts").await.status == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn what_was_sent_once_more_after_a_401_is_not_sent_a_third_time_because_its_connection_dies() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    world.login("icard", "default").await;
    let sidecar = world.run();
    let address = sidecar.address("icard");
    get(address, "/v1/accounts").await.with(200);
    control.expire_access_tokens();
    control.plan(Plan::next(1, Target::API, Fault::Cut).after(1));
    let before = control.counters().requests(Endpoint::Api);
    let told = get(address, "/v1/accounts").await.with(502).json();
    assert_eq!(control.counters().requests(Endpoint::Api) - before, 2);
    assert!(told.to_string().contains("may have received"), "{told}");
}

#[tokio::test]
async fn what_is_sent_once_more_because_its_connection_died_goes_with_the_token_that_is_best_by_then() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    let life = Duration::from_secs(3);
    control.change_rules(|rules| rules.access_lifetime = life);
    world.login("icard", "default").await;
    control.change_rules(|rules| rules.access_lifetime = Duration::from_hours(1));
    control.plan(Plan::next(1, Target::API, Fault::Hang));
    let before = control.counters().requests(Endpoint::Api);
    let sidecar = world.run();
    let address = sidecar.address("icard");
    let asked = tokio::spawn(async move { get(address, "/v1/accounts").await });
    until("the bank has it", || control.counters().requests(Endpoint::Api) == before + 1).await;
    until("the token is renewed", || refreshes(&world) == 1).await;
    // The first one ends.
    time_passes(life).await;
    control.cut_connections();
    asked.await.expect("an answer").with(200);
    assert_eq!(control.counters().requests(Endpoint::Api) - before, 2);
}

#[tokio::test]
async fn a_token_that_ends_while_its_request_waits_for_a_connection_is_not_sent() {
    let world = World::start().await;
    world.in_table("banks.icard.tls", "alpn = [\"http/1.1\"]");
    world.in_table("banks.icard", "limits = { connections = 1, queue = \"30s\" }");
    let control = world.sandbox.icard().control();
    let life = Duration::from_secs(3);
    control.change_rules(|rules| rules.access_lifetime = life);
    world.login("icard", "default").await;
    control.change_rules(|rules| rules.access_lifetime = Duration::from_hours(1));
    let long = 2 * life;
    control.plan(Plan::next(
        1,
        Target::API,
        Fault::DelayAnswer(u64::try_from(long.as_millis()).expect("a few seconds")),
    ));
    let before = control.counters().requests(Endpoint::Api);
    let sidecar = world.run();
    let address = sidecar.address("icard");
    let first = tokio::spawn(async move { get(address, "/v1/accounts").await });
    until("the bank has the first", || control.counters().requests(Endpoint::Api) == before + 1).await;
    get(address, "/v1/accounts").await.with(200);
    first.await.expect("an answer");
    assert_eq!(control.counters().requests(Endpoint::Api) - before, 2, "none was answered with 401");
}

#[tokio::test]
async fn a_revoked_grant_needs_authorization_and_a_login_brings_it_back_while_the_sidecar_runs() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    world.login("icard", "default").await;
    let sidecar = world.run();
    let address = sidecar.address("icard");
    get(address, "/v1/accounts").await.with(200);

    control.revoke_grants();
    let over = until_found("the sidecar learns that it is over", async || {
        let answer = get(address, "/v1/accounts").await;
        (answer.status != 401).then_some(answer)
    });
    let problem = over.await.problem("needs-authorization", 503);
    assert!(problem["remedy"].as_str().unwrap().contains("bankside login icard"), "{problem}");
    assert_eq!(world.state("icard", "default").as_deref(), Some("needs_authorization"));
    let readiness = get(sidecar.address("admin"), "/readyz").await.with(503).json();
    assert!(readiness.to_string().contains("bankside login icard"), "{readiness}");
    let calls = control.counters().requests(Endpoint::Token);
    get(address, "/v1/accounts").await.problem("needs-authorization", 503);
    assert_eq!(control.counters().requests(Endpoint::Token), calls, "the bank is not asked again");

    world.login("icard", "default").await;
    until_found("the sidecar sees the login", async || {
        (get(address, "/v1/accounts").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(world.state("icard", "default").as_deref(), Some("active"));
}

#[tokio::test]
async fn a_grant_without_a_refresh_token_needs_authorization_when_its_token_is_over() {
    let world = World::start().await;
    let response = r#"{"access_token":"not-a-banks","token_type":"Bearer","expires_in":1}"#;
    bankside(&["grant", "import", "icard", "default", "-c", world.config_arg()], response).with(0);
    let sidecar = world.run();
    let over = until_found("the token is over", async || {
        let answer = get(sidecar.address("icard"), "/v1/accounts").await;
        (answer.status != 401).then_some(answer)
    });
    over.await.problem("needs-authorization", 503);
}

#[tokio::test]
async fn while_the_token_endpoint_fails_callers_are_told_when_to_come_again_and_then_served() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    control.change_rules(|rules| rules.access_lifetime = Duration::from_secs(2));
    world.login("icard", "default").await;
    control.change_rules(|rules| rules.access_lifetime = Duration::from_hours(1));
    control.plan(Plan::always(Target::TOKEN, Fault::status(503)));
    let sidecar = world.run();
    let address = sidecar.address("icard");
    // Just before that, a request that arrives at the bank a moment late may bring the bank's own 401.
    let failed = until_found("the token is over", async || {
        let answer = get(address, "/v1/accounts").await;
        (answer.status == 503).then_some(answer)
    });
    let failed = failed.await;
    failed.problem("token-unavailable", 503);
    let seconds: u64 = failed.header("retry-after").parse().expect("whole seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");

    control.clear_plans();
    until_found("it is served again", async || (get(address, "/v1/accounts").await.status == 200).then_some(())).await;
    assert_eq!(world.state("icard", "default").as_deref(), Some("active"));
}
