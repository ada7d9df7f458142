//! Renewal, by the real program against the simulated banks: one call for all, trouble at the token endpoint, a store
//! that takes nothing at each step, the end of the sidecar within a renewal, and grants changed from outside.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bankside::sandbox::{Endpoint, Fault, Plan, Target};
use nix::sys::signal::Signal;

use support::desk::{Desk, get, says};
use support::http::metric_in;
use support::narrow::{Narrow, Trouble};
use support::wait::here::{stays, time_passes, within};

const SECOND: Duration = Duration::from_secs(1);
const PATH: &str = "/v1/accounts";

/// How often tokens were asked for with a refresh token and the bank handled it.
fn refreshes(desk: &Desk) -> u64 {
    desk.rotating().grants().iter().map(|grant| grant.refreshes).sum()
}

/// How many requests the token endpoint got, handled or not.
fn token_requests(desk: &Desk) -> u64 {
    desk.rotating().counters().requests.get(&Endpoint::Token).copied().unwrap_or(0)
}

fn lifetime(desk: &Desk, life: Duration) {
    desk.rotating().change_rules(|rules| {
        rules.access_lifetime = life;
        rules.reuse_ends_grant = true;
    });
}

/// A grant whose token has ended, and a bank whose next tokens last.
fn expired(grant: &str) -> Desk {
    let desk = Desk::new();
    lifetime(&desk, SECOND);
    desk.login("icard", grant);
    within(5 * SECOND, "the token has ended", || desk.state("icard", grant) == "expired");
    lifetime(&desk, 3600 * SECOND);
    desk
}

#[test]
fn five_hundred_requests_that_meet_an_expired_token_on_four_workers_make_one_token_call() {
    let desk = expired("default");
    desk.0.append("[runtime]\nworkers = 4");
    desk.rotating().plan(Plan::always(Target::TOKEN, Fault::DelayAnswer(1500)));
    let before = token_requests(&desk);
    let sidecar = desk.run();
    let address = sidecar.address("icard");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..500).map(|_| scope.spawn(move || get(address, PATH, "").0)).collect();
        callers.into_iter().map(|caller| caller.join().expect("an answer")).collect()
    });
    assert!(statuses.iter().all(|&status| status == 200), "{statuses:?}");
    assert_eq!((token_requests(&desk) - before, refreshes(&desk)), (1, 1));
    assert_eq!(desk.rotating().counters().refresh_reuse, 0);
}

#[test]
fn a_first_caller_that_hangs_up_does_not_cut_the_renewal() {
    let desk = expired("default");
    // Nothing is renewed ahead: the caller is the cause of the call.
    desk.0.append("[banks.icard.renewal]\nidle = \"1s\"");
    desk.rotating().plan(Plan::always(Target::TOKEN, Fault::DelayAnswer(1000)));
    let before = token_requests(&desk);
    let sidecar = desk.run();
    let address = sidecar.address("icard");
    let mut caller = TcpStream::connect(address).expect("somebody listens");
    write!(caller, "GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is sent");
    within(5 * SECOND, "the bank is asked", || token_requests(&desk) > before);
    drop(caller);
    within(5 * SECOND, "the grant is active", || desk.state("icard", "default") == "active");
    assert_eq!(get(address, PATH, "").0, 200);
    assert_eq!((token_requests(&desk) - before, refreshes(&desk)), (1, 1));
}

