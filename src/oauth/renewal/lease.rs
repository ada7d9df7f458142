//! The lease under which a renewal is led: held as long as it takes, and nothing leaves without it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::oauth::Tokens;
use crate::oauth::slot::Slot;

use super::HOLD;

/// How often a lease is extended.
const BEAT: Duration = Duration::from_secs(3);
/// And after a failure.
const BEAT_AGAIN: Duration = Duration::from_millis(500);

/// What is known of it here.
pub(super) struct Lease {
    /// Until when nobody else can have taken it.
    until: watch::Sender<Instant>,
    /// Whether the request may have left: from then on only its answer counts.
    has_left: AtomicBool,
    /// Whether the answer is there, and who keeps it tells of the store's failures.
    is_answered: AtomicBool,
}

impl Lease {
    /// One that was asked for at this moment, and given.
    pub(super) fn claimed(asked: Instant) -> Self {
        Self {
            until: watch::Sender::new(asked + HOLD),
            has_left: AtomicBool::new(false),
            is_answered: AtomicBool::new(false),
        }
    }

    /// The request leaves, or nothing of it has left after all.
    pub(super) fn departs(&self, departs: bool) {
        self.has_left.store(departs, Ordering::Relaxed);
    }

    pub(super) fn note_answer(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    /// Comes when somebody else may lead while nothing has left: this process stood still, or neither bank nor store
    /// could be reached. The same refresh token sent by both would cost the grant.
    pub(super) async fn lost_before_departure(&self) {
        let mut changes = self.until.subscribe();
        loop {
            let until = *changes.borrow_and_update();
            if Instant::now() >= until && !self.has_left.load(Ordering::Relaxed) {
                return;
            }
            // What is about to leave may not have left after all.
            let look_again = until.max(Instant::now() + BEAT_AGAIN);
            tokio::select! {
                () = sleep_until(look_again) => {}
                _ = changes.changed() => {}
            }
        }
    }

    fn extend(&self, until: Instant) {
        self.until.send_replace(until);
    }
}

impl Tokens {
    /// Extends the lease for as long as it is polled. When the request has left, a lease that was lost is no reason to
    /// stop: the answer is good as long as nobody stored a newer one.
    pub(super) async fn hold_lease(&self, slot: &Slot, version: u64, lease: &Lease) {
        let (claimant, mut pause) = (self.claimant(false), BEAT);
        loop {
            sleep(pause).await;
            let asked = Instant::now();
            pause = BEAT;
            match self.parts.store.extend(&slot.key, version, &claimant).await {
                Ok(true) => lease.extend(asked + HOLD),
                Ok(false) => lease.extend(asked),
                Err(error) => {
                    if !lease.is_answered.load(Ordering::Relaxed) {
                        self.store_failed(slot, &error);
                    }
                    // When the store is back, others must learn that this leader lives before its time of grace is over.
                    pause = BEAT_AGAIN;
                }
            }
        }
    }
}
