//! Renewals: claimed, extended, settled. Each is one transaction under the write lock.

use std::time::Duration;

use rusqlite::params;

use crate::store::stored::{GRACE, Stored, Verdict, in_doubt};
use crate::store::{Claim, Claimant, GrantKey, NewTokens, Settled, StoreError};
use crate::words::Timestamp;

use super::Work;
use super::grants::{self, NEXT_CHANGE};

pub(super) fn claim(work: &Work<'_>, key: &GrantKey, version: u64, claimant: &Claimant) -> Result<Claim, StoreError> {
    let mut expected = version;
    let stored = match Stored::find(work, key)? {
        Some(stored) if !stored.removed => stored,
        _ if !claimant.create => return Ok(Claim::Missing),
        _ => {
            let stored = make_empty(work, key)?;
            expected = stored.facts.version;
            stored
        }
    };
    match stored.verdict(expected, claimant, work.now) {
        Verdict::Lead => {}
        Verdict::Doubt(holder) => {
            let update = "UPDATE grants SET lease_holder = ?3, lease_until = ?4 WHERE bank = ?1 AND name = ?2";
            let until = work.now.plus(GRACE).millis();
            work.transaction.execute(update, params![key.bank.as_str(), key.grant.as_str(), holder, until])?;
            return Ok(Claim::Held { remaining: GRACE });
        }
        Verdict::Newer => return Ok(Claim::Newer(Box::new(stored.unseal(work.sealer)?))),
        Verdict::Over => return Ok(Claim::Over),
        Verdict::Held(remaining) => return Ok(Claim::Held { remaining }),
        Verdict::Waiting(remaining) => return Ok(Claim::Waiting { remaining }),
    }
    // A value that does not open must show before the intent is written.
    let (grant, given_up) = stored.unseal_for(claimant, work.sealer)?;
    work.transaction.execute(
        "UPDATE grants SET lease_holder = ?3, lease_until = ?4, sent_at = ?5, refresh = iif(?6, NULL, refresh) \
         WHERE bank = ?1 AND name = ?2",
        params![
            key.bank.as_str(),
            key.grant.as_str(),
            claimant.holder,
            work.now.plus(claimant.hold).millis(),
            work.now.millis(),
            given_up
        ],
    )?;
    Ok(Claim::Led(Box::new(grant)))
}

/// A row for a grant that needs no person. Where one was removed, its versions go on.
fn make_empty(work: &Work<'_>, key: &GrantKey) -> Result<Stored, StoreError> {
    work.transaction.execute(
        &format!(
            "INSERT INTO grants (bank, name, version, change, standing, scopes, issued_at, used_at) \
             VALUES (?1, ?2, 0, {NEXT_CHANGE}, 'empty', '[]', 0, ?3) \
             ON CONFLICT DO UPDATE SET standing = 'empty', change = excluded.change, used_at = excluded.used_at"
        ),
        params![key.bank.as_str(), key.grant.as_str(), work.now.millis()],
    )?;
    Stored::find(work, key)?.ok_or(StoreError::Damaged { what: "grant" })
}

pub(super) fn extend(work: &Work<'_>, key: &GrantKey, version: u64, claimant: &Claimant) -> Result<bool, StoreError> {
    let changed = work.transaction.execute(
        "UPDATE grants SET lease_holder = ?4, lease_until = ?6 \
         WHERE bank = ?1 AND name = ?2 AND version = ?3 AND lease_holder IN (?4, ?5)",
        params![
            key.bank.as_str(),
            key.grant.as_str(),
            version,
            claimant.holder,
            in_doubt(&claimant.holder),
            work.now.plus(claimant.hold).millis()
        ],
    )?;
    Ok(changed > 0)
}

pub(super) fn complete(
    work: &Work<'_>,
    key: &GrantKey,
    version: u64,
    consent_at: Option<Timestamp>,
    tokens: &NewTokens,
) -> Result<Settled, StoreError> {
    let is_newer = |stored: &Stored| {
        stored.is_newer_than(version, consent_at) && !stored.makes_way(work.sealer, consent_at, tokens)
    };
    settle(work, key, is_newer, |stored| {
        let tokens = stored.renewed(work.sealer, tokens)?;
        let next = version.max(stored.facts.version) + 1;
        grants::write(work, key, next, &tokens, stored.facts.consent_at, stored.facts.used_at)
    })
}

pub(super) fn end(
    work: &Work<'_>,
    key: &GrantKey,
    version: u64,
    consent_at: Option<Timestamp>,
) -> Result<Settled, StoreError> {
    let is_other = |stored: &Stored| (stored.facts.version, stored.facts.consent_at) != (version, consent_at);
    settle(work, key, is_other, |_| {
        work.transaction.execute(
            &format!(
                "UPDATE grants SET standing = 'over', change = {NEXT_CHANGE}, renew_at = NULL, lease_holder = NULL, \
                 lease_until = 0, sent_at = NULL, failures = 0, retry_at = 0 WHERE bank = ?1 AND name = ?2"
            ),
            [key.bank.as_str(), key.grant.as_str()],
        )?;
        Ok(())
    })
}

/// Applies the end of a renewal, unless the row is another one by now.
fn settle(
    work: &Work<'_>,
    key: &GrantKey,
    is_other: impl FnOnce(&Stored) -> bool,
    apply: impl FnOnce(&Stored) -> Result<(), StoreError>,
) -> Result<Settled, StoreError> {
    let Some(stored) = Stored::find(work, key)?.filter(|stored| !stored.removed) else {
        return Ok(Settled::Missing);
    };
    if is_other(&stored) {
        return stored.instead(work.sealer);
    }
    apply(&stored)?;
    let grant = grants::load(work, key)?.ok_or(StoreError::Damaged { what: "grant" })?;
    Ok(Settled::Stored(Box::new(grant)))
}

pub(super) fn postpone(
    work: &Work<'_>,
    key: &GrantKey,
    version: u64,
    holder: &str,
    wait: Duration,
    unanswered: bool,
) -> Result<(), StoreError> {
    work.transaction.execute(
        "UPDATE grants SET lease_holder = NULL, lease_until = 0, failures = failures + 1, retry_at = ?6, \
         sent_at = iif(?7, sent_at, NULL) WHERE bank = ?1 AND name = ?2 AND version = ?3 AND lease_holder IN (?4, ?5)",
        params![
            key.bank.as_str(),
            key.grant.as_str(),
            version,
            holder,
            in_doubt(holder),
            work.now.plus(wait).millis(),
            unanswered
        ],
    )?;
    Ok(())
}
