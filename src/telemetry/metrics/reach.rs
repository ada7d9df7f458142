//! Whether a bank was reached when it was last tried: what an operator looks for first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::sharded::Sharded;

/// How the last tries to reach a bank went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nobody has tried since the start.
    Untried,
    /// It answered, or a connection was made, so long ago.
    Reached(Duration),
    /// It could not be reached, so long ago.
    Failed {
        /// How long ago the last try was.
        ago: Duration,
        /// Why, in one line. There is no secret in it.
        reason: String,
    },
}

/// What was seen, in milliseconds from `start`, plus one; 0 is never.
#[derive(Debug)]
pub(super) struct Seen {
    start: Instant,
    reached: Sharded<AtomicU64>,
    failed: Mutex<(u64, String)>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { start: Instant::now(), reached: Sharded::default(), failed: Mutex::default() }
    }
}

impl Seen {
    pub(super) fn reached(&self, now: Instant) {
        self.reached.mine().store(self.millis(now), Ordering::Relaxed);
    }

    pub(super) fn failed(&self, now: Instant, reason: String) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = (self.millis(now), reason);
    }

    pub(super) fn look(&self, now: Instant) -> Reach {
        let reached = self.reached.all().map(|at| at.load(Ordering::Relaxed)).max().unwrap_or(0);
        let (failed, reason) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ago = |at| Duration::from_millis(self.millis(now).saturating_sub(at));
        match (reached, failed) {
            (0, 0) => Reach::Untried,
            // A connection that was made just before a refusal (TLS 1.3) is no success.
            (reached, failed) if failed >= reached => Reach::Failed { ago: ago(failed), reason },
            (reached, _) => Reach::Reached(ago(reached)),
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_last_counts() {
        let seen = Seen::default();
        let at = |seconds| seen.start + Duration::from_secs(seconds);
        assert_eq!(seen.look(at(1)), Reach::Untried);
        seen.reached(at(2));
        assert_eq!(seen.look(at(5)), Reach::Reached(Duration::from_secs(3)));
        seen.failed(at(6), "refused".into());
        assert_eq!(seen.look(at(8)), Reach::Failed { ago: Duration::from_secs(2), reason: "refused".into() });
        seen.reached(at(9));
        assert_eq!(seen.look(at(9)), Reach::Reached(Duration::ZERO));
    }
}
