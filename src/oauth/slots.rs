//! The grants of a bank that are in memory: so many at most, and of each one slot.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::store::GrantKey;
use crate::words::GrantName;

use super::slot::Slot;

/// The most slots in memory; beyond that, those unused longest are dropped.
const MOST: usize = 20_000;

/// Slots by the names of their grants.
#[derive(Default)]
pub(super) struct Slots(RwLock<HashMap<GrantName, Arc<Slot>>>);

impl Slots {
    /// The grant's slot, if there is one.
    pub(super) fn get(&self, grant: &GrantName) -> Option<Arc<Slot>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(grant).cloned()
    }

    /// What the grant's slot answers, if there is one. Nobody takes hold of it for that, so its count is not touched.
    pub(super) fn ask<T>(&self, grant: &GrantName, question: impl FnOnce(&Slot) -> Option<T>) -> Option<T> {
        question(self.0.read().unwrap_or_else(PoisonError::into_inner).get(grant)?)
    }

    /// The grant's slot, made if need be.
    pub(super) fn of(&self, key: GrantKey) -> Arc<Slot> {
        let mut slots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST {
            make_room(&mut slots);
        }
        Arc::clone(slots.entry(key.grant.clone()).or_insert_with(|| Arc::new(Slot::new(key))))
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Slot>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Keeps those of the grants that `keep` says yes to.
    pub(super) fn retain(&self, keep: impl Fn(&GrantName) -> bool) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|grant, _| keep(grant));
    }

    /// Takes a slot out, unless somebody else holds it: of two slots for a grant, both might renew it. One that waits after
    /// a failure stays, since the next would not know of it.
    pub(super) fn let_go(&self, slot: &Arc<Slot>) {
        let mut slots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let ours = slots.get(&slot.key.grant).is_some_and(|held| Arc::ptr_eq(held, slot));
        // One is the map's, one is the caller's.
        let is_at_rest = slot.flight().is_none() && slot.last_failure().is_none();
        if ours && Arc::strong_count(slot) == 2 && is_at_rest {
            slots.remove(&slot.key.grant);
        }
    }
}

/// Drops the tenth that was unused longest, but nothing that an attempt is under way for.
fn make_room(slots: &mut HashMap<GrantName, Arc<Slot>>) {
    let mut uses: Vec<_> = slots.values().map(|slot| slot.used_at()).collect();
    let tenth = uses.len() / 10;
    let (_, limit, _) = uses.select_nth_unstable(tenth);
    let limit = *limit;
    // Somebody who holds a slot may be about to begin an attempt, of which there must be one for a grant.
    slots.retain(|_, slot| slot.used_at() > limit || slot.flight().is_some() || Arc::strong_count(slot) > 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::slot::Boarding;
    use crate::words::Timestamp;

    #[test]
    fn what_was_unused_longest_leaves_memory_but_nothing_that_somebody_holds_or_waits_for() {
        let at = |second: usize| Timestamp::from_millis(1_000_000 * i64::try_from(second).unwrap());
        let names: Vec<GrantName> = (1..=100).map(|number| format!("grant-{number}").parse().unwrap()).collect();
        let mut slots: HashMap<_, _> = HashMap::new();
        for (number, grant) in names.iter().enumerate() {
            let slot = Slot::new(GrantKey { bank: "examplebank".parse().unwrap(), grant: grant.clone() });
            slot.note_use(at(number + 1));
            slots.insert(grant.clone(), Arc::new(slot));
        }
        let held = Arc::clone(&slots[&names[0]]);
        let Boarding::Lead(_pilot, _landing) = slots[&names[1]].board(at(1), false) else { panic!("it is the first") };
        make_room(&mut slots);
        assert!(Arc::ptr_eq(&held, &slots[&names[0]]), "somebody holds it");
        assert!(slots.contains_key(&names[1]), "an attempt is under way");
        assert!(!slots.contains_key(&names[2]), "nobody needs it");
        assert!((80..=95).contains(&slots.len()) && slots.contains_key(&names[99]), "{}", slots.len());
    }
}