/// Two grants: `default` is valid throughout, `other` ends while the token endpoint has this trouble for so long.
fn trouble(name: &str, fault: Fault, lasts: Duration) {
    let desk = Desk::new();
    lifetime(&desk, 3600 * SECOND);
    desk.login("icard", "default");
    lifetime(&desk, 2 * SECOND);
    desk.login("icard", "other");
    lifetime(&desk, 3600 * SECOND);
    // Before it runs: it renews as soon as it can.
    desk.rotating().plan(Plan::lasting(lasts, Target::TOKEN, fault));
    let began = Instant::now();
    let sidecar = desk.run();
    let address = sidecar.address("icard");
    let (mut calls, mut refused) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let valid = scope.spawn(|| keeps_working(address, began + lasts + 10 * SECOND));
        let other = scope.spawn(|| callers_without_a_token(address, began + lasts));
        while began.elapsed() < lasts + 10 * SECOND {
            calls.push((began.elapsed(), token_requests(&desk)));
            time_passes(Duration::from_millis(25));
        }
        assert!(valid.join().expect("it worked") > 50, "{name}");
        refused += other.join().expect("it recovered");
    });
    for (at, count) in &calls {
        let later = calls.iter().rev().find(|(later, _)| *later < *at + 10 * SECOND).expect("itself");
        assert!(later.1 - count < 5, "{name}: {} calls within 10 s of {at:?}", later.1 - count);
    }
    assert!(refused > 0, "{name}: somebody was told of it");
    assert_eq!(desk.state("icard", "other"), "active", "{name}");
    assert_eq!(desk.rotating().counters().refresh_reuse, 0, "{name}: nothing was spent twice");
}

/// Asks with a valid token until then: no answer but the bank's, and none that waited.
fn keeps_working(address: SocketAddr, end: Instant) -> u32 {
    let mut answers = 0;
    while Instant::now() < end {
        let asked = Instant::now();
        assert_eq!(get(address, PATH, "").0, 200);
        assert!(asked.elapsed() < 5 * SECOND, "what is valid never waits for the token endpoint");
        answers += 1;
        time_passes(Duration::from_millis(100));
    }
    answers
}

/// Asks with a grant whose token ends, until it works again, within 10 s of the trouble's end. How often it was refused.
fn callers_without_a_token(address: SocketAddr, end: Instant) -> u32 {
    let mut refused = 0;
    loop {
        let asked = Instant::now();
        let (status, answer) = get(address, PATH, "Bankside-Grant: other\r\n");
        assert!(asked.elapsed() < 12 * SECOND, "a caller waits a bounded time: {:?}", asked.elapsed());
        if status == 200 && Instant::now() > end {
            return refused;
        }
        if status != 200 {
            refused += 1;
            assert!(status == 503 && answer.contains("urn:bankside:token-unavailable"), "{answer}");
            let lower = answer.to_lowercase();
            let wait = lower.split("retry-after: ").nth(1).and_then(|rest| rest.split("\r\n").next()).expect("a wait");
            assert!(wait.parse::<u32>().expect("whole seconds") <= 10, "{wait}");
        }
        assert!(end.elapsed() < 11 * SECOND, "it recovers by itself");
        time_passes(Duration::from_millis(200));
    }
}

#[test]
fn a_token_endpoint_that_fails_costs_few_calls_and_nothing_that_is_valid() {
    trouble("500", Fault::status(500), 5 * SECOND);
}

#[test]
fn a_token_endpoint_that_hangs_costs_few_calls_and_nothing_that_is_valid() {
    trouble("hangs", Fault::Hang, 13 * SECOND);
}

#[test]
fn a_token_endpoint_that_answers_garbage_costs_few_calls_and_nothing_that_is_valid() {
    trouble("garbage", Fault::garbage(), 5 * SECOND);
}

#[test]
fn a_token_endpoint_that_closes_after_reading_costs_few_calls_and_nothing_that_is_valid() {
    trouble("closes", Fault::Cut, 5 * SECOND);
}

#[test]
fn a_token_endpoint_that_asks_for_patience_gets_it() {
    trouble("429", Fault::too_many(3), 5 * SECOND);
}

#[test]
fn a_renewal_under_way_is_finished_before_the_sidecar_ends() {
    let desk = expired("default");
    desk.rotating().plan(Plan::always(Target::TOKEN, Fault::DelayAnswer(1500)));
    let sidecar = desk.run();
    within(5 * SECOND, "the bank has handled it", || refreshes(&desk) == 1);
    assert_eq!(sidecar.terminate(), Some(0));
    assert_eq!(desk.state("icard", "default"), "active");
}

