//! A row of `grants`, read.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use crate::store::stored::{Stored, name_of, pending, standing_of, understood};
use crate::store::{Facts, GrantKey, Standing, StoreError};
use crate::words::{BankName, Timestamp};

use super::Desk;

/// The columns that [`Stored`] is read from, and the time.
const SELECT: &str = "SELECT name, version, standing, access, refresh, scopes, issued_at, expires_at, consent_at, used_at, \
     renew_at, certificate, lease_holder, lease_until, sent_at, failures, retry_at, clock.now \
     FROM bankside.grants, (SELECT bankside.now() AS now OFFSET 0) AS clock WHERE bank = $1";

/// The row of this key, and the database's time.
pub(super) async fn find(desk: &mut Desk, key: &GrantKey) -> Result<Option<(Stored, Timestamp)>, StoreError> {
    let (bank, name) = (key.bank.as_str(), key.grant.as_str());
    let select = format!("{SELECT} AND name = $2");
    let rows = desk.connection.query(&select, &[(&bank, Type::TEXT), (&name, Type::TEXT)]).await?;
    rows.first().map(|row| read(row, &key.bank)).transpose()
}

/// The bank's rows but the removed ones and those that are not understood, in the order of their names.
pub(super) async fn all(desk: &mut Desk, bank: &BankName) -> Result<Vec<Stored>, StoreError> {
    let select = format!("{SELECT} AND standing <> 'removed' ORDER BY name");
    let rows = desk.connection.query(&select, &[(&bank.as_str(), Type::TEXT)]).await?;
    Ok(rows.iter().filter_map(|row| understood(bank, read(row, bank))).map(|(stored, _)| stored).collect())
}

fn read(row: &Row, bank: &BankName) -> Result<(Stored, Timestamp), StoreError> {
    let now = moment(get(row, "now")?);
    let standing: &str = get(row, "standing")?;
    let refresh: Option<Vec<u8>> = get(row, "refresh")?;
    let lease_until = moment(get(row, "lease_until")?);
    let damaged = |what| StoreError::Damaged { what };
    let scopes: &str = get(row, "scopes")?;
    let failures: i64 = get(row, "failures")?;
    let facts = Facts {
        key: GrantKey { bank: bank.clone(), grant: name_of(get(row, "name")?)? },
        version: number(get(row, "version")?)?,
        standing: standing_of(standing)?,
        refreshable: refresh.is_some(),
        scopes: serde_json::from_str(scopes).map_err(|_| damaged("list of scopes"))?,
        issued_at: moment(get(row, "issued_at")?),
        expires_at: get::<Option<i64>>(row, "expires_at")?.map(moment),
        consent_at: get::<Option<i64>>(row, "consent_at")?.map(moment),
        used_at: moment(get(row, "used_at")?),
        renew_at: get::<Option<i64>>(row, "renew_at")?.map(moment),
        sent_at: get::<Option<i64>>(row, "sent_at")?.map(moment),
        leased: pending(lease_until, now).is_some(),
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        certificate: get(row, "certificate")?,
    };
    let stored = Stored {
        facts,
        removed: standing == "removed",
        lease_holder: get(row, "lease_holder")?,
        lease_until,
        retry_at: moment(get(row, "retry_at")?),
        access: get(row, "access")?,
        refresh,
    };
    Ok((stored, now))
}

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, StoreError> {
    Ok(row.try_get(column)?)
}

pub(super) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A length of time as it is there: however long it is, it can be added to the time.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).min(i64::MAX / 2)
}

/// A version or mark as it is here.
pub(super) fn number(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Damaged { what: "number" })
}

/// A version or mark as it is there.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// As the column `standing` has it.
pub(super) fn written(standing: Standing) -> &'static str {
    match standing {
        Standing::Empty => "empty",
        Standing::Active => "active",
        Standing::Over => "over",
    }
}
