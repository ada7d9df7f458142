//! A grant in memory: the snapshot that workers read, and what is known beside it.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::store::{Grant, GrantKey, Standing};
use crate::words::{Timestamp, Token};

use super::backoff::LONGEST_WAIT;
use super::{TokenError, asked};

/// Renewals that 401s cause are counted within this time.
const FORCED_WITHIN: Duration = Duration::from_mins(1);

/// The end of a flight, once it is there.
pub(super) type Landing = watch::Receiver<Option<Result<(), TokenError>>>;
/// Held by the task that flies.
pub(super) type Pilot = watch::Sender<Option<Result<(), TokenError>>>;

/// A grant in memory.
pub(super) struct Slot {
    pub(super) key: GrantKey,
    token: ArcSwapOption<Token>,
    used_at: AtomicI64,
    kept_use: AtomicI64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The newest version that was seen.
    version: u64,
    /// When its tokens were issued.
    issued_at: Timestamp,
    /// When the person consented to it.
    consent_at: Option<Timestamp>,
    /// The bank said that the grant is over.
    over: bool,
    /// Until when there is no use in trying, and why.
    blocked: Option<(Timestamp, TokenError)>,
    /// The attempt that is under way.
    flight: Option<Flight>,
    /// The certificate that the newest version was issued under, as far as that is known.
    certificate: Option<String>,
    /// What failed so far may work under the configuration of now: the next attempt waits for nothing.
    is_urgent: bool,
    /// When 401s caused renewals.
    forced: VecDeque<Timestamp>,
    /// When a 401 last made us look into the store.
    looked_at: Option<Timestamp>,
}

/// An attempt to get a token.
struct Flight {
    landing: Landing,
    /// An answer is at hand and the store does not take it.
    unstored: bool,
}

impl Flight {
    /// Whether the pilot still flies: one that was dropped with its runtime has left no result.
    fn is_under_way(&self) -> bool {
        self.landing.borrow().is_none() && self.landing.has_changed().is_ok()
    }
}

/// How a caller comes along.
pub(super) enum Boarding {
    /// The caller is first: it sees to it that the pilot flies.
    Lead(Pilot, Landing),
    /// An attempt is under way.
    Join(Landing),
    /// There is no use in trying yet.
    Blocked(TokenError),
}

impl Slot {
    /// A grant of which nothing is known, and which nobody has used.
    pub(super) fn new(key: GrantKey) -> Self {
        Self {
            key,
            token: ArcSwapOption::empty(),
            used_at: AtomicI64::new(0),
            kept_use: AtomicI64::new(0),
            known: Mutex::default(),
        }
    }

    /// The snapshot, if it may be sent.
    pub(super) fn token(&self, now: Timestamp) -> Option<Arc<Token>> {
        self.token.load_full().filter(|token| token.is_valid(now))
    }

    /// A valid token of a newer version than `version`.
    pub(super) fn newer(&self, version: u64, now: Timestamp) -> Option<Arc<Token>> {
        self.token(now).filter(|token| token.version() > version)
    }

    /// Remembers that the grant is in use. Most calls write nothing: the line is shared by all workers.
    pub(super) fn note_use(&self, now: Timestamp) {
        if now.millis() - self.used_at.load(Ordering::Relaxed) >= 1000 {
            self.used_at.store(now.millis(), Ordering::Relaxed);
        }
    }

    pub(super) fn used_at(&self) -> Timestamp {
        Timestamp::from_millis(self.used_at.load(Ordering::Relaxed))
    }

    /// The last use, if the store's knowledge of it is older than `every`.
    pub(super) fn use_to_keep(&self, every: Duration) -> Option<Timestamp> {
        let used_at = self.used_at();
        let kept = Timestamp::from_millis(self.kept_use.load(Ordering::Relaxed));
        (used_at.since(kept) >= every).then_some(used_at)
    }

    pub(super) fn use_was_kept(&self, used_at: Timestamp) {
        self.kept_use.store(used_at.millis(), Ordering::Relaxed);
    }

    /// Publishes what the store says, unless something newer is known. A newer consent may have a version that is not: that
    /// of a database that was set back.
    pub(super) fn adopt(&self, grant: &Grant) {
        let mut known = self.known();
        if grant.facts.version >= known.version || grant.facts.consent_at > known.consent_at {
            self.take_up(&mut known, grant);
        }
    }

    /// Publishes what was stored just now. A lower version than the one known is that of a database that was restored.
    pub(super) fn adopt_stored(&self, grant: &Grant) {
        self.take_up(&mut self.known(), grant);
    }

    fn take_up(&self, known: &mut Known, grant: &Grant) {
        known.over = grant.facts.standing == Standing::Over;
        self.kept_use.fetch_max(grant.facts.used_at.millis(), Ordering::Relaxed);
        if (grant.facts.version, grant.facts.issued_at) != (known.version, known.issued_at) {
            (known.version, known.issued_at, known.blocked) = (grant.facts.version, grant.facts.issued_at, None);
            known.consent_at = grant.facts.consent_at;
            known.certificate = asked::certificate(&grant.facts).map(str::to_owned);
            let (version, issued, expires) = (grant.facts.version, grant.facts.issued_at, grant.facts.expires_at);
            let token = grant.access.as_ref().map(|access| Token::bearer(access, version, issued, expires));
            self.token.store(token.map(Arc::new));
        }
    }

