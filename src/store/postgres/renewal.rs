//! Renewals: claimed, extended, settled. Each is one conditional update: where the row is not the one that was looked at
//! any more, nothing happens, and it is looked at anew.

use std::time::Duration;

use tokio_postgres::types::Type;

use crate::store::stored::{GRACE, Stored, Verdict, in_doubt};
use crate::store::{Claim, Claimant, GrantKey, NewTokens, Settled, Standing, StoreError};
use crate::words::Timestamp;

use super::Desk;
use super::grants::{self, Change, NEXT, TELL, TRIES};
use super::rows::{self, integer, millis, written};

pub(super) async fn claim(
    desk: &mut Desk,
    key: &GrantKey,
    version: u64,
    claimant: &Claimant,
) -> Result<Claim, StoreError> {
    let mut made = false;
    for _ in 0..TRIES {
        let Some((stored, now)) = rows::find(desk, key).await?.filter(|(stored, _)| !stored.removed) else {
            if !claimant.create {
                return Ok(Claim::Missing);
            }
            make_empty(desk, key).await?;
            made = true;
            continue;
        };
        // Where a removed grant begins again, its versions go on.
        let begins = made && stored.facts.standing == Standing::Empty;
        let expected = if begins { stored.facts.version } else { version };
        let seen = Seen::of(&stored);
        match stored.verdict(expected, claimant, now) {
            Verdict::Lead => {}
            Verdict::Doubt(holder) if lease(desk, key, &seen, &holder, GRACE, None).await? => {
                return Ok(Claim::Held { remaining: GRACE });
            }
            Verdict::Doubt(_) => continue,
            Verdict::Newer => return Ok(Claim::Newer(Box::new(stored.unseal(&desk.sealer)?))),
            Verdict::Over => return Ok(Claim::Over),
            Verdict::Held(remaining) => return Ok(Claim::Held { remaining }),
            Verdict::Waiting(remaining) => return Ok(Claim::Waiting { remaining }),
        }
        // A value that does not open must show before the intent is written.
        let (grant, given_up) = stored.unseal_for(claimant, &desk.sealer)?;
        let intent = Some(Intent { given_up });
        if lease(desk, key, &seen, &claimant.holder, claimant.hold, intent).await? {
            return Ok(Claim::Led(Box::new(grant)));
        }
    }
    Err(StoreError::Crowded)
}

/// The part of a row that a claim was judged by.
struct Seen {
    version: i64,
    standing: &'static str,
    lease_holder: Option<String>,
    lease_until: i64,
    retry_at: i64,
}

impl Seen {
    fn of(stored: &Stored) -> Self {
        Self {
            version: integer(stored.facts.version),
            standing: written(stored.facts.standing),
            lease_holder: stored.lease_holder.clone(),
            lease_until: stored.lease_until.millis(),
            retry_at: stored.retry_at.millis(),
        }
    }
}

/// What who leads writes with the lease.
struct Intent {
    /// Whether the refresh token goes, which does not open.
    given_up: bool,
}

/// Gives the lease to this holder, if the row is still the one that was judged; who leads writes the intent with it.
async fn lease(
    desk: &mut Desk,
    key: &GrantKey,
    seen: &Seen,
    holder: &str,
    hold: Duration,
    intent: Option<Intent>,
) -> Result<bool, StoreError> {
    let sql = "UPDATE bankside.grants SET lease_holder = $3, lease_until = clock.now + $4, \
         sent_at = CASE WHEN $10 THEN clock.now ELSE sent_at END, \
         refresh = CASE WHEN $11 THEN NULL ELSE refresh END \
         FROM (SELECT bankside.now() AS now OFFSET 0) AS clock \
         WHERE bank = $1 AND name = $2 AND version = $5 AND standing = $6 \
         AND lease_holder IS NOT DISTINCT FROM $7 AND lease_until = $8 AND retry_at = $9 RETURNING 1";
    let (leads, given_up) = (intent.is_some(), intent.is_some_and(|intent| intent.given_up));
    let parameters = [
        (&key.bank.as_str() as _, Type::TEXT),
        (&key.grant.as_str() as _, Type::TEXT),
        (&holder as _, Type::TEXT),
        (&millis(hold) as _, Type::INT8),
        (&seen.version as _, Type::INT8),
        (&seen.standing as _, Type::TEXT),
        (&seen.lease_holder as _, Type::TEXT),
        (&seen.lease_until as _, Type::INT8),
        (&seen.retry_at as _, Type::INT8),
        (&leads as _, Type::BOOL),
        (&given_up as _, Type::BOOL),
    ];
    desk.connection.did(sql, &parameters).await
}

