//! What is kept beside grants: registered clients and login attempts.

use std::time::Duration;

use rusqlite::{OptionalExtension, Params, params};

use crate::store::{Attempt, RegisteredClient, StoreError, kept};
use crate::words::{BankName, Timestamp};

use super::rows::moment;
use super::{Work, keys};

pub(super) fn clients(work: &Work<'_>, bank: &BankName) -> Result<Vec<RegisteredClient>, StoreError> {
    let select = "SELECT name, value, made_at FROM kept WHERE kind = 'client' AND bank = ?1 ORDER BY made_at, rowid";
    let mut select = work.transaction.prepare_cached(select)?;
    let mut rows = select.query([bank.as_str()])?;
    let mut clients = Vec::new();
    while let Some(row) = rows.next()? {
        let (client_id, value): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        clients.push(kept::open_client(work.sealer, bank, client_id, &value, moment(row.get(2)?))?);
    }
    Ok(clients)
}

pub(super) fn put_client(work: &Work<'_>, bank: &BankName, client: &RegisteredClient) -> Result<(), StoreError> {
    keys::note(&work.transaction, work.sealer)?;
    let value = kept::seal_client(work.sealer, bank, client)?;
    // The order is that of registration, even where a clock was set back.
    let select = "SELECT coalesce(max(made_at) + 1, 0) FROM kept WHERE kind = 'client' AND bank = ?1";
    let after_all: i64 = work.transaction.query_row(select, [bank.as_str()], |row| row.get(0))?;
    let made_at = client.registered_at.max(moment(after_all));
    put(work, "client", bank, &client.client_id, &value, made_at, None)
}

pub(super) fn replace_client(
    work: &Work<'_>,
    bank: &BankName,
    client: &RegisteredClient,
    former: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let select = "SELECT made_at FROM kept WHERE kind = 'client' AND bank = ?1 AND name = ?2";
    let stands: Option<i64> =
        work.transaction.query_row(select, [bank.as_str(), &client.client_id], |row| row.get(0)).optional()?;
    if stands.map(moment) != former {
        return Ok(false);
    }
    put_client(work, bank, client).map(|()| true)
}

pub(super) fn remove_client(work: &Work<'_>, bank: &BankName, client_id: &str) -> Result<bool, StoreError> {
    let delete = "DELETE FROM kept WHERE kind = 'client' AND bank = ?1 AND name = ?2";
    Ok(work.transaction.execute(delete, [bank.as_str(), client_id])? > 0)
}

pub(super) fn put_attempt(work: &Work<'_>, attempt: &Attempt, life: Duration) -> Result<(), StoreError> {
    let delete = "DELETE FROM kept WHERE kind = 'attempt' AND ends_at <= ?1";
    work.transaction.execute(delete, [work.now.millis()])?;
    keys::note(&work.transaction, work.sealer)?;
    let value = kept::seal_attempt(work.sealer, attempt)?;
    put(work, "attempt", &attempt.bank, &attempt.state_hash, &value, work.now, Some(work.now.plus(life)))
}

pub(super) fn bank_of_attempt(work: &Work<'_>, state_hash: &str) -> Result<Option<BankName>, StoreError> {
    let select = "SELECT bank FROM kept WHERE kind = 'attempt' AND name = ?1 AND ends_at > ?2";
    let parameters = params![state_hash, work.now.millis()];
    let bank: Option<String> = work.transaction.query_row(select, parameters, |row| row.get(0)).optional()?;
    Ok(bank.and_then(|bank| bank.parse().ok()))
}

pub(super) fn attempt(work: &Work<'_>, bank: &BankName, state_hash: &str) -> Result<Option<Attempt>, StoreError> {
    let select = "SELECT value FROM kept WHERE kind = 'attempt' AND bank = ?1 AND name = ?2 AND ends_at > ?3";
    let parameters = params![bank.as_str(), state_hash, work.now.millis()];
    one_attempt(work, select, parameters, bank, state_hash)
}

pub(super) fn take_attempt(
    work: &Work<'_>,
    bank: &BankName,
    state_hash: &str,
    taker: u64,
) -> Result<Option<Attempt>, StoreError> {
    let update = "UPDATE kept SET made_at = ?4, ends_at = 0 WHERE kind = 'attempt' AND bank = ?1 AND name = ?2 \
                  AND (ends_at > ?3 OR made_at = ?4) RETURNING value";
    let parameters = params![bank.as_str(), state_hash, work.now.millis(), kept::taken_by(taker)];
    one_attempt(work, update, parameters, bank, state_hash)
}

fn one_attempt(
    work: &Work<'_>,
    sql: &str,
    parameters: impl Params,
    bank: &BankName,
    state_hash: &str,
) -> Result<Option<Attempt>, StoreError> {
    let value: Option<Vec<u8>> = work.transaction.query_row(sql, parameters, |row| row.get(0)).optional()?;
    value.map(|value| kept::open_attempt(work.sealer, bank, state_hash, &value)).transpose()
}

fn put(
    work: &Work<'_>,
    kind: &str,
    bank: &BankName,
    name: &str,
    value: &[u8],
    made_at: Timestamp,
    ends_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    work.transaction.execute(
        "INSERT OR REPLACE INTO kept (kind, bank, name, value, made_at, ends_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![kind, bank.as_str(), name, value, made_at.millis(), ends_at.map(Timestamp::millis)],
    )?;
    Ok(())
}
