//! One bank's metrics, found once so that a request only counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use http::StatusCode;

use crate::words::Kind;

use super::connections::Connections;
use super::histogram::{Histogram, Sum};
use super::reach::Seen;
use super::sharded::Sharded;
use super::{ConnectionMetrics, Reach, RenewalOutcome, Towards};

pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
pub(super) const LOGINS: [&str; 2] = ["authorized", "not_authorized"];

/// One bank's metrics. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct BankMetrics(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: Sharded<Requests>,
    queued: AtomicI64,
    apps: AtomicI64,
    accepted: AtomicU64,
    connections: [Connections; Towards::ALL.len()],
    /// As in [`RenewalOutcome::ALL`].
    renewals: [AtomicU64; RenewalOutcome::ALL.len()],
    logins: [AtomicU64; LOGINS.len()],
    seen: Seen,
    clock_ahead: ClockAhead,
}

/// By how many seconds our clock is ahead of the bank's; `i64::MIN` as long as nobody knows.
#[derive(Debug)]
struct ClockAhead(AtomicI64);

impl Default for ClockAhead {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

/// What every request counts.
#[derive(Debug, Default)]
struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
    classes: [AtomicU64; CLASSES.len()],
    problems: [AtomicU64; Kind::ALL.len()],
    whole: Histogram,
    bank: Histogram,
    answer_bytes: AtomicU64,
    request_bytes: AtomicU64,
}

/// Something that is counted as long as it lasts.
#[derive(Debug)]
pub struct Open<'a>(&'a AtomicI64);

impl<'a> Open<'a> {
    fn new(count: &'a AtomicI64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

impl BankMetrics {
    /// A request has begun.
    pub fn begun(&self) {
        add(&self.0.requests.mine().begun, 1);
    }

    /// Counts an answer, and the problem if it was one of ours.
    pub fn answered(&self, status: StatusCode, problem: Option<Kind>) {
        let mine = self.0.requests.mine();
        if let Some(class) = mine.classes.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            add(class, 1);
        }
        let kind = problem.and_then(|problem| Kind::ALL.iter().position(|kind| *kind == problem));
        if let Some(counter) = kind.and_then(|kind| mine.problems.get(kind)) {
            add(counter, 1);
        }
    }

    /// A request that began then is over, with an answer of so many bytes.
    pub fn ended(&self, began: Instant, answer_bytes: u64) {
        let mine = self.0.requests.mine();
        mine.whole.note(began.elapsed());
        if answer_bytes > 0 {
            add(&mine.answer_bytes, answer_bytes);
        }
        add(&mine.ended, 1);
    }

    /// So many bytes of a request's body went to the bank.
    pub fn sent(&self, bytes: u64) {
        add(&self.0.requests.mine().request_bytes, bytes);
    }

    /// The head of the bank's answer is there, to what was handed over for sending then.
    pub fn bank_answered(&self, sent: Instant) {
        let now = Instant::now();
        self.0.requests.mine().bank.note(now.saturating_duration_since(sent));
        self.0.seen.reached(now);
    }

    /// The bank did not answer, for this reason, which has no secret in it.
    pub fn bank_failed(&self, reason: String) {
        self.0.seen.failed(Instant::now(), reason);
    }

    /// How the last tries to reach the bank went.
    pub fn reach(&self) -> Reach {
        self.0.seen.look(Instant::now())
    }

    /// By how many seconds our clock is ahead of the bank's (less than nothing: behind), where an answer has told.
    pub fn clock_ahead(&self) -> Option<i64> {
        Some(self.0.clock_ahead.0.load(Ordering::Relaxed)).filter(|ahead| *ahead != i64::MIN)
    }

    /// Our clock is so many seconds ahead of the bank's.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.0.clock_ahead.0.store(seconds, Ordering::Relaxed);
    }

    /// A request waits for its turn as long as this lasts.
    pub fn queued(&self) -> Open<'_> {
        Open::new(&self.0.queued)
    }

    /// An app is connected as long as this lasts.
    pub fn app_connected(&self) -> Open<'_> {
        add(&self.0.accepted, 1);
        Open::new(&self.0.apps)
    }

    /// Counts the connections towards one of the bank's endpoints.
    pub fn connections(&self, towards: Towards) -> ConnectionMetrics {
        ConnectionMetrics::new(self.clone(), towards)
    }

    /// Counts what came of a renewal.
    pub fn renewal(&self, outcome: RenewalOutcome) {
        add(&self.0.renewals[outcome as usize], 1);
    }

    /// Counts a login that came back from the bank.
    pub fn login(&self, authorized: bool) {
        add(&self.0.logins[usize::from(!authorized)], 1);
    }

    /// How many connections to the bank's API there are.
    pub fn open_connections(&self) -> u64 {
        count(&self.connections_towards(Towards::Api).open)
    }

    pub(super) fn connections_towards(&self, towards: Towards) -> &Connections {
        &self.0.connections[towards as usize]
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.0.seen
    }
}

/// What a scrape reads.
impl BankMetrics {
    pub(super) fn in_flight(&self) -> u64 {
        // Ends are read first: a request that ends meanwhile still counts, and the difference is never negative.
        let ended = self.sum(|requests| &requests.ended);
        self.sum(|requests| &requests.begun).saturating_sub(ended)
    }

    pub(super) fn class(&self, class: usize) -> u64 {
        self.sum(|requests| &requests.classes[class])
    }

    pub(super) fn problem(&self, kind: usize) -> u64 {
        self.sum(|requests| &requests.problems[kind])
    }

    pub(super) fn answer_bytes(&self) -> u64 {
        self.sum(|requests| &requests.answer_bytes)
    }

    pub(super) fn request_bytes(&self) -> u64 {
        self.sum(|requests| &requests.request_bytes)
    }

    pub(super) fn whole(&self) -> Sum {
        self.0.requests.all().map(|requests| &requests.whole).collect()
    }

    pub(super) fn bank_share(&self) -> Sum {
        self.0.requests.all().map(|requests| &requests.bank).collect()
    }

    pub(super) fn waiting(&self) -> u64 {
        count(&self.0.queued)
    }

    pub(super) fn apps(&self) -> u64 {
        count(&self.0.apps)
    }

    pub(super) fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    pub(super) fn renewals(&self) -> [u64; RenewalOutcome::ALL.len()] {
        self.0.renewals.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    pub(super) fn logins(&self) -> [u64; LOGINS.len()] {
        self.0.logins.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    fn sum(&self, count: impl Fn(&Requests) -> &AtomicU64) -> u64 {
        self.0.requests.all().map(|requests| count(requests).load(Ordering::Relaxed)).sum()
    }
}

/// A gauge's value; one that is read between two changes may be a little off, but not below nothing.
pub(super) fn count(gauge: &AtomicI64) -> u64 {
    u64::try_from(gauge.load(Ordering::Relaxed)).unwrap_or(0)
}
