//! What is kept beside grants: registered clients and login attempts.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::store::seal::Bound;
use crate::store::{Attempt, RegisteredClient, StoreError};
use crate::words::{BankName, GrantName, Secret, Timestamp};

use super::rows::moment;
use super::{Work, keys};

/// The sealed part of a client.
#[derive(Serialize, Deserialize)]
struct SealedClient {
    client_secret: Option<String>,
}

/// The sealed part of an attempt.
#[derive(Serialize, Deserialize)]
struct SealedAttempt {
    grant: String,
    verifier: Option<String>,
    session: Option<String>,
    client_id: String,
    redirect_uri: String,
    scopes: Vec<String>,
}

pub(super) fn clients(work: &Work<'_>, bank: &BankName) -> Result<Vec<RegisteredClient>, StoreError> {
    let select = "SELECT name, value, made_at FROM kept WHERE kind = 'client' AND bank = ?1 ORDER BY made_at, rowid";
    let mut select = work.transaction.prepare_cached(select)?;
    let mut rows = select.query([bank.as_str()])?;
    let mut clients = Vec::new();
    while let Some(row) = rows.next()? {
        let (client_id, value): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let sealed: SealedClient = open(work, bound("client", bank, &client_id), &value)?;
        clients.push(RegisteredClient {
            client_id,
            client_secret: sealed.client_secret.map(Secret::from),
            registered_at: moment(row.get(2)?),
        });
    }
    Ok(clients)
}

pub(super) fn put_client(work: &Work<'_>, bank: &BankName, client: &RegisteredClient) -> Result<(), StoreError> {
    let sealed = SealedClient { client_secret: client.client_secret.as_ref().map(text) };
    let value = seal(work, bound("client", bank, &client.client_id), &sealed)?;
    put(work, "client", bank, &client.client_id, &value, client.registered_at, None)
}

pub(super) fn remove_client(work: &Work<'_>, bank: &BankName, client_id: &str) -> Result<bool, StoreError> {
    let delete = "DELETE FROM kept WHERE kind = 'client' AND bank = ?1 AND name = ?2";
    Ok(work.transaction.execute(delete, [bank.as_str(), client_id])? > 0)
}

pub(super) fn put_attempt(work: &Work<'_>, attempt: &Attempt, life: Duration) -> Result<(), StoreError> {
    let delete = "DELETE FROM kept WHERE kind = 'attempt' AND ends_at <= ?1";
    work.transaction.execute(delete, [work.now.millis()])?;
    let sealed = SealedAttempt {
        grant: attempt.grant.to_string(),
        verifier: attempt.verifier.as_ref().map(text),
        session: attempt.session.as_ref().map(text),
        client_id: attempt.client_id.clone(),
        redirect_uri: attempt.redirect_uri.clone(),
        scopes: attempt.scopes.clone(),
    };
    let value = seal(work, bound("attempt", &attempt.bank, &attempt.state_hash), &sealed)?;
    put(work, "attempt", &attempt.bank, &attempt.state_hash, &value, work.now, Some(work.now.plus(life)))
}

pub(super) fn bank_of_attempt(work: &Work<'_>, state_hash: &str) -> Result<Option<BankName>, StoreError> {
    let select = "SELECT bank FROM kept WHERE kind = 'attempt' AND name = ?1 AND ends_at > ?2";
    let parameters = params![state_hash, work.now.millis()];
    let bank: Option<String> = work.transaction.query_row(select, parameters, |row| row.get(0)).optional()?;
    Ok(bank.and_then(|bank| bank.parse().ok()))
}

pub(super) fn take_attempt(work: &Work<'_>, bank: &BankName, state_hash: &str) -> Result<Option<Attempt>, StoreError> {
    let delete = "DELETE FROM kept WHERE kind = 'attempt' AND bank = ?1 AND name = ?2 AND ends_at > ?3 RETURNING value";
    let parameters = params![bank.as_str(), state_hash, work.now.millis()];
    let value: Option<Vec<u8>> = work.transaction.query_row(delete, parameters, |row| row.get(0)).optional()?;
    let Some(value) = value else { return Ok(None) };
    let sealed: SealedAttempt = open(work, bound("attempt", bank, state_hash), &value)?;
    Ok(Some(Attempt {
        bank: bank.clone(),
        grant: sealed.grant.parse::<GrantName>().map_err(|_| StoreError::Damaged { what: "attempt" })?,
        state_hash: state_hash.to_owned(),
        verifier: sealed.verifier.map(Secret::from),
        session: sealed.session.map(Secret::from),
        client_id: sealed.client_id,
        redirect_uri: sealed.redirect_uri,
        scopes: sealed.scopes,
    }))
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

fn bound<'a>(purpose: &'static str, bank: &'a BankName, name: &'a str) -> Bound<'a> {
    Bound { purpose, bank: bank.as_str(), name, version: 0 }
}

/// What comes from forms and JSON is text; what is not could not have been sent there.
fn text(secret: &Secret) -> String {
    String::from_utf8_lossy(secret.expose()).into_owned()
}

fn seal(work: &Work<'_>, bound: Bound<'_>, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    keys::note(&work.transaction, work.sealer)?;
    let json = serde_json::to_vec(value).map_err(|_| StoreError::Damaged { what: bound.purpose })?;
    work.sealer.seal(bound, &Secret::new(json))
}

fn open<T: for<'de> Deserialize<'de>>(work: &Work<'_>, bound: Bound<'_>, value: &[u8]) -> Result<T, StoreError> {
    let opened = work.sealer.open(bound, value)?;
    serde_json::from_slice(opened.expose()).map_err(|_| StoreError::Damaged { what: bound.purpose })
}
