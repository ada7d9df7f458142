//! Grants as rows: read, put, removed, watched.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use crate::store::stored::{
    FARTHEST, FARTHEST_RETRY, Former, Stored, name_of, seal, standing_of, understood, what_stays,
};
use crate::store::{CHANGES, Due, Facts, Grant, GrantKey, NewTokens, StoreError, Tally};
use crate::words::{BankName, Timestamp};

use super::rows::{COLUMNS, moment};
use super::{Work, keys};

/// The number of a change: writers hold the one write lock, so numbers become visible in their order.
pub(super) const NEXT_CHANGE: &str = "(SELECT coalesce(max(change), 0) + 1 FROM grants)";
/// How many idle grants are set aside at once.
const SET_ASIDE: usize = 1000;

pub(super) fn load(work: &Work<'_>, key: &GrantKey) -> Result<Option<Grant>, StoreError> {
    let stored = Stored::find(work, key)?.filter(|stored| !stored.removed);
    stored.map(|stored| stored.unseal(work.sealer)).transpose()
}

pub(super) fn facts(work: &Work<'_>, key: &GrantKey) -> Result<Option<Facts>, StoreError> {
    Ok(Stored::find(work, key)?.filter(|stored| !stored.removed).map(|stored| stored.facts))
}

pub(super) fn list(work: &Work<'_>, bank: &BankName) -> Result<Vec<Facts>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM grants WHERE bank = ?1 AND standing <> 'removed' ORDER BY name");
    let mut select = work.transaction.prepare_cached(&select)?;
    let mut rows = select.query([bank.as_str()])?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next()? {
        listed.extend(understood(bank, Stored::read(row, bank, work.now)).map(|stored| stored.facts));
    }
    Ok(listed)
}

pub(super) fn tally(work: &Work<'_>, bank: &BankName) -> Result<Vec<Tally>, StoreError> {
    let select = "SELECT standing, lease_until > ?2 AND lease_until <= ?3, sent_at IS NOT NULL, \
                  coalesce(expires_at <= ?2, FALSE), count(*), min(consent_at) \
                  FROM grants WHERE bank = ?1 AND standing <> 'removed' GROUP BY 1, 2, 3, 4";
    let mut select = work.transaction.prepare_cached(select)?;
    let (now, farthest) = (work.now.millis(), work.now.plus(FARTHEST).millis());
    let mut rows = select.query(params![bank.as_str(), now, farthest])?;
    let mut tallies = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(standing) = understood(bank, standing_of(&row.get::<_, String>(0)?)) else { continue };
        tallies.push(Tally {
            standing,
            leased: row.get(1)?,
            sent: row.get(2)?,
            expired: row.get(3)?,
            count: row.get(4)?,
            first_consent: row.get::<_, Option<i64>>(5)?.map(moment),
        });
    }
    Ok(tallies)
}

pub(super) fn put(work: &Work<'_>, key: &GrantKey, tokens: &NewTokens) -> Result<Grant, StoreError> {
    // Nothing else of what stands there: if it is not understood, this mends it.
    let select = "SELECT version FROM grants WHERE bank = ?1 AND name = ?2";
    let former: Option<u64> =
        work.transaction.query_row(select, [key.bank.as_str(), key.grant.as_str()], |row| row.get(0)).optional()?;
    let version = former.unwrap_or(0) + 1;
    write(work, key, version, tokens, Some(work.now), work.now)?;
    load(work, key)?.ok_or(StoreError::Damaged { what: "grant" })
}

pub(super) fn put_again(
    work: &Work<'_>,
    key: &GrantKey,
    tokens: &NewTokens,
    former: Former,
) -> Result<Option<Grant>, StoreError> {
    if former.was_replaced_by(consented_at(work, key)?)
        && let Some(stands) = what_stays(load(work, key))
    {
        return stands;
    }
    put(work, key, tokens).map(Some)
}

