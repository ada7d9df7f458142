//! Crash-proofing: the real program is killed with SIGKILL at random moments around renewals, against the bank whose
//! refresh tokens rotate and who ends a grant when a used one comes again.
//!
//! 300 rounds; `BANKSIDE_CRASH_ROUNDS` sets another number.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bankside::sandbox::{Fault, GrantView, Listens, Plan, Target};
use bankside::words::Random;
use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};

use support::desk::{Desk, get, state};
use support::program::Sidecar;
use support::wait::here::{look_for, time_passes, within};

/// Sidecars that live and die side by side.
const LANES: usize = 24;
/// The bank handles a refresh at once and answers after so many milliseconds: many kills fall in between.
const ANSWER_AFTER: u64 = 50;
/// Or it handles it after so many, and answers at once: kills fall before it has acted.
const HANDLE_AFTER: u64 = 250;
/// A dead leader's lease, the deciding try, and slow machines.
const SETTLED_WITHIN: Duration = Duration::from_secs(40);

/// What came of all rounds.
#[derive(Default)]
struct Tally {
    rounds: AtomicUsize,
    /// The kill met no renewal, or met one that was kept.
    unharmed: AtomicUsize,
    /// The kill met a renewal that the bank had not handled.
    unspent: AtomicUsize,
    /// The kill came after the bank had handled a renewal, and before its answer was durable.
    lost: AtomicUsize,
    reauthorized: AtomicUsize,
    renewals: AtomicUsize,
}

/// A sidecar's folder, and its grant at the bank.
struct Lane<'a> {
    desk: &'a Desk,
    logins: &'a Mutex<()>,
    tally: &'a Tally,
    folder: PathBuf,
    random: Random,
    /// The grant's number at the bank.
    number: u64,
    /// The store's version of it when the bank had refreshed it never.
    base: u64,
}

/// What the store's file says.
struct Row {
    version: u64,
    is_over: bool,
    is_open: bool,
}