/// How many renewals failed at the store.
fn store_failures(narrow: &Narrow) -> u64 {
    let page = get(narrow.sidecar().address("admin"), "/metrics", "").1;
    metric_in(&page, "bankside_renewals_total{bank=\"icard\",outcome=\"store\"}").expect("the metric is there")
}

/// The store takes nothing from before the intent.
fn untouched_without_an_intent(trouble: Trouble) {
    let desk = expired("default");
    // Before it runs: it renews at once.
    desk.rotating().plan(Plan::always(Target::TOKEN, Fault::status(500)));
    let Some(narrow) = Narrow::run(&desk, trouble) else { return };
    within(5 * SECOND, "it was tried", || token_requests(&desk) > 1);
    narrow.break_store();
    within(12 * SECOND, "the store is what fails", || {
        let (status, answer) = get(narrow.sidecar().address("icard"), PATH, "");
        assert!(status == 503, "{answer}");
        answer.contains("urn:bankside:store-unavailable")
    });
    desk.rotating().clear_plans();
    let before = token_requests(&desk);
    stays(2 * SECOND, "the refresh token is not spent", || (token_requests(&desk), refreshes(&desk)) == (before, 0));
    narrow.mend_store();
    within(12 * SECOND, "it recovers by itself", || get(narrow.sidecar().address("icard"), PATH, "").0 == 200);
    assert_eq!((refreshes(&desk), desk.rotating().counters().refresh_reuse), (1, 0));
}

/// The store takes nothing from after the intent: the answer is kept until it does.
fn kept_although_the_store_takes_no_answer(trouble: Trouble, ends: bool) {
    let desk = expired("default");
    desk.rotating().plan(Plan::always(Target::TOKEN, Fault::DelayAnswer(1000)));
    let Some(narrow) = Narrow::run(&desk, trouble) else { return };
    within(5 * SECOND, "the bank has handled it", || refreshes(&desk) == 1);
    narrow.break_store();
    within(5 * SECOND, "the answer met the store", || store_failures(&narrow) > 0);
    let (status, answer) = get(narrow.sidecar().address("icard"), PATH, "");
    assert!(status == 503 && answer.contains("urn:bankside:store-unavailable"), "not used before it is kept: {answer}");
    if ends {
        narrow.sidecar().service.signal(Signal::SIGTERM);
        stays(SECOND, "it waits for the store", || !narrow.has_ended());
        narrow.mend_store();
        within(10 * SECOND, "the answer is kept before the end", || narrow.has_ended());
        let (standing, is_open) = narrow.row_at_end();
        assert_eq!((standing.as_str(), is_open), ("active", false), "standing, and whether a renewal is open");
    } else {
        narrow.mend_store();
        within(10 * SECOND, "it recovers by itself", || get(narrow.sidecar().address("icard"), PATH, "").0 == 200);
    }
    assert_eq!((refreshes(&desk), desk.rotating().counters().refresh_reuse), (1, 0), "nothing is spent twice");
}

#[test]
fn on_a_full_disk_the_refresh_token_is_not_spent() {
    untouched_without_an_intent(Trouble::DiskFull);
}

#[test]
fn with_a_store_that_cannot_be_written_the_refresh_token_is_not_spent() {
    untouched_without_an_intent(Trouble::Refused);
}

#[test]
fn an_answer_that_meets_a_full_disk_is_kept_and_not_used_before() {
    kept_although_the_store_takes_no_answer(Trouble::DiskFull, false);
}

#[test]
fn an_answer_that_meets_a_store_that_cannot_be_written_is_kept_and_not_used_before() {
    kept_although_the_store_takes_no_answer(Trouble::Refused, false);
}

#[test]
fn a_sidecar_that_is_to_end_waits_for_its_answer_to_be_kept() {
    kept_although_the_store_takes_no_answer(Trouble::Refused, true);
}