pub(super) fn consented_at(work: &Work<'_>, key: &GrantKey) -> Result<Option<Timestamp>, StoreError> {
    let select = "SELECT consent_at FROM grants WHERE bank = ?1 AND name = ?2 AND standing <> 'removed'";
    let stands: Option<Option<i64>> =
        work.transaction.query_row(select, [key.bank.as_str(), key.grant.as_str()], |row| row.get(0)).optional()?;
    Ok(stands.flatten().map(moment))
}

/// Writes a set of tokens as this version; lease, intent and failures end.
pub(super) fn write(
    work: &Work<'_>,
    key: &GrantKey,
    version: u64,
    tokens: &NewTokens,
    consent_at: Option<Timestamp>,
    used_at: Timestamp,
) -> Result<(), StoreError> {
    keys::note(&work.transaction, work.sealer)?;
    let access = seal(work.sealer, "access", key, version, tokens.access.as_ref())?;
    let refresh = seal(work.sealer, "refresh", key, version, tokens.refresh.as_ref())?;
    let scopes = serde_json::Value::from(tokens.scopes.clone().unwrap_or_default()).to_string();
    let replace = format!(
        "INSERT OR REPLACE INTO grants (bank, name, version, change, standing, access, refresh, scopes, issued_at, \
         expires_at, consent_at, used_at, renew_at, certificate) \
         VALUES (?1, ?2, ?3, {NEXT_CHANGE}, 'active', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    );
    let mut replace = work.transaction.prepare_cached(&replace)?;
    replace.execute(params![
        key.bank.as_str(),
        key.grant.as_str(),
        version,
        access,
        refresh,
        scopes,
        tokens.issued_at.millis(),
        tokens.expires_at.map(Timestamp::millis),
        consent_at.map(Timestamp::millis),
        used_at.millis(),
        tokens.renew_at.map(Timestamp::millis),
        tokens.certificate
    ])?;
    Ok(())
}

/// The row stays without its tokens, so that others see the change and versions never begin again.
pub(super) fn remove(work: &Work<'_>, key: &GrantKey, version: u64) -> Result<bool, StoreError> {
    let changed = work.transaction.execute(
        &format!(
            "UPDATE grants SET standing = 'removed', version = version + 1, change = {NEXT_CHANGE}, access = NULL, \
             refresh = NULL, scopes = '[]', expires_at = NULL, consent_at = NULL, renew_at = NULL, certificate = NULL, \
             lease_holder = NULL, lease_until = 0, sent_at = NULL, failures = 0, retry_at = 0 \
             WHERE bank = ?1 AND name = ?2 AND version = ?3 AND standing <> 'removed'"
        ),
        params![key.bank.as_str(), key.grant.as_str(), version],
    )?;
    Ok(changed > 0)
}

pub(super) fn touch(work: &Work<'_>, uses: &[(GrantKey, Timestamp)]) -> Result<(), StoreError> {
    let update = "UPDATE grants SET used_at = max(used_at, ?3) WHERE bank = ?1 AND name = ?2";
    let mut update = work.transaction.prepare_cached(update)?;
    for (key, used_at) in uses {
        update.execute(params![key.bank.as_str(), key.grant.as_str(), used_at.millis()])?;
    }
    Ok(())
}

/// What is due, and the names of those that are too but have been idle.
pub(super) fn due(
    work: &Work<'_>,
    bank: &BankName,
    idle: Duration,
    limit: usize,
) -> Result<(Due, Vec<String>), StoreError> {
    let now = work.now.millis();
    let mut select = work.transaction.prepare_cached(
        "SELECT name, version, used_at FROM grants WHERE bank = ?1 AND renew_at <= ?2 \
         AND (lease_until <= ?2 OR lease_until > ?4) AND (retry_at <= ?2 OR retry_at > ?5) AND standing = 'active' \
         ORDER BY renew_at LIMIT ?3",
    )?;
    // What ends later was written by a clock that was wrong.
    let (lease, retry) = (work.now.plus(FARTHEST).millis(), work.now.plus(FARTHEST_RETRY).millis());
    let mut rows = select.query(params![bank.as_str(), now, limit + SET_ASIDE, lease, retry])?;
    let (mut due, mut idle_ones) = (Due::default(), Vec::new());
    while let Some(row) = rows.next()? {
        let (name, version): (String, u64) = (row.get(0)?, row.get(1)?);
        if work.now.since(moment(row.get(2)?)) > idle {
            idle_ones.push(name);
        } else if let Some(grant) = understood(bank, name_of(&name))
            && due.grants.len() < limit
        {
            due.grants.push((GrantKey { bank: bank.clone(), grant }, version));
        }
    }
    // Waits and leases that end later than this are found by the caller's asking again: they are short.
    let next = "SELECT renew_at FROM grants WHERE bank = ?1 AND renew_at > ?2 ORDER BY renew_at LIMIT 1";
    let next: Option<i64> =
        work.transaction.query_row(next, params![bank.as_str(), now], |row| row.get(0)).optional()?;
    due.next = next.map(|at| moment(at).since(work.now));
    Ok((due, idle_ones))
}

/// The grants whose person consented before that, the earliest first.
pub(super) fn consents(
    work: &Work<'_>,
    bank: &BankName,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<(GrantKey, Timestamp)>, StoreError> {
    let select = "SELECT name, consent_at FROM grants WHERE bank = ?1 AND consent_at < ?2 AND standing = 'active' \
                  ORDER BY consent_at LIMIT ?3";
    let mut select = work.transaction.prepare_cached(select)?;
    let mut rows = select.query(params![bank.as_str(), before.millis(), limit])?;
    let mut consents = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(grant) = understood(bank, name_of(&row.get::<_, String>(0)?)) {
            consents.push((GrantKey { bank: bank.clone(), grant }, moment(row.get(1)?)));
        }
    }
    Ok(consents)
}

/// Takes idle grants out of the index, which would else be read through with each look. A renewal on use brings them
/// back.
pub(super) fn set_aside(work: &Work<'_>, bank: &BankName, idle: Duration, names: &[String]) -> Result<(), StoreError> {
    let unused_since = work.now.millis().saturating_sub(i64::try_from(idle.as_millis()).unwrap_or(i64::MAX));
    let update = "UPDATE grants SET renew_at = NULL WHERE bank = ?1 AND name = ?2 AND used_at < ?3";
    let mut update = work.transaction.prepare_cached(update)?;
    for name in names {
        update.execute(params![bank.as_str(), name, unused_since])?;
    }
    Ok(())
}

pub(super) fn changes(work: &Work<'_>, bank: &BankName, mark: Option<u64>) -> Result<(u64, Vec<GrantKey>), StoreError> {
    let latest = work.transaction.query_row("SELECT coalesce(max(change), 0) FROM grants", [], |row| row.get(0))?;
    let Some(mark) = mark.filter(|mark| *mark < latest) else {
        return Ok((latest, Vec::new()));
    };
    let select = "SELECT name, change FROM grants WHERE bank = ?1 AND change > ?2 ORDER BY change LIMIT ?3";
    let mut select = work.transaction.prepare_cached(select)?;
    let mut rows = select.query(params![bank.as_str(), mark, CHANGES])?;
    let (mut changed, mut told, mut last) = (Vec::new(), 0, latest);
    while let Some(row) = rows.next()? {
        (told, last) = (told + 1, row.get(1)?);
        if let Some(grant) = understood(bank, name_of(&row.get::<_, String>(0)?)) {
            changed.push(GrantKey { bank: bank.clone(), grant });
        }
    }
    // Where there are more, the next call goes on from the last of these.
    Ok((if told == CHANGES { last } else { latest }, changed))
}
