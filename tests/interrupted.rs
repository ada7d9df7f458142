//! Commands that a signal meets: a call to the bank under way is finished, and all else ends at once.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use bankside::sandbox::{Endpoint, Fault, Plan, Target};
use nix::sys::signal::Signal;
use support::http::get;
use support::program::{Login, Service, bankside, command};
use support::wait::{time_passes, until};
use support::world::{World, free_port};

const WORD: &str = "finishing: interrupting this may cost what the bank has given; once more ends it at once";
/// How long the bank takes, in milliseconds: longer than a signal takes.
const LONG: u64 = 3_000;
/// A signal that comes later than this after the first is another one.
const ECHO: Duration = Duration::from_millis(1_100);

fn token_calls(world: &World) -> u64 {
    world.sandbox.icard().control().counters().requests(Endpoint::Token)
}

/// A command that waits for what this makes of the bank's token endpoint, and was sent a signal meanwhile.
async fn signalled(world: &World, arguments: &[&str], fault: Fault, signal: Signal) -> Service {
    world.sandbox.icard().control().plan(Plan::next(1, Target::TOKEN, fault));
    let calls = token_calls(world);
    let mut command = command(arguments);
    command.args(["-c", world.config_arg()]);
    let service = Service::start(command, &world.dir().join("command.log"));
    until("the bank is asked", || token_calls(world) > calls).await;
    service.signal(signal);
    until("it says so", || service.log().contains(WORD)).await;
    service
}

#[tokio::test]
async fn a_renewal_under_way_is_finished_whatever_signal_comes() {
    let world = World::start().await;
    world.login("icard", "default").await;
    for signal in [Signal::SIGINT, Signal::SIGHUP] {
        let before = world.reveal("icard", "default");
        let renewal = ["grant", "renew", "icard", "default"];
        let service = signalled(&world, &renewal, Fault::DelayAnswer(LONG), signal).await;
        assert_eq!(service.wait(), Some(0));
        let after = world.reveal("icard", "default");
        assert!(before["refresh_token"] != after["refresh_token"] && after["state"] == "active", "{signal}");
    }
    bankside(&["grant", "renew", "icard", "default", "-c", world.config_arg()], "").with(0);
    assert_eq!(world.sandbox.icard().control().counters().refresh_reuse, 0);
}

#[tokio::test]
async fn the_end_of_a_login_under_way_is_finished() {
    let world = World::start().await;
    let login = Login::begin(&world.config, "icard", "default");
    let url = login.url.clone();
    login.paste("").with(1);
    let callback = world.sandbox.approve(&url).await.expect("the customer approves");
    let end = ["login", "icard", "default", "--callback-url", &callback];
    let service = signalled(&world, &end, Fault::DelayAnswer(LONG), Signal::SIGTERM).await;
    assert_eq!(service.wait(), Some(0));
    assert_eq!(world.state("icard", "default").as_deref(), Some("active"));
}

#[tokio::test]
async fn a_second_signal_ends_a_renewal_at_once() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let renewal = ["grant", "renew", "icard", "default"];
    let service = signalled(&world, &renewal, Fault::Hang, Signal::SIGTERM).await;
    time_passes(ECHO).await;
    service.signal(Signal::SIGINT);
    assert_eq!(service.wait(), Some(1));
}

#[tokio::test]
async fn two_signals_for_one_reason_do_not_cut_a_renewal() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let renewal = ["grant", "renew", "icard", "default"];
    let service = signalled(&world, &renewal, Fault::DelayAnswer(LONG), Signal::SIGINT).await;
    service.signal(Signal::SIGTERM);
    assert_eq!(service.wait(), Some(0));
    bankside(&["grant", "renew", "icard", "default", "-c", world.config_arg()], "").with(0);
    assert_eq!(world.sandbox.icard().control().counters().refresh_reuse, 0);
}

#[tokio::test]
async fn a_renewal_of_the_sidecar_is_finished_after_a_second_signal_too() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    control.change_rules(|rules| rules.access_lifetime = Duration::from_secs(2));
    world.login("icard", "default").await;
    control.plan(Plan::next(1, Target::TOKEN, Fault::DelayAnswer(LONG)));
    let calls = token_calls(&world);
    let sidecar = world.run();
    until("the bank is asked", || token_calls(&world) > calls).await;
    sidecar.service.signal(Signal::SIGTERM);
    time_passes(ECHO).await;
    sidecar.service.signal(Signal::SIGTERM);
    assert_eq!(sidecar.service.wait(), Some(0));
    assert!(token_calls(&world) > calls, "it was under way");
    bankside(&["grant", "renew", "icard", "default", "-c", world.config_arg()], "").with(0);
    assert_eq!(control.counters().refresh_reuse, 0);
}

#[tokio::test]
async fn a_login_that_waits_for_the_person_ends_with_the_first_signal() {
    for met_somebody in [false, true] {
        let port = free_port();
        let redirect_uri = format!("http://127.0.0.1:{port}/callback");
        let world = World::with(|options| options.icard.redirect_uri = redirect_uri).await;
        let login = Login::begin(&world.config, "icard", "default");
        if met_somebody {
            get(([127, 0, 0, 1], port).into(), "/callback?code=stolen&state=not-ours").await.with(400);
        }
        login.signal(Signal::SIGINT);
        let said = login.wait();
        // Killed by the signal, or ended as a shell tells of that.
        assert_eq!(said.code, met_somebody.then_some(130), "{}", said.err);
        assert!(!said.err.contains(WORD), "{}", said.err);
    }
}

#[tokio::test]
async fn an_answer_that_came_while_the_process_stood_still_is_not_lost() {
    let world = World::start().await;
    world.append("[banks.icard.timeouts]\ntoken = \"2s\"");
    let control = world.sandbox.icard().control();
    control.change_rules(|rules| rules.access_lifetime = Duration::from_secs(2));
    world.login("icard", "default").await;
    control.change_rules(|rules| rules.access_lifetime = Duration::from_hours(1));
    control.plan(Plan::next(1, Target::TOKEN, Fault::DelayAnswer(1_000)));
    let calls = token_calls(&world);
    let sidecar = world.run();
    until("the bank is asked", || token_calls(&world) > calls).await;
    sidecar.service.signal(Signal::SIGSTOP);
    time_passes(Duration::from_secs(4)).await;
    sidecar.service.signal(Signal::SIGCONT);
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    assert_eq!((token_calls(&world) - calls, control.counters().refresh_reuse), (1, 0));
}