#[test]
fn a_killed_sidecar_loses_a_consent_only_if_the_banks_answer_never_reached_the_disk() {
    let rounds = std::env::var("BANKSIDE_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(300);
    let desk = Desk::new();
    desk.rotating().change_rules(|rules| {
        rules.access_lifetime = Duration::from_secs(1);
        rules.reuse_ends_grant = true;
    });
    slow_down(&desk, true);
    let (tally, logins, began) = (Tally::default(), Mutex::new(()), Instant::now());
    std::thread::scope(|scope| {
        for number in 0..LANES {
            let (desk, logins, tally) = (&desk, &logins, &tally);
            scope.spawn(move || Lane::new(desk, logins, tally, number).live(rounds));
        }
    });
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    eprintln!(
        "{} rounds in {:?}: {} unharmed, {} killed before the bank had handled the renewal, {} before its answer was \
         durable, {} grants authorized anew; {} renewals",
        count(&tally.rounds),
        began.elapsed(),
        count(&tally.unharmed),
        count(&tally.unspent),
        count(&tally.lost),
        count(&tally.reauthorized),
        count(&tally.renewals),
    );
    assert!(count(&tally.rounds) >= rounds && count(&tally.lost) > 0 && count(&tally.unharmed) > 0);
    assert!(count(&tally.reauthorized) <= count(&tally.lost));
}

/// Before or after the bank acts.
fn slow_down(desk: &Desk, after: bool) {
    let fault = if after { Fault::DelayAnswer(ANSWER_AFTER) } else { Fault::Delay(HANDLE_AFTER) };
    desk.rotating().clear_plans();
    desk.rotating().plan(Plan::always(Target::TOKEN, fault));
}

impl<'a> Lane<'a> {
    fn new(desk: &'a Desk, logins: &'a Mutex<()>, tally: &'a Tally, number: usize) -> Self {
        let folder = desk.0.dir().join(format!("lane-{number}"));
        let free = || "127.0.0.1:0".to_owned();
        let listens = Listens { admin: free(), icard: free(), cnb: free(), cnb_sandbox: None };
        desk.0.sandbox.write_to(&folder, &listens).expect("a folder");
        let random = Random::system();
        let mut lane = Self { desk, logins, tally, folder, random, number: 0, base: 0 };
        lane.authorize();
        lane
    }

    fn config(&self) -> PathBuf {
        self.folder.join("bankside.toml")
    }

    fn authorize(&mut self) {
        // One after the other, so that the last grant at the bank is this one.
        let _one = self.logins.lock().expect("no other lane failed");
        self.desk.login_with(&self.config(), "icard", "default");
        self.number = self.desk.rotating().grants().last().expect("a grant").number;
        self.base = row(&self.folder).version;
    }

    fn at_bank(&self) -> GrantView {
        self.desk.rotating().grants().into_iter().find(|grant| grant.number == self.number).expect("it is there")
    }

    fn live(mut self, rounds: usize) {
        while self.tally.rounds.fetch_add(1, Ordering::Relaxed) < rounds {
            let sidecar = self.start();
            self.wait_for_the_moment();
            sidecar.service.end(Signal::SIGKILL);
            self.judge();
            // Some are killed once more while they wait for the dead one's lease, or in the deciding try.
            if self.random.fraction() < 0.8 {
                self.settle();
            }
        }
        self.settle();
        self.tally.renewals.fetch_add(usize::try_from(self.at_bank().refreshes).expect("few"), Ordering::Relaxed);
    }

    /// The store opens every time: else this panics with the sidecar's log.
    fn start(&self) -> Sidecar {
        Sidecar::run(&self.config())
    }

    /// Any moment, or one around a renewal.
    fn wait_for_the_moment(&self) {
        let millis = |most: f64| Duration::from_secs_f64(self.random.fraction() * most / 1000.0);
        slow_down(self.desk, self.random.fraction() < 0.6);
        if self.random.fraction() < 0.4 {
            return time_passes(millis(1000.0));
        }
        let before = self.at_bank().refreshes;
        // Where no renewal comes, that is a moment like any other.
        let _renewed = look_for(Duration::from_secs(2), || (self.at_bank().refreshes > before).then_some(()));
        time_passes(millis(150.0));
    }

    /// Right after the kill, with nobody running: what the store has, what the bank has, and what we say.
    fn judge(&mut self) {
        let (row, bank) = (row(&self.folder), self.at_bank());
        let kept = row.version - self.base;
        assert!(kept <= bank.refreshes, "the store has more than the bank gave");
        assert!(bank.refreshes - kept <= 1, "an answer that was not kept was built upon");
        let is_lost = bank.refreshes > kept;
        let counter = match (is_lost, row.is_open) {
            (true, _) => &self.tally.lost,
            (false, true) => &self.tally.unspent,
            (false, false) => &self.tally.unharmed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        assert!(!is_lost || row.is_open || row.is_over, "the intent was durable before the request left");
        let told = state(&self.config(), "icard", "default");
        let truths: &[&str] = match (row.is_over, row.is_open) {
            (true, _) => &["needs_authorization"],
            (false, true) => &["renewing", "unknown_outcome"],
            (false, false) => &["active", "expired"],
        };
        assert!(truths.contains(&told.as_str()), "{told} is told and {truths:?} is true");
        self.check_over(&row, is_lost);
    }

    /// A grant may be over only if the answer was lost; then a person authorizes anew.
    fn check_over(&mut self, row: &Row, is_lost: bool) {
        if row.is_over {
            assert!(is_lost, "a consent was lost whose answer had been delivered: lane {}", self.folder.display());
            self.tally.reauthorized.fetch_add(1, Ordering::Relaxed);
            self.tally.renewals.fetch_add(usize::try_from(self.at_bank().refreshes).expect("few"), Ordering::Relaxed);
            self.authorize();
        }
    }

    /// Lets it run until no renewal is open; then it serves, or says that a person is needed.
    fn settle(&mut self) {
        if !row(&self.folder).is_open {
            return;
        }
        let before = row(&self.folder).version;
        let was_lost = self.at_bank().refreshes > before - self.base;
        let sidecar = self.start();
        within(SETTLED_WITHIN, "the renewal is decided", || {
            let row = row(&self.folder);
            row.is_over || row.version > before
        });
        let (status, answer) = get(sidecar.address("icard"), "/v1/accounts", "");
        let row = row(&self.folder);
        if row.is_over {
            assert!(status == 503 && answer.contains("urn:bankside:needs-authorization"), "{answer}");
        } else {
            assert_eq!(status, 200, "{answer}{}", sidecar.log());
        }
        drop(sidecar);
        self.check_over(&row, was_lost);
    }
}

fn row(folder: &Path) -> Row {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(folder.join("bankside.db"), flags).expect("the store opens");
    connection.busy_timeout(Duration::from_secs(5)).expect("a timeout");
    let select = "SELECT version, standing, sent_at IS NOT NULL FROM grants WHERE bank = 'icard'";
    let read = |row: &rusqlite::Row<'_>| {
        let standing: String = row.get(1)?;
        Ok(Row { version: row.get(0)?, is_over: standing == "over", is_open: row.get(2)? })
    };
    connection.query_row(select, [], read).expect("the grant's row")
}
