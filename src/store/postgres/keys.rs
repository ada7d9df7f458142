//! The keys that seal: each under which a value stands has a check value beside it, so that a missing one shows when
//! the store is opened, and never as a row that does not open.

use tokio_postgres::types::Type;

use crate::store::seal::{Bound, Sealer};
use crate::store::{GrantKey, KeysInUse, Resealed, StoreError};
use crate::words::Secret;

use super::Desk;
use super::pool::Loan;
use super::rows::{get, integer, number};

/// What is sealed to tell a right key from a wrong one.
const CHECK: &str = "bankside";
/// Every sealed value with the bytes that name its key: after the format's byte, in every format.
const VALUES: &str = "SELECT encode(substr(access, 2, 8), 'hex') AS id FROM bankside.grants WHERE access IS NOT NULL \
     UNION ALL SELECT encode(substr(refresh, 2, 8), 'hex') FROM bankside.grants WHERE refresh IS NOT NULL \
     UNION ALL SELECT encode(substr(value, 2, 8), 'hex') FROM bankside.kept WHERE kind <> 'key'";

/// The sealing key's id and check value, which go with every statement that writes a sealed value: another process may
/// have retired the key meanwhile.
pub(super) fn check(sealer: &Sealer) -> Result<(String, Vec<u8>), StoreError> {
    let id = sealer.sealing_id().to_string();
    let value = sealer.seal(bound(&id), &Secret::from(CHECK))?;
    Ok((id, value))
}

/// Whether the keys are those under which the store was sealed. The schema's lock is held: of two replicas that open an
/// empty database, the second one finds the first one's key.
pub(super) async fn fit(connection: &mut Loan, sealer: &Sealer) -> Result<(), StoreError> {
    let select = "SELECT name, value FROM bankside.kept WHERE kind = 'key' ORDER BY name";
    for row in connection.query(select, &[]).await? {
        sealer.open(bound(get(&row, "name")?), get(&row, "value")?)?;
    }
    note(connection, sealer).await
}

async fn note(connection: &mut Loan, sealer: &Sealer) -> Result<(), StoreError> {
    let (id, value) = check(sealer)?;
    let insert = "INSERT INTO bankside.kept (kind, bank, name, value, made_at) VALUES ('key', '', $1, $2, 0) \
         ON CONFLICT DO NOTHING";
    connection.query(insert, &[(&id, Type::TEXT), (&value, Type::BYTEA)]).await?;
    Ok(())
}

/// Seals the next `limit` grants after `after` under the sealing key, and first of all clients and logins.
pub(super) async fn reseal(desk: &mut Desk, after: Option<&GrantKey>, limit: usize) -> Result<Resealed, StoreError> {
    note(&mut desk.connection, &desk.sealer).await?;
    let mut step = Resealed::default();
    if after.is_none() {
        step.resealed += reseal_kept(desk).await?;
    }
    let (bank, name) = after.map_or(("", ""), |key| (key.bank.as_str(), key.grant.as_str()));
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = "SELECT bank, name, version, access, refresh FROM bankside.grants WHERE (bank, name) > ($1, $2) \
         ORDER BY bank, name LIMIT $3";
    let rows = desk.connection.query(sql, &[(&bank, Type::TEXT), (&name, Type::TEXT), (&most, Type::INT8)]).await?;
    step.looked_at = rows.len();
    for row in &rows {
        step.resealed += reseal_grant(desk, row).await?;
    }
    if let Some(row) = rows.last().filter(|_| rows.len() == limit) {
        let (bank, grant) = (get::<&str>(row, "bank")?.parse().ok(), get::<&str>(row, "name")?.parse().ok());
        step.last = bank.zip(grant).map(|(bank, grant)| GrantKey { bank, grant });
    }
    Ok(step)
}

