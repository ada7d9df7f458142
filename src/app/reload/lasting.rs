//! What lasts until the program ends, whatever the configuration says meanwhile.

use std::sync::Arc;

use crate::app::mistaken;
use crate::config::{Config, Problem, Problems, Store, StoreKey};
use crate::store::seal::Sealer;
use crate::store::{KeyId, Sqlite, StoreError};

/// What the program was started with and keeps.
#[derive(Clone)]
pub(super) struct Lasting {
    pub(super) config: Arc<Config>,
    /// The keys of the store that is open, the sealing one first.
    pub(super) keys: Arc<[KeyId]>,
}

impl Lasting {
    /// What cannot change while the program runs.
    pub(super) fn needs_restart(&self, next: &Config) -> Vec<&'static str> {
        let started = &self.config;
        let changes = [
            ("store.url", started.store.url != next.store.url),
            ("store.key", self.is_other_key(&next.store.key)),
            ("runtime.workers", started.workers != next.workers),
            ("log", started.log != next.log),
        ];
        changes.into_iter().filter(|(_, changed)| *changed).map(|(what, _)| what).collect()
    }

    /// A key that was made at the start is found in its file afterwards.
    fn is_other_key(&self, next: &StoreKey) -> bool {
        match (&self.config.store.key, next) {
            (StoreKey::Make(started), StoreKey::Make(next)) => started != next,
            (StoreKey::Given(_), StoreKey::Make(_)) => true,
            (_, StoreKey::Given(_)) => ids(next) != *self.keys,
        }
    }

    /// Whether a restart with this store would open what is sealed until then: the key that seals is in memory, and
    /// perhaps nowhere else any more. It blocks.
    pub(super) fn keeps_key(&self, next: &Store) -> Result<(), Problems> {
        self.lost_key(next).map_or(Ok(()), |problem| Err(Problems(vec![problem])))
    }

    fn lost_key(&self, next: &Store) -> Option<Problem> {
        let sealing = self.keys.first().filter(|_| self.config.store.url == next.url);
        let error = match sealing.filter(|id| !ids(&next.key).contains(id)) {
            Some(id) => StoreError::WrongKey { id: id.to_string() },
            // One that only opens may have been taken out too early.
            None if self.is_other_key(&next.key) => Sqlite::look(next).err()?,
            None => return None,
        };
        matches!(error, StoreError::WrongKey { .. }).then(|| mistaken(next, &error))?
    }
}

/// None for a key that is still to be made.
fn ids(key: &StoreKey) -> Vec<KeyId> {
    let StoreKey::Given(keys) = key else { return Vec::new() };
    Sealer::new(keys).map(|sealer| sealer.ids().collect()).unwrap_or_default()
}