#[test]
fn a_running_sidecar_sees_what_commands_do_to_grants_within_two_seconds() {
    let desk = Desk::new();
    lifetime(&desk, 3600 * SECOND);
    let sidecar = desk.run();
    let address = sidecar.address("icard");
    let status = || get(address, PATH, "").0;
    assert!(get(address, PATH, "").1.contains("bankside login icard"), "the remedy names the command");
    desk.login("icard", "default");
    within(2 * SECOND, "the login is seen", || status() == 200);
    desk.says(0, &["grant", "renew", "icard"]);
    within(2 * SECOND, "the renewal is seen", || status() == 200);
    let saved = desk.says(0, &["grant", "show", "icard", "--json", "--reveal"]);
    desk.says(0, &["grant", "remove", "icard", "--local"]);
    within(2 * SECOND, "the removal is seen", || status() == 503);
    assert!(says(&desk.0.config, 0, &["grant", "import", "icard", "--json"], &saved).contains("\"active\""));
    within(2 * SECOND, "the import is seen", || status() == 200);
    assert_eq!(desk.rotating().counters().refresh_reuse, 0);
}

#[test]
fn a_removed_grant_is_revoked_in_the_banks_way() {
    let desk = Desk::new();
    let control = desk.0.sandbox.cnb().control();
    let revoked = || control.grants().iter().filter(|grant| grant.revoked).count();
    desk.login("cnb", "aisp");
    desk.says(0, &["grant", "remove", "cnb", "aisp"]);
    assert_eq!(revoked(), 1, "by DELETE with the access token");
    // A token that has ended names nothing at the bank: it is renewed for that.
    control.change_rules(|rules| rules.access_lifetime = SECOND);
    desk.login("cnb", "aisp");
    within(5 * SECOND, "the token has ended", || desk.state("cnb", "aisp") == "expired");
    desk.says(0, &["grant", "remove", "cnb", "aisp"]);
    assert_eq!(revoked(), 2, "although its access token had ended");
    let token = &desk.0.sandbox.cnb().urls().token;
    let revoke = token.replace("/oauth/token", "/oauth2/revoke");
    desk.0.replace(&format!("revoke_url = \"{token}\""), &format!("revoke_url = \"{revoke}\""));
    desk.0.replace("revocation = \"delete\"", "revocation = \"rfc7009\"");
    desk.login("cnb", "pisp");
    desk.says(0, &["grant", "remove", "cnb", "pisp"]);
    assert_eq!(revoked(), 3, "by RFC 7009");
    assert_eq!((desk.0.state("cnb", "aisp"), desk.0.state("cnb", "pisp")), (None, None));
}

#[test]
fn a_grant_of_a_bank_without_revocation_is_removed_and_the_person_is_told_that_it_stays_valid_there() {
    let desk = Desk::new();
    for grant in ["default", "other"] {
        desk.login("icard", grant);
    }
    let said = desk.says(0, &["grant", "remove", "icard"]);
    assert!(said.contains("is forgotten here, but still valid at the bank: no revocation is configured"), "{said}");
    assert_eq!(desk.0.state("icard", "default"), None);
    assert!(desk.rotating().grants().iter().all(|grant| !grant.revoked));
    let said = desk.says(0, &["grant", "remove", "icard", "other", "--local"]);
    assert!(!said.contains("no revocation"), "{said}");
}

#[test]
fn the_end_of_a_consent_is_foretold_in_log_readiness_and_listing() {
    let desk = Desk::new();
    desk.0.in_table("banks.icard", "consent_days = 10");
    desk.login("icard", "default");
    let list = desk.says(0, &["grant", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let of_grant = list.as_array().into_iter().flatten().find(|item| item["bank"] == "icard").expect("it is listed");
    assert!(of_grant["consent_until"].as_str().is_some_and(|until| until.ends_with('Z')), "{list}");
    let sidecar = desk.run();
    let ready = get(sidecar.address("admin"), "/readyz", "").1;
    assert!(ready.contains("\"days_left\":9") && ready.contains("bankside login icard default"), "{ready}");
    within(5 * SECOND, "the log tells of it", || sidecar.log().contains("consent_ends"));
}