/// One grant, unless somebody changes it meanwhile: then it is sealed anew anyway.
async fn reseal_grant(desk: &mut Desk, row: &tokio_postgres::Row) -> Result<usize, StoreError> {
    let (bank, name): (&str, &str) = (get(row, "bank")?, get(row, "name")?);
    let version = number(get(row, "version")?)?;
    let again = |purpose, column| {
        let sealed: Option<&[u8]> = get(row, column)?;
        Ok::<_, StoreError>(
            sealed.and_then(|sealed| reseal_one(&desk.sealer, Bound { purpose, bank, name, version }, sealed)),
        )
    };
    let (access, refresh) = (again("access", "access")?, again("refresh", "refresh")?);
    let values = usize::from(access.is_some()) + usize::from(refresh.is_some());
    if values == 0 {
        return Ok(0);
    }
    let sql = "UPDATE bankside.grants SET access = coalesce($4, access), refresh = coalesce($5, refresh) \
         WHERE bank = $1 AND name = $2 AND version = $3 RETURNING 1";
    let parameters = [
        (&bank as _, Type::TEXT),
        (&name as _, Type::TEXT),
        (&integer(version) as _, Type::INT8),
        (&access as _, Type::BYTEA),
        (&refresh as _, Type::BYTEA),
    ];
    Ok(if desk.connection.did(sql, &parameters).await? { values } else { 0 })
}

async fn reseal_kept(desk: &mut Desk) -> Result<usize, StoreError> {
    let mut resealed = 0;
    for purpose in ["client", "attempt"] {
        let sql = "SELECT bank, name, value FROM bankside.kept WHERE kind = $1";
        for row in desk.connection.query(sql, &[(&purpose, Type::TEXT)]).await? {
            let (bank, name, old): (&str, &str, &[u8]) = (get(&row, "bank")?, get(&row, "name")?, get(&row, "value")?);
            let Some(value) = reseal_one(&desk.sealer, Bound { purpose, bank, name, version: 0 }, old) else {
                continue;
            };
            let sql = "UPDATE bankside.kept SET value = $4 WHERE kind = $1 AND bank = $2 AND name = $3 AND value = $5 \
                 RETURNING 1";
            let parameters = [
                (&purpose as _, Type::TEXT),
                (&bank as _, Type::TEXT),
                (&name as _, Type::TEXT),
                (&value as _, Type::BYTEA),
                (&old as _, Type::BYTEA),
            ];
            resealed += usize::from(desk.connection.did(sql, &parameters).await?);
        }
    }
    Ok(resealed)
}

/// The value under the sealing key; `None` where it is that already. One that does not open stays as it is: it must not
/// keep the others from their new key, and [`retire`] tells of it.
fn reseal_one(sealer: &Sealer, bound: Bound<'_>, value: &[u8]) -> Option<Vec<u8>> {
    if sealer.is_under_sealing_key(value) {
        return None;
    }
    sealer.open(bound, value).and_then(|secret| sealer.seal(bound, &secret)).ok()
}

/// Takes the check values of unused keys away; what is left under which key. Writers of sealed values wait meanwhile: each
/// of them holds the row of `meta` and puts the check value of its key there anew.
pub(super) async fn retire(desk: &mut Desk) -> Result<KeysInUse, StoreError> {
    desk.connection.begin().await?;
    desk.connection.batch("SELECT 1 FROM bankside.meta FOR UPDATE").await?;
    let sealing = desk.sealer.sealing_id().to_string();
    let delete = format!(
        "DELETE FROM bankside.kept WHERE kind = 'key' AND name <> $1 AND name NOT IN (SELECT id FROM ({VALUES}) AS v)"
    );
    desk.connection.query(&delete, &[(&sealing, Type::TEXT)]).await?;
    desk.connection.commit().await?;
    let mut in_use = KeysInUse { sealing, values: 0, others: Vec::new() };
    let count = format!("SELECT id, count(*) AS values FROM ({VALUES}) AS v GROUP BY id ORDER BY id");
    for row in desk.connection.query(&count, &[]).await? {
        let (id, values): (String, i64) = (get(&row, "id")?, get(&row, "values")?);
        let values = usize::try_from(values).unwrap_or_default();
        if id == in_use.sealing {
            in_use.values = values;
        } else {
            in_use.others.push((id, values));
        }
    }
    Ok(in_use)
}

fn bound(id: &str) -> Bound<'_> {
    Bound { purpose: "key", bank: "", name: id, version: 0 }
}
