//! What is kept beside grants: registered clients and login attempts.

use std::time::Duration;

use tokio_postgres::types::Type;

use crate::store::{Attempt, RegisteredClient, StoreError, kept};
use crate::words::{BankName, Timestamp};

use super::pool::Parameter;
use super::rows::{get, moment};
use super::{Desk, keys};

const CLIENTS: &str = "SELECT name, value, made_at FROM bankside.kept WHERE kind = 'client' AND bank = $1 \
     ORDER BY made_at, name";

pub(super) async fn clients(desk: &mut Desk, bank: &BankName) -> Result<Vec<RegisteredClient>, StoreError> {
    let rows = desk.connection.query(CLIENTS, &[(&bank.as_str(), Type::TEXT)]).await?;
    let open = |row| {
        let made_at = moment(get(row, "made_at")?);
        kept::open_client(&desk.sealer, bank, get(row, "name")?, get(row, "value")?, made_at)
    };
    rows.iter().map(open).collect()
}

pub(super) async fn put_client(desk: &mut Desk, bank: &BankName, client: &RegisteredClient) -> Result<(), StoreError> {
    keep_client(desk, bank, client, true, None).await.map(drop)
}

pub(super) async fn replace_client(
    desk: &mut Desk,
    bank: &BankName,
    client: &RegisteredClient,
    former: Option<Timestamp>,
) -> Result<bool, StoreError> {
    keep_client(desk, bank, client, false, former).await
}

/// Keeps it in the place of whatever stands, or only of what was kept at that moment; whether it did. The order is that
/// of registration, even where a clock was set back.
async fn keep_client(
    desk: &mut Desk,
    bank: &BankName,
    client: &RegisteredClient,
    of_any: bool,
    former: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let value = kept::seal_client(&desk.sealer, bank, client)?;
    let (check_id, check) = keys::check(&desk.sealer)?;
    let sql = "WITH held AS (SELECT 1 FROM bankside.meta FOR UPDATE), \
         noted AS (INSERT INTO bankside.kept (kind, bank, name, value, made_at) \
         SELECT 'key', '', $5, $6, 0 FROM held ON CONFLICT DO NOTHING), \
         clients AS (SELECT name, made_at FROM bankside.kept WHERE kind = 'client' AND bank = $1) \
         INSERT INTO bankside.kept AS stands (kind, bank, name, value, made_at) SELECT 'client', $1, $2, $3, \
         greatest($4, (SELECT max(made_at) + 1 FROM clients)) FROM held \
         WHERE $7 OR $8 IS NULL OR EXISTS (SELECT 1 FROM clients WHERE name = $2 AND made_at = $8) \
         ON CONFLICT (kind, bank, name) DO UPDATE \
         SET value = excluded.value, made_at = greatest(excluded.made_at, stands.made_at + 1) \
         WHERE $7 OR stands.made_at = $8 RETURNING 1";
    let parameters = [
        (&bank.as_str() as _, Type::TEXT),
        (&client.client_id as _, Type::TEXT),
        (&value as _, Type::BYTEA),
        (&client.registered_at.millis() as _, Type::INT8),
        (&check_id as _, Type::TEXT),
        (&check as _, Type::BYTEA),
        (&of_any as _, Type::BOOL),
        (&former.map(Timestamp::millis) as _, Type::INT8),
    ];
    desk.connection.did(sql, &parameters).await
}

pub(super) async fn remove_client(desk: &mut Desk, bank: &BankName, client_id: &str) -> Result<bool, StoreError> {
    let sql = "DELETE FROM bankside.kept WHERE kind = 'client' AND bank = $1 AND name = $2 RETURNING 1";
    desk.connection.did(sql, &[(&bank.as_str(), Type::TEXT), (&client_id, Type::TEXT)]).await
}

pub(super) async fn put_attempt(desk: &mut Desk, attempt: &Attempt, life: Duration) -> Result<(), StoreError> {
    let sql = "DELETE FROM bankside.kept WHERE kind = 'attempt' AND ends_at <= (SELECT bankside.now())";
    desk.connection.query(sql, &[]).await?;
    let value = kept::seal_attempt(&desk.sealer, attempt)?;
    let (check_id, check) = keys::check(&desk.sealer)?;
    let sql = "WITH held AS (SELECT 1 FROM bankside.meta FOR UPDATE), \
         noted AS (INSERT INTO bankside.kept (kind, bank, name, value, made_at) \
         SELECT 'key', '', $5, $6, 0 FROM held ON CONFLICT DO NOTHING) \
         INSERT INTO bankside.kept (kind, bank, name, value, made_at, ends_at) \
         SELECT 'attempt', $1, $2, $3, clock.now, clock.now + $4 FROM held, (SELECT bankside.now() AS now OFFSET 0) AS clock \
         ON CONFLICT (kind, bank, name) DO UPDATE \
         SET value = excluded.value, made_at = excluded.made_at, ends_at = excluded.ends_at";
    let parameters = [
        (&attempt.bank.as_str() as _, Type::TEXT),
        (&attempt.state_hash as _, Type::TEXT),
        (&value as _, Type::BYTEA),
        (&Timestamp::default().plus(life).millis() as _, Type::INT8),
        (&check_id as _, Type::TEXT),
        (&check as _, Type::BYTEA),
    ];
    desk.connection.query(sql, &parameters).await?;
    Ok(())
}

pub(super) async fn bank_of_attempt(desk: &mut Desk, state_hash: &str) -> Result<Option<BankName>, StoreError> {
    let sql =
        "SELECT bank FROM bankside.kept WHERE kind = 'attempt' AND name = $1 AND ends_at > (SELECT bankside.now())";
    let rows = desk.connection.query(sql, &[(&state_hash, Type::TEXT)]).await?;
    let bank = rows.first().map(|row| get::<&str>(row, "bank")).transpose()?;
    Ok(bank.and_then(|bank| bank.parse().ok()))
}

pub(super) async fn attempt(desk: &mut Desk, bank: &BankName, state_hash: &str) -> Result<Option<Attempt>, StoreError> {
    let sql = "SELECT value FROM bankside.kept WHERE kind = 'attempt' AND bank = $1 AND name = $2 \
         AND ends_at > (SELECT bankside.now())";
    let parameters = [(&bank.as_str() as _, Type::TEXT), (&state_hash as _, Type::TEXT)];
    one_attempt(desk, sql, &parameters, bank, state_hash).await
}

pub(super) async fn take_attempt(
    desk: &mut Desk,
    bank: &BankName,
    state_hash: &str,
    taker: u64,
) -> Result<Option<Attempt>, StoreError> {
    let sql = "UPDATE bankside.kept SET made_at = $3, ends_at = 0 WHERE kind = 'attempt' AND bank = $1 AND name = $2 \
         AND (ends_at > (SELECT bankside.now()) OR made_at = $3) RETURNING value";
    let parameters =
        [(&bank.as_str() as _, Type::TEXT), (&state_hash as _, Type::TEXT), (&kept::taken_by(taker) as _, Type::INT8)];
    one_attempt(desk, sql, &parameters, bank, state_hash).await
}

async fn one_attempt(
    desk: &mut Desk,
    sql: &str,
    parameters: &[Parameter<'_>],
    bank: &BankName,
    state_hash: &str,
) -> Result<Option<Attempt>, StoreError> {
    let rows = desk.connection.query(sql, parameters).await?;
    let open = |row| kept::open_attempt(&desk.sealer, bank, state_hash, get(row, "value")?);
    rows.first().map(open).transpose()
}
