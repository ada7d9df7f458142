//! A row of `grants` as it is in any database, its tokens still sealed; and who may lead a renewal of it.

use std::sync::Once;
use std::time::Duration;

use tracing::warn;

use crate::words::{BankName, GrantName, Secret, Timestamp};

use super::seal::{Bound, Sealer};
use super::{Claimant, Facts, Grant, GrantKey, NewTokens, Settled, Standing, StoreError};

/// No lease is that long: one that ends later was written by a clock that was wrong, and does not count.
pub(super) const FARTHEST: Duration = Duration::from_hours(1);
/// The same for the wait after a failure, which is five minutes at most: a clock that is set back must not prolong it.
pub(super) const FARTHEST_RETRY: Duration = Duration::from_mins(6);
/// How long a leader whose lease ran out is given before another one leads: where the store was away and not the leader,
/// it has an answer at hand and offers it in that time, though a call that the outage left hanging comes first.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// So long after it the grace counts as given. Then it is given anew, since the store may have been away again.
const GRACE_COUNTS: Duration = Duration::from_secs(10);
/// What the name of a holder ends with while its lease is in doubt.
const DOUBT: char = '?';

/// A row as it is, its tokens still sealed. `facts` of a removed grant have the standing of an empty one.
pub(super) struct Stored {
    pub(super) facts: Facts,
    pub(super) removed: bool,
    pub(super) lease_holder: Option<String>,
    pub(super) lease_until: Timestamp,
    pub(super) retry_at: Timestamp,
    pub(super) access: Option<Vec<u8>>,
    pub(super) refresh: Option<Vec<u8>>,
}

/// What a claim may do.
pub(super) enum Verdict {
    /// Take the lease.
    Lead,
    /// Let this be the holder for the time of grace, and lead not yet.
    Doubt(String),
    /// Nothing: the row has another version.
    Newer,
    /// Nothing: the bank said that it is over.
    Over,
    /// Nothing: somebody else leads for so long yet.
    Held(Duration),
    /// Nothing: the last renewal failed, and it is so long until the next one.
    Waiting(Duration),
}

impl Stored {
    /// The grant with its tokens.
    pub(super) fn unseal(self, sealer: &Sealer) -> Result<Grant, StoreError> {
        let access = self.open(sealer, "access", self.access.as_deref())?;
        let refresh = self.open(sealer, "refresh", self.refresh.as_deref())?;
        Ok(Grant { facts: self.facts, access, refresh })
    }

    /// The grant for who leads a renewal of it, and whether its refresh token is given up. Where no person is needed, and
    /// none consented, tokens that do not open are no loss: others are had for the asking.
    pub(super) fn unseal_for(self, claimant: &Claimant, sealer: &Sealer) -> Result<(Grant, bool), StoreError> {
        let facts = Some(&self.facts).filter(|facts| claimant.create && facts.consent_at.is_none()).cloned();
        match (self.unseal(sealer), facts) {
            (Err(error), Some(facts)) if error.is_of_one_row() => {
                Ok((Grant { facts, access: None, refresh: None }, true))
            }
            (unsealed, _) => Ok((unsealed?, false)),
        }
    }

    /// The bank's answer to a renewal, with what it leaves as it was. Nothing is opened that is not needed: the answer
    /// exists once, and must be kept although what stands here is damaged, or sealed under another process' new key.
    pub(super) fn renewed(&self, sealer: &Sealer, answer: &NewTokens) -> Result<NewTokens, StoreError> {
        let mut tokens = answer.clone();
        if tokens.refresh.is_none() {
            tokens.refresh = self.open(sealer, "refresh", self.refresh.as_deref())?;
        }
        tokens.scopes.get_or_insert_with(|| self.facts.scopes.clone());
        Ok(tokens)
    }

    /// Whether this is newer than the answer to a renewal of that version of that consent. A lower version is not: the
    /// database was set back, and what the bank gave since is not in it.
    pub(super) fn is_newer_than(&self, version: u64, consent_at: Option<Timestamp>) -> bool {
        self.facts.version > version || self.facts.consent_at != consent_at
    }

    /// Whether this makes way for an answer that it is newer than.
    pub(super) fn makes_way(&self, sealer: &Sealer, consent_at: Option<Timestamp>, answer: &NewTokens) -> bool {
        let refresh = self.open(sealer, "refresh", self.refresh.as_deref());
        let is_lost = matches!(refresh, Err(StoreError::Damaged { .. }));
        is_lost && self.facts.consent_at == consent_at && answer.refresh.is_some()
    }

    /// What is told where this stands in the place of an answer: to offer that again would open nothing.
    pub(super) fn instead(self, sealer: &Sealer) -> Result<Settled, StoreError> {
        match self.unseal(sealer) {
            Err(error) if error.is_of_one_row() => Ok(Settled::Unopened),
            stands => Ok(Settled::Newer(Box::new(stands?))),
        }
    }

