//! What is kept beside grants, sealed for its row in any database: registered clients, login attempts.

use serde::{Deserialize, Serialize};

use crate::words::{BankName, GrantName, Secret, Timestamp};

use super::seal::{Bound, Sealer};
use super::{Attempt, RegisteredClient, StoreError};

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

pub(super) fn seal_client(sealer: &Sealer, bank: &BankName, client: &RegisteredClient) -> Result<Vec<u8>, StoreError> {
    let hidden = SealedClient { client_secret: client.client_secret.as_ref().map(text) };
    seal(sealer, bound("client", bank, &client.client_id), &hidden)
}

pub(super) fn open_client(
    sealer: &Sealer,
    bank: &BankName,
    client_id: String,
    value: &[u8],
    registered_at: Timestamp,
) -> Result<RegisteredClient, StoreError> {
    let hidden: SealedClient = open(sealer, bound("client", bank, &client_id), value)?;
    Ok(RegisteredClient { client_id, client_secret: hidden.client_secret.map(Secret::from), registered_at })
}

pub(super) fn seal_attempt(sealer: &Sealer, attempt: &Attempt) -> Result<Vec<u8>, StoreError> {
    let hidden = SealedAttempt {
        grant: attempt.grant.to_string(),
        verifier: attempt.verifier.as_ref().map(text),
        session: attempt.session.as_ref().map(text),
        client_id: attempt.client_id.clone(),
        redirect_uri: attempt.redirect_uri.clone(),
        scopes: attempt.scopes.clone(),
    };
    seal(sealer, bound("attempt", &attempt.bank, &attempt.state_hash), &hidden)
}

pub(super) fn open_attempt(
    sealer: &Sealer,
    bank: &BankName,
    state_hash: &str,
    value: &[u8],
) -> Result<Attempt, StoreError> {
    let hidden: SealedAttempt = open(sealer, bound("attempt", bank, state_hash), value)?;
    Ok(Attempt {
        bank: bank.clone(),
        grant: hidden.grant.parse::<GrantName>().map_err(|_| StoreError::Damaged { what: "attempt" })?,
        state_hash: state_hash.to_owned(),
        verifier: hidden.verifier.map(Secret::from),
        session: hidden.session.map(Secret::from),
        client_id: hidden.client_id,
        redirect_uri: hidden.redirect_uri,
        scopes: hidden.scopes,
    })
}

/// What stands in the place of the time of an attempt's making once it is taken, so that its taker finds it again. Its end
/// has come then for all others, also of former releases.
pub(super) fn taken_by(taker: u64) -> i64 {
    !i64::try_from(taker & (u64::MAX >> 1)).unwrap_or(i64::MAX)
}

fn bound<'a>(purpose: &'static str, bank: &'a BankName, name: &'a str) -> Bound<'a> {
    Bound { purpose, bank: bank.as_str(), name, version: 0 }
}

/// What comes from forms and JSON is text; what is not could not have been sent there.
fn text(secret: &Secret) -> String {
    String::from_utf8_lossy(secret.expose()).into_owned()
}

fn seal(sealer: &Sealer, bound: Bound<'_>, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(value).map_err(|_| StoreError::Damaged { what: bound.purpose })?;
    sealer.seal(bound, &Secret::new(json))
}

fn open<T: for<'de> Deserialize<'de>>(sealer: &Sealer, bound: Bound<'_>, value: &[u8]) -> Result<T, StoreError> {
    let opened = sealer.open(bound, value)?;
    serde_json::from_slice(opened.expose()).map_err(|_| StoreError::Damaged { what: bound.purpose })
}
