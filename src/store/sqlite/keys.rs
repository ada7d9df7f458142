//! The keys that seal: each under which a value stands has a check value beside it, so that a missing one shows when
//! the store is opened, and never as a row that does not open.

use rusqlite::{Connection, Transaction, params};

use crate::store::seal::{Bound, Sealer};
use crate::store::{GrantKey, KeysInUse, Resealed, StoreError};
use crate::words::Secret;

use super::Work;

/// What is sealed to tell a right key from a wrong one.
const CHECK: &str = "bankside";
/// Every sealed value with the bytes that name its key: after the format's byte, in every format.
const VALUES: &str = "SELECT lower(hex(substr(access, 2, 8))) AS id FROM grants WHERE access IS NOT NULL UNION ALL \
     SELECT lower(hex(substr(refresh, 2, 8))) FROM grants WHERE refresh IS NOT NULL UNION ALL \
     SELECT lower(hex(substr(value, 2, 8))) FROM kept WHERE kind <> 'key'";

/// The ids of the keys under which the store was sealed, with the value that each must open.
pub(super) fn checks(connection: &Connection) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut select = connection.prepare("SELECT name, value FROM kept WHERE kind = 'key' ORDER BY name")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether every check value opens.
pub(super) fn fit(sealer: &Sealer, checks: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
    checks.iter().try_for_each(|(id, value)| sealer.open(bound(id), value).map(drop))
}

/// Sees to it that the sealing key has its check value. Whoever writes a sealed value calls this in the same
/// transaction, since another process may have retired the key meanwhile.
pub(super) fn note(transaction: &Transaction<'_>, sealer: &Sealer) -> Result<(), StoreError> {
    let id = sealer.sealing_id().to_string();
    let there = "SELECT EXISTS (SELECT 1 FROM kept WHERE kind = 'key' AND bank = '' AND name = ?1)";
    if !transaction.prepare_cached(there)?.query_row([&id], |row| row.get::<_, bool>(0))? {
        let value = sealer.seal(bound(&id), &Secret::from(CHECK))?;
        let insert = "INSERT INTO kept (kind, bank, name, value, made_at) VALUES ('key', '', ?1, ?2, 0)";
        transaction.execute(insert, params![id, value])?;
    }
    Ok(())
}

/// Seals the next `limit` grants after `after` under the sealing key, and first of all clients and logins.
pub(super) fn reseal(work: &Work<'_>, after: Option<&GrantKey>, limit: usize) -> Result<Resealed, StoreError> {
    note(&work.transaction, work.sealer)?;
    let mut step = Resealed::default();
    if after.is_none() {
        step.resealed += reseal_kept(work)?;
    }
    let start = after.map_or(("", ""), |key| (key.bank.as_str(), key.grant.as_str()));
    let rows = next_grants(work, start, limit)?;
    step.looked_at = rows.len();
    for Row { bank, name, version, access, refresh } in &rows {
        let again = |purpose, sealed: &Option<Vec<u8>>| match sealed {
            Some(sealed) => reseal_one(work.sealer, Bound { purpose, bank, name, version: *version }, sealed),
            None => None,
        };
        let (access, refresh) = (again("access", access), again("refresh", refresh));
        step.resealed += usize::from(access.is_some()) + usize::from(refresh.is_some());
        if access.is_some() || refresh.is_some() {
            let update = "UPDATE grants SET access = coalesce(?3, access), refresh = coalesce(?4, refresh) \
                          WHERE bank = ?1 AND name = ?2";
            work.transaction.prepare_cached(update)?.execute(params![bank, name, access, refresh])?;
        }
    }
    let last = rows.last().filter(|_| rows.len() == limit);
    step.last = last.and_then(|row| Some(GrantKey { bank: row.bank.parse().ok()?, grant: row.name.parse().ok()? }));
    Ok(step)
}

/// Takes the check values of unused keys away; what is left under which key.
pub(super) fn retire(work: &Work<'_>) -> Result<KeysInUse, StoreError> {
    let sealing = work.sealer.sealing_id().to_string();
    let delete = format!("DELETE FROM kept WHERE kind = 'key' AND name <> ?1 AND name NOT IN ({VALUES})");
    work.transaction.execute(&delete, [&sealing])?;
    let mut select = work.transaction.prepare(&format!("SELECT id, count(*) FROM ({VALUES}) GROUP BY id"))?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (under_sealing, under_others) =
        rows.collect::<Result<Vec<(String, usize)>, _>>()?.into_iter().partition(|(id, _)| *id == sealing);
    let values = |of: &Vec<(String, usize)>| of.iter().map(|(_, values)| values).sum();
    Ok(KeysInUse { values: values(&under_sealing), sealing, others: under_others })
}

struct Row {
    bank: String,
    name: String,
    version: u64,
    access: Option<Vec<u8>>,
    refresh: Option<Vec<u8>>,
}

fn next_grants(work: &Work<'_>, after: (&str, &str), limit: usize) -> Result<Vec<Row>, StoreError> {
    let select = "SELECT bank, name, version, access, refresh FROM grants WHERE (bank, name) > (?1, ?2) \
                  ORDER BY bank, name LIMIT ?3";
    let mut select = work.transaction.prepare_cached(select)?;
    let rows = select.query_map(params![after.0, after.1, limit], |row| {
        Ok(Row {
            bank: row.get(0)?,
            name: row.get(1)?,
            version: row.get(2)?,
            access: row.get(3)?,
            refresh: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn reseal_kept(work: &Work<'_>) -> Result<usize, StoreError> {
    let mut resealed = 0;
    for purpose in ["client", "attempt"] {
        let mut select = work.transaction.prepare("SELECT bank, name, value FROM kept WHERE kind = ?1")?;
        let rows = select.query_map([purpose], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        for (bank, name, value) in rows.collect::<Result<Vec<(String, String, Vec<u8>)>, _>>()? {
            let bound = Bound { purpose, bank: &bank, name: &name, version: 0 };
            if let Some(value) = reseal_one(work.sealer, bound, &value) {
                let update = "UPDATE kept SET value = ?4 WHERE kind = ?1 AND bank = ?2 AND name = ?3";
                work.transaction.execute(update, params![purpose, bank, name, value])?;
                resealed += 1;
            }
        }
    }
    Ok(resealed)
}

/// The value under the sealing key; `None` where it is that already. One that does not open stays as it is: it must not
/// keep the others from their new key, and [`retire`] tells of it.
fn reseal_one(keys: &Sealer, bound: Bound<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
    if keys.is_under_sealing_key(sealed) {
        return None;
    }
    keys.open(bound, sealed).and_then(|secret| keys.seal(bound, &secret)).ok()
}

fn bound(id: &str) -> Bound<'_> {
    Bound { purpose: "key", bank: "", name: id, version: 0 }
}