    fn open(&self, sealer: &Sealer, purpose: &'static str, value: Option<&[u8]>) -> Result<Option<Secret>, StoreError> {
        value.map(|value| sealer.open(bound(purpose, &self.facts.key, self.facts.version), value)).transpose()
    }

    /// Whether the claimant may lead a renewal of this version. The row is not a removed one.
    pub(super) fn verdict(&self, version: u64, claimant: &Claimant, now: Timestamp) -> Verdict {
        if self.facts.version != version {
            return Verdict::Newer;
        }
        // What needs no person is never over for good, and a person may know better.
        if self.facts.standing == Standing::Over && !claimant.create && !claimant.despite_wait {
            return Verdict::Over;
        }
        if let Some(former) = self.lease_holder.as_deref().filter(|holder| *holder != claimant.holder) {
            if let Some(remaining) = pending(self.lease_until, now) {
                return Verdict::Held(remaining);
            }
            // A request has left, and what became of it is not known: perhaps just not here.
            if self.facts.sent_at.is_some() && !self.had_grace(former, now) {
                return Verdict::Doubt(in_doubt(former));
            }
        }
        match pending(self.retry_at, now).filter(|wait| *wait <= FARTHEST_RETRY && !claimant.despite_wait) {
            Some(remaining) => Verdict::Waiting(remaining),
            None => Verdict::Lead,
        }
    }

    /// Whether this holder of a lease that ran out was given the time of grace, not long ago.
    fn had_grace(&self, holder: &str, now: Timestamp) -> bool {
        holder.ends_with(DOUBT) && self.lease_until <= now && now.since(self.lease_until) <= GRACE_COUNTS
    }
}

/// The name of a holder whose lease is in doubt. Whoever bears it holds the lease still, if it says so in time.
pub(super) fn in_doubt(holder: &str) -> String {
    format!("{}{DOUBT}", holder.trim_end_matches(DOUBT))
}

/// The consent that stood before tokens were offered for the first time, if any did.
#[derive(Clone, Copy)]
pub(super) struct Former(pub(super) Option<Timestamp>);

impl Former {
    /// Whether what stands is another one, put meanwhile.
    pub(super) fn was_replaced_by(self, stands: Option<Timestamp>) -> bool {
        stands.is_some() && stands != self.0
    }
}

/// What is answered where this stands in the place of another consent; `None` if tokens may take the place, since what
/// stands there opens for nobody.
pub(super) fn what_stays(read: Result<Option<Grant>, StoreError>) -> Option<Result<Option<Grant>, StoreError>> {
    match read {
        Ok(None) | Err(StoreError::Damaged { .. }) => None,
        // It is alive: others have the key.
        Err(StoreError::WrongKey { .. }) => Some(Ok(None)),
        read => Some(read),
    }
}

/// How a standing is written. A removed grant's is `removed`.
pub(super) fn standing_of(text: &str) -> Result<Standing, StoreError> {
    match text {
        "empty" | "removed" => Ok(Standing::Empty),
        "active" => Ok(Standing::Active),
        "over" => Ok(Standing::Over),
        _ => Err(StoreError::Damaged { what: "standing" }),
    }
}

/// A grant's name as it is written.
pub(super) fn name_of(text: &str) -> Result<GrantName, StoreError> {
    text.parse().map_err(|_| StoreError::Damaged { what: "name" })
}

/// What a row among many says: one that is not understood costs none of the others. It is told once, since rows are
/// looked at each second.
pub(super) fn understood<T>(bank: &BankName, read: Result<T, StoreError>) -> Option<T> {
    static TOLD: Once = Once::new();
    read.inspect_err(|reason| TOLD.call_once(|| warn!(%bank, %reason, "a grant is left out"))).ok()
}

/// Seals a token for its row.
pub(super) fn seal(
    sealer: &Sealer,
    purpose: &'static str,
    key: &GrantKey,
    version: u64,
    token: Option<&Secret>,
) -> Result<Option<Vec<u8>>, StoreError> {
    token.map(|token| sealer.seal(bound(purpose, key, version), token)).transpose()
}

fn bound<'a>(purpose: &'static str, key: &'a GrantKey, version: u64) -> Bound<'a> {
    Bound { purpose, bank: key.bank.as_str(), name: key.grant.as_str(), version }
}

/// How long it is until a lease or wait ends, if it has not ended.
pub(super) fn pending(until: Timestamp, now: Timestamp) -> Option<Duration> {
    let remaining = until.since(now);
    (!remaining.is_zero() && remaining <= FARTHEST).then_some(remaining)
}
