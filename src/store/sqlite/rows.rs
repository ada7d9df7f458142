//! A row of `grants`, read.

use rusqlite::Row;

use crate::store::stored::{Stored, name_of, pending, standing_of};
use crate::store::{Facts, GrantKey, StoreError};
use crate::words::{BankName, Timestamp};

use super::Work;

/// The columns that [`Stored`] is read from.
pub(super) const COLUMNS: &str = "name, version, standing, access, refresh, scopes, issued_at, expires_at, consent_at, \
     used_at, renew_at, certificate, lease_holder, lease_until, sent_at, failures, retry_at";

impl Stored {
    pub(super) fn find(work: &Work<'_>, key: &GrantKey) -> Result<Option<Self>, StoreError> {
        let select = format!("SELECT {COLUMNS} FROM grants WHERE bank = ?1 AND name = ?2");
        let mut select = work.transaction.prepare_cached(&select)?;
        let mut rows = select.query([key.bank.as_str(), key.grant.as_str()])?;
        rows.next()?.map(|row| Self::read(row, &key.bank, work.now)).transpose()
    }

    pub(super) fn read(row: &Row<'_>, bank: &BankName, now: Timestamp) -> Result<Self, StoreError> {
        let text: String = row.get("standing")?;
        let (refresh, lease_until): (Option<Vec<u8>>, _) = (row.get("refresh")?, moment(row.get("lease_until")?));
        let grant: String = row.get("name")?;
        let scopes: String = row.get("scopes")?;
        Ok(Self {
            facts: Facts {
                key: GrantKey { bank: bank.clone(), grant: name_of(&grant)? },
                version: row.get("version")?,
                standing: standing_of(&text)?,
                refreshable: refresh.is_some(),
                scopes: serde_json::from_str(&scopes).map_err(|_| StoreError::Damaged { what: "list of scopes" })?,
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
}

pub(super) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
