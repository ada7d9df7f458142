//! A row of `grants`, read and unsealed.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row};

use crate::store::seal::Bound;
use crate::store::{Facts, Grant, GrantKey, Standing, StoreError};
use crate::words::{BankName, GrantName, Secret, Timestamp};

use super::Work;

/// The columns that [`Stored`] is read from.
pub(super) const COLUMNS: &str = "name, version, standing, access, refresh, scopes, issued_at, expires_at, consent_at, \
     used_at, renew_at, certificate, lease_holder, lease_until, sent_at, failures, retry_at";

/// No lease or wait is that long: one that ends later was written by a clock that was wrong, and does not count.
pub(super) const FARTHEST: Duration = Duration::from_hours(1);

/// A row as it is, its tokens still sealed. `facts` of a removed grant have the standing of an empty one.
pub(super) struct Stored {
    pub(super) facts: Facts,
    pub(super) removed: bool,
    pub(super) lease_holder: Option<String>,
    pub(super) lease_until: Timestamp,
    pub(super) retry_at: Timestamp,
    access: Option<Vec<u8>>,
    refresh: Option<Vec<u8>>,
}

impl Stored {
    pub(super) fn find(work: &Work<'_>, key: &GrantKey) -> Result<Option<Self>, StoreError> {
        let select = format!("SELECT {COLUMNS} FROM grants WHERE bank = ?1 AND name = ?2");
        let mut select = work.transaction.prepare_cached(&select)?;
        let parameters = [key.bank.as_str(), key.grant.as_str()];
        let stored = select.query_row(parameters, |row| Self::read(row, &key.bank, work.now)).optional()?;
        Ok(stored)
    }

    pub(super) fn read(row: &Row<'_>, bank: &BankName, now: Timestamp) -> rusqlite::Result<Self> {
        let text: String = row.get("standing")?;
        let (refresh, lease_until): (Option<Vec<u8>>, _) = (row.get("refresh")?, moment(row.get("lease_until")?));
        let grant: String = row.get("name")?;
        let scopes: String = row.get("scopes")?;
        Ok(Self {
            facts: Facts {
                key: GrantKey { bank: bank.clone(), grant: grant.parse::<GrantName>().map_err(unreadable)? },
                version: row.get("version")?,
                standing: match text.as_str() {
                    "active" => Standing::Active,
                    "over" => Standing::Over,
                    _ => Standing::Empty,
                },
                refreshable: refresh.is_some(),
                scopes: serde_json::from_str(&scopes).map_err(unreadable)?,
                issued_at: moment(row.get("issued_at")?),
                expires_at: row.get::<_, Option<i64>>("expires_at")?.map(moment),
                consent_at: row.get::<_, Option<i64>>("consent_at")?.map(moment),
                used_at: moment(row.get("used_at")?),
                renew_at: row.get::<_, Option<i64>>("renew_at")?.map(moment),
                sent_at: row.get::<_, Option<i64>>("sent_at")?.map(moment),
                leased: pending(lease_until, now).is_some(),
                failures: row.get("failures")?,
                certificate: row.get("certificate")?,
            },
            removed: text == "removed",
            lease_holder: row.get("lease_holder")?,
            lease_until,
            retry_at: moment(row.get("retry_at")?),
            access: row.get("access")?,
            refresh,
        })
    }

    /// The grant with its tokens.
    pub(super) fn unseal(self, work: &Work<'_>) -> Result<Grant, StoreError> {
        let (key, version) = (&self.facts.key, self.facts.version);
        let open = |purpose, sealed: Option<Vec<u8>>| {
            sealed.map(|sealed| work.sealer.open(bound(purpose, key, version), &sealed)).transpose()
        };
        let (access, refresh) = (open("access", self.access)?, open("refresh", self.refresh)?);
        Ok(Grant { facts: self.facts, access, refresh })
    }
}

/// Seals a token for its row.
pub(super) fn seal(
    work: &Work<'_>,
    purpose: &'static str,
    key: &GrantKey,
    version: u64,
    token: Option<&Secret>,
) -> Result<Option<Vec<u8>>, StoreError> {
    token.map(|token| work.sealer.seal(bound(purpose, key, version), token)).transpose()
}

fn bound<'a>(purpose: &'static str, key: &'a GrantKey, version: u64) -> Bound<'a> {
    Bound { purpose, bank: key.bank.as_str(), name: key.grant.as_str(), version }
}

/// How long it is until a lease or wait ends, if it has not ended.
pub(super) fn pending(until: Timestamp, now: Timestamp) -> Option<Duration> {
    let remaining = until.since(now);
    (!remaining.is_zero() && remaining <= FARTHEST).then_some(remaining)
}

pub(super) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}