/// A row for a grant that needs no person.
async fn make_empty(desk: &mut Desk, key: &GrantKey) -> Result<(), StoreError> {
    let sql = format!(
        "{NEXT} INSERT INTO bankside.grants (bank, name, version, change, standing, scopes, issued_at, used_at) \
         SELECT $1, $2, 0, next.change, 'empty', '[]', 0, bankside.now() FROM next \
         ON CONFLICT (bank, name) DO UPDATE SET standing = 'empty', change = excluded.change, used_at = excluded.used_at \
         WHERE grants.standing = 'removed' {TELL}"
    );
    let (bank, name) = (key.bank.as_str(), key.grant.as_str());
    desk.connection.query(&sql, &[(&bank, Type::TEXT), (&name, Type::TEXT)]).await?;
    Ok(())
}

pub(super) async fn extend(
    desk: &mut Desk,
    key: &GrantKey,
    version: u64,
    claimant: &Claimant,
) -> Result<bool, StoreError> {
    let sql = "UPDATE bankside.grants SET lease_holder = $4, lease_until = bankside.now() + $5 \
         WHERE bank = $1 AND name = $2 AND version = $3 AND lease_holder IN ($4, $6) RETURNING 1";
    let parameters = [
        (&key.bank.as_str() as _, Type::TEXT),
        (&key.grant.as_str() as _, Type::TEXT),
        (&integer(version) as _, Type::INT8),
        (&claimant.holder as _, Type::TEXT),
        (&millis(claimant.hold) as _, Type::INT8),
        (&in_doubt(&claimant.holder) as _, Type::TEXT),
    ];
    desk.connection.did(sql, &parameters).await
}

pub(super) async fn complete(
    desk: &mut Desk,
    key: &GrantKey,
    version: u64,
    consent_at: Option<Timestamp>,
    answer: NewTokens,
) -> Result<Settled, StoreError> {
    for _ in 0..TRIES {
        let Some((stored, _)) = rows::find(desk, key).await?.filter(|(stored, _)| !stored.removed) else {
            return Ok(Settled::Missing);
        };
        let is_newer = stored.is_newer_than(version, consent_at);
        if is_newer && !stored.makes_way(&desk.sealer, consent_at, &answer) {
            return stored.instead(&desk.sealer);
        }
        let tokens = stored.renewed(&desk.sealer, &answer)?;
        let (from, to) = (stored.facts.version, version.max(stored.facts.version) + 1);
        if grants::write(desk, key, Change { from, to, tokens: &tokens, given: false }).await? {
            return settled(desk, key, to, consent_at).await;
        }
    }
    Err(StoreError::Crowded)
}

pub(super) async fn end(
    desk: &mut Desk,
    key: &GrantKey,
    version: u64,
    consent_at: Option<Timestamp>,
) -> Result<Settled, StoreError> {
    let sql = format!(
        "{NEXT} UPDATE bankside.grants SET standing = 'over', change = next.change, renew_at = NULL, lease_holder = NULL, \
         lease_until = 0, sent_at = NULL, failures = 0, retry_at = 0 FROM next \
         WHERE bank = $1 AND name = $2 AND version = $3 AND consent_at IS NOT DISTINCT FROM $4 \
         AND standing <> 'removed' {TELL}"
    );
    let parameters = [
        (&key.bank.as_str() as _, Type::TEXT),
        (&key.grant.as_str() as _, Type::TEXT),
        (&integer(version) as _, Type::INT8),
        (&consent_at.map(Timestamp::millis) as _, Type::INT8),
    ];
    desk.connection.did(&sql, &parameters).await?;
    settled(desk, key, version, consent_at).await
}

/// What the row says after a renewal was settled as `version` of that consent.
async fn settled(
    desk: &mut Desk,
    key: &GrantKey,
    version: u64,
    consent_at: Option<Timestamp>,
) -> Result<Settled, StoreError> {
    let Some((stored, _)) = rows::find(desk, key).await?.filter(|(stored, _)| !stored.removed) else {
        return Ok(Settled::Missing);
    };
    if (stored.facts.version, stored.facts.consent_at) != (version, consent_at) {
        return stored.instead(&desk.sealer);
    }
    Ok(Settled::Stored(Box::new(stored.unseal(&desk.sealer)?)))
}

pub(super) async fn postpone(
    desk: &mut Desk,
    key: &GrantKey,
    version: u64,
    holder: &str,
    wait: Duration,
    unanswered: bool,
) -> Result<(), StoreError> {
    let sql = "UPDATE bankside.grants SET lease_holder = NULL, lease_until = 0, failures = failures + 1, \
         retry_at = bankside.now() + $5, sent_at = CASE WHEN $6 THEN sent_at END \
         WHERE bank = $1 AND name = $2 AND version = $3 AND lease_holder IN ($4, $7)";
    let parameters = [
        (&key.bank.as_str() as _, Type::TEXT),
        (&key.grant.as_str() as _, Type::TEXT),
        (&integer(version) as _, Type::INT8),
        (&holder as _, Type::TEXT),
        (&millis(wait) as _, Type::INT8),
        (&unanswered as _, Type::BOOL),
        (&in_doubt(holder) as _, Type::TEXT),
    ];
    desk.connection.query(sql, &parameters).await?;
    Ok(())
}
