//! What lasts until the program ends, whatever the configuration says meanwhile.

use crate::config::{Config, StoreKey};

/// What cannot change while the program runs.
pub(super) fn needs_restart(started: &Config, next: &Config) -> Vec<&'static str> {
    let changes = [
        ("store.url", started.store.url != next.store.url),
        ("store.key", is_other_key(&started.store.key, &next.store.key)),
        ("runtime.workers", started.workers != next.workers),
        ("log", started.log != next.log),
    ];
    changes.into_iter().filter(|(_, changed)| *changed).map(|(what, _)| what).collect()
}

/// A key that was made at the start is found in its file afterwards.
fn is_other_key(started: &StoreKey, next: &StoreKey) -> bool {
    match (started, next) {
        (StoreKey::Given(started), StoreKey::Given(next)) => {
            started.len() != next.len() || started.iter().zip(next).any(|(one, other)| !one.matches(other.expose()))
        }
        (StoreKey::Make(started), StoreKey::Make(next)) => started != next,
        (StoreKey::Make(_), StoreKey::Given(_)) => false,
        (StoreKey::Given(_), StoreKey::Make(_)) => true,
    }
}
