//! What happens unasked, on the control thread: renewal ahead of expiry, and the taking in of what others changed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::store::{GrantKey, StoreError};
use crate::words::{GrantName, Timestamp, with_causes};

use super::Tokens;
use super::slot::Boarding;
use super::tokens::{Aim, Errand};

/// How often it is looked for what others changed: within 2 s a change must be seen.
const LOOK: Duration = Duration::from_secs(1);
/// The shortest time between two looks.
const BREATH: Duration = Duration::from_millis(20);
/// How many renewals run ahead of expiry at once, and how many are taken from the index at once.
const AT_ONCE: usize = 32;
/// How often the store is told that a grant is in use, at most and at least.
const KEEP_USE: (Duration, Duration) = (Duration::from_mins(1), Duration::from_millis(250));

/// What a look remembers for the next one.
#[derive(Default)]
struct Watch {
    mark: Option<u64>,
    failing: bool,
    /// The grants whose rows did not open.
    unopened: HashSet<GrantName>,
}

impl Watch {
    fn warn_of_row(&mut self, key: &GrantKey, error: &StoreError) {
        if self.unopened.insert(key.grant.clone()) {
            warn!(bank = %key.bank, grant = %key.grant, outcome = "store", reason = with_causes(error), "token");
        }
    }
}

impl Tokens {
    /// Starts what happens unasked, on the control thread: renewal ahead of expiry, and the taking in of what other
    /// processes changed. It ends with `stop`; a renewal that is under way then goes on while the runtime does.
    pub fn start(self: &Arc<Self>, stop: CancellationToken) {
        if self.is_fixed() {
            return;
        }
        self.foretell(stop.clone());
        let (watcher, renewer) = (Arc::clone(self), Arc::clone(self));
        let stopped = stop.clone();
        self.parts.control.spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = watcher.watch() => {}
            }
        });
        self.parts.control.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = renewer.renew_ahead() => {}
            }
        });
    }

    /// Takes in what others change, for ever: when it is told, and now and then unasked.
    async fn watch(&self) {
        let (mut watch, mut news) = (Watch::default(), self.parts.store.news());
        loop {
            match self.look(&mut watch).await {
                Ok(()) => watch.failing = false,
                Err(error) => self.warn_once(&mut watch, &error),
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                // One look takes in all that is told in the same breath.
                () = news.of(&self.bank.name) => sleep(BREATH).await,
            }
        }
    }

    /// One look around.
    async fn look(&self, watch: &mut Watch) -> Result<(), StoreError> {
        self.keep_uses().await?;
        // The last change is looked at again: where the database was set back, another one may have its number by now.
        let after = watch.mark.map(|mark| mark.saturating_sub(1));
        let (mark, changed) = self.parts.store.changes(&self.bank.name, after).await?;
        // What was changed between the making of a slot and the first look is unknown, and what a database lost that was
        // set back: all are looked at.
        let all = watch.mark.is_none_or(|former| mark < former);
        let changed = if all { self.slots.all().iter().map(|slot| slot.key.clone()).collect() } else { changed };
        for key in &changed {
            match self.take_in(key).await {
                // One row that does not open must not hide the others.
                Err(error) if error.is_of_one_row() => watch.warn_of_row(key, &error),
                taken => {
                    taken?;
                    watch.unopened.remove(&key.grant);
                }
            }
        }
        watch.mark = Some(mark);
        Ok(())
    }

    /// Publishes what the store says of a grant that is in memory.
    async fn take_in(&self, key: &GrantKey) -> Result<(), StoreError> {
        if let Some(slot) = self.slots.get(&key.grant) {
            let edition = slot.edition();
            match self.parts.store.load(key).await? {
                Some(grant) => self.adopt(&slot, &grant),
                // What was put and published while this was on its way is not gone.
                None => slot.forget_edition(edition),
            }
        }
        Ok(())
    }

    /// Renews what is due, for ever. A store that fails is told of by the watch.
    async fn renew_ahead(self: &Arc<Self>) {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let pause = self.renew_due(&permits).await.unwrap_or(LOOK);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.wake.notified() => sleep(BREATH).await,
            }
        }
    }

    /// Begins the renewals that are due, no faster than the bank is to be asked; how long it is until the next look.
    async fn renew_due(self: &Arc<Self>, permits: &Arc<Semaphore>) -> Result<Duration, StoreError> {
        let due = self.parts.store.due(&self.bank.name, self.bank.renewal.idle, AT_ONCE).await?;
        let many = due.grants.len() == AT_ONCE;
        for (key, version) in due.grants {
            let Ok(permit) = Arc::clone(permits).acquire_owned().await else { break };
            while let Err(wait) = self.pace.take(Duration::ZERO) {
                sleep(wait).await;
            }
            self.renew_one(&key, version, permit);
        }
        let next = due.next.unwrap_or(LOOK).min(if many { BREATH } else { LOOK });
        Ok(next.max(BREATH))
    }

    /// Begins one renewal. A grant that nobody uses here does not stay in memory for it.
    fn renew_one(self: &Arc<Self>, key: &GrantKey, version: u64, permit: OwnedSemaphorePermit) {
        let held = self.slots.get(&key.grant).is_some_and(|slot| slot.used_at() > Timestamp::default());
        let Ok(slot) = self.slot(&key.grant) else { return };
        let used_at = slot.used_at();
        if let Boarding::Lead(pilot, mut landing) = slot.board(self.parts.clock.now(), false) {
            self.fly(&slot, pilot, Errand { older_than: version, aim: Aim::Renew, paced: true });
            let tokens = Arc::clone(self);
            self.parts.control.spawn(async move {
                let _ = landing.wait_for(Option::is_some).await;
                drop(permit);
                if !held && slot.used_at() == used_at {
                    tokens.slots.let_go(&slot);
                }
            });
        }
    }

    /// Tells the store which grants are in use, now and then.
    async fn keep_uses(&self) -> Result<(), StoreError> {
        let every = (self.bank.renewal.idle / 4).clamp(KEEP_USE.1, KEEP_USE.0);
        let slots = self.slots.all();
        let uses: Vec<_> = slots.iter().filter_map(|slot| Some((slot, slot.use_to_keep(every)?))).collect();
        if uses.is_empty() {
            return Ok(());
        }
        self.parts.store.touch(uses.iter().map(|(slot, used_at)| (slot.key.clone(), *used_at)).collect()).await?;
        for (slot, used_at) in uses {
            slot.use_was_kept(used_at);
        }
        Ok(())
    }

    fn warn_once(&self, watch: &mut Watch, error: &StoreError) {
        if !watch.failing {
            watch.failing = true;
            warn!(bank = %self.bank.name, outcome = "store", reason = with_causes(error), "token");
        }
    }
}
