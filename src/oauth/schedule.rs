//! What happens unasked, on the control thread: renewal ahead of expiry, and the taking in of what others changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::store::{GrantKey, StoreError};

use super::Tokens;
use super::failure::chain;
use super::slot::Boarding;

/// How often it is looked for what others changed: within 2 s a change must be seen.
const LOOK: Duration = Duration::from_secs(1);
/// The shortest time between two looks.
const BREATH: Duration = Duration::from_millis(20);
/// How many renewals run ahead of expiry at once.
const AT_ONCE: usize = 16;
/// How often the store is told that a grant is in use, at most and at least.
const KEEP_USE: (Duration, Duration) = (Duration::from_mins(1), Duration::from_millis(250));

/// What a look remembers for the next one.
struct Watch {
    mark: Option<u64>,
    permits: Arc<Semaphore>,
    failing: bool,
}

impl Tokens {
    /// Starts what happens unasked, on the control thread: renewal ahead of expiry, and the taking in of what other
    /// processes changed. It ends with `stop`; a renewal that is under way then goes on while the runtime does.
    pub fn start(self: &Arc<Self>, stop: CancellationToken) {
        if self.is_fixed() {
            return;
        }
        self.foretell(stop.clone());
        let tokens = Arc::clone(self);
        self.parts.control.spawn(async move {
            let mut watch = Watch { mark: None, permits: Arc::new(Semaphore::new(AT_ONCE)), failing: false };
            loop {
                let pause = match tokens.look(&mut watch).await {
                    Ok(pause) => {
                        watch.failing = false;
                        pause
                    }
                    Err(error) => {
                        tokens.warn_once(&mut watch, &error);
                        LOOK
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(pause) => {}
                    () = tokens.wake.notified() => sleep(BREATH).await,
                }
            }
        });
    }

    /// One look around; how long it is until the next one.
    async fn look(self: &Arc<Self>, watch: &mut Watch) -> Result<Duration, StoreError> {
        self.keep_uses().await?;
        let first = watch.mark.is_none();
        let (mark, changed) = self.parts.store.changes(&self.bank.name, watch.mark).await?;
        // What was changed between the making of a slot and the first look is unknown: all are looked at.
        let changed = if first { self.all_held().iter().map(|slot| slot.key.clone()).collect() } else { changed };
        for key in &changed {
            self.take_in(key).await?;
        }
        watch.mark = Some(mark);
        self.renew_due(watch).await
    }

    /// Publishes what the store says of a grant that is in memory.
    async fn take_in(&self, key: &GrantKey) -> Result<(), StoreError> {
        if let Some(slot) = self.held(&key.grant) {
            match self.parts.store.load(key).await? {
                Some(grant) => slot.adopt(&grant),
                None => slot.forget(),
            }
        }
        Ok(())
    }

    async fn renew_due(self: &Arc<Self>, watch: &Watch) -> Result<Duration, StoreError> {
        let due = self.parts.store.due(&self.bank.name, self.bank.renewal.idle, AT_ONCE).await?;
        let many = due.grants.len() == AT_ONCE;
        for (key, version) in due.grants {
            let Ok(permit) = Arc::clone(&watch.permits).try_acquire_owned() else { break };
            let Ok(slot) = self.slot(&key.grant) else { continue };
            if let Boarding::Lead(pilot, mut landing) = slot.board(self.parts.clock.now(), false) {
                self.fly(&slot, pilot, version, false);
                self.parts.control.spawn(async move {
                    let _ = landing.wait_for(Option::is_some).await;
                    drop(permit);
                });
            }
        }
        let next = due.next.unwrap_or(LOOK).min(if many { BREATH } else { LOOK });
        Ok(next.max(BREATH))
    }

    /// Tells the store which grants are in use, now and then.
    async fn keep_uses(&self) -> Result<(), StoreError> {
        let every = (self.bank.renewal.idle / 4).clamp(KEEP_USE.1, KEEP_USE.0);
        let slots = self.all_held();
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
            warn!(bank = %self.bank.name, outcome = "store", reason = chain(error), "token");
        }
    }
}