    /// Publishes a token that never changes.
    pub(super) fn fix(&self, token: Token) {
        self.known().version = token.version();
        self.token.store(Some(Arc::new(token)));
    }

    /// The grant was removed.
    pub(super) fn forget(&self) {
        let mut known = self.known();
        known.over = false;
        self.token.store(None);
    }

    /// What is known: a version, and when its tokens were issued.
    pub(super) fn edition(&self) -> (u64, Timestamp) {
        let known = self.known();
        (known.version, known.issued_at)
    }

    /// The grant was removed, unless another edition than this one is known by now.
    pub(super) fn forget_edition(&self, edition: (u64, Timestamp)) {
        let mut known = self.known();
        if (known.version, known.issued_at) == edition {
            known.over = false;
            self.token.store(None);
        }
    }

    /// Whether this version's token was issued under another certificate than this one: then the bank may have bound it
    /// to that (RFC 8705, section 3).
    pub(super) fn is_of_another_certificate(&self, version: u64, certificate: Option<&str>) -> bool {
        let known = self.known();
        let issued_under = known.certificate.as_deref().filter(|_| known.version == version);
        issued_under.is_some_and(|former| certificate != Some(former))
    }

    /// The configuration has changed: what could not work before is tried again at once, once.
    pub(super) fn try_anew(&self) {
        let mut known = self.known();
        let is_under_way = known.flight.as_ref().is_some_and(Flight::is_under_way);
        known.is_urgent = known.blocked.take().is_some() || is_under_way;
    }

    /// Whether this attempt is the one that waits for nothing.
    pub(super) fn take_urgency(&self) -> bool {
        std::mem::take(&mut self.known().is_urgent)
    }

    /// The bank takes this version's token no more, and there will be no other.
    pub(super) fn reject(&self, version: u64) {
        let known = self.known();
        if known.version == version {
            self.token.store(None);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.known().over
    }

    /// The attempt that is under way, if there is one.
    pub(super) fn flight(&self) -> Option<Landing> {
        let known = self.known();
        known.flight.as_ref().filter(|flight| flight.is_under_way()).map(|flight| flight.landing.clone())
    }

    /// Joins the attempt that is under way, or begins one.
    pub(super) fn board(&self, now: Timestamp, despite_wait: bool) -> Boarding {
        let mut known = self.known();
        if let Some(flight) = known.flight.as_ref().filter(|flight| flight.is_under_way()) {
            let unstored = TokenError::Store { retry_after: Duration::from_secs(1) };
            return if flight.unstored { Boarding::Blocked(unstored) } else { Boarding::Join(flight.landing.clone()) };
        }
        let blocked = known.blocked.as_ref().map(|(until, error)| (until.since(now), error));
        // Nothing waits longer: the clock was set back since.
        let blocked = blocked.filter(|(wait, _)| !wait.is_zero() && *wait <= LONGEST_WAIT && !despite_wait);
        if let Some((wait, error)) = blocked {
            return Boarding::Blocked(error.clone().after(wait));
        }
        let (pilot, landing) = watch::channel(None);
        known.flight = Some(Flight { landing: landing.clone(), unstored: false });
        Boarding::Lead(pilot, landing)
    }

    /// Ends an attempt and tells all who wait for it.
    pub(super) fn land(&self, pilot: &Pilot, result: Result<(), TokenError>, now: Timestamp) {
        let mut known = self.known();
        known.flight = None;
        let former = known.blocked.take();
        let error = result.as_ref().err().filter(|_| !known.is_urgent);
        known.blocked = error.map(|error| {
            let former = former.and_then(|(_, former)| former.cause().cloned());
            (now.plus(error.retry_after()), error.clone().or_because(former))
        });
        drop(known);
        pilot.send_replace(Some(result));
    }

    /// An answer is at hand and the store does not take it: nobody need wait for that.
    pub(super) fn set_unstored(&self) {
        if let Some(flight) = &mut self.known().flight {
            flight.unstored = true;
        }
    }

    /// Whether a 401 may cause a renewal, of which there are so many at most.
    pub(super) fn may_force(&self, now: Timestamp, at_most: usize) -> bool {
        let mut known = self.known();
        known.forced.retain(|at| *at <= now && now.since(*at) < FORCED_WITHIN);
        known.forced.len() < at_most
    }

    /// A 401 causes a renewal. What another process renewed does not count.
    pub(super) fn count_forced(&self, now: Timestamp) {
        self.known().forced.push_back(now);
    }

    /// Whether a 401 may make us look into the store, which it may once in `every`.
    pub(super) fn may_look(&self, now: Timestamp, every: Duration) -> bool {
        let mut known = self.known();
        let may = known.looked_at.is_none_or(|at| at > now || now.since(at) >= every);
        if may {
            known.looked_at = Some(now);
        }
        may
    }

    /// Why the last attempt brought no token, and when the next one may begin.
    pub(super) fn last_failure(&self) -> Option<(Timestamp, TokenError)> {
        self.known().blocked.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
