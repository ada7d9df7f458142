//! The two tables, and how a database of an earlier release becomes one of this.
//!
//! `grants` holds one row per grant. `kept` holds what is small, sealed and has no life of its own: registered clients,
//! login attempts, and a check value per key, so that a wrong key shows at once.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// What each version adds to the one before.
const MIGRATIONS: [&str; 2] = [
    "
CREATE TABLE grants (
    bank         TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    version      INTEGER NOT NULL,           -- of the tokens; what is sealed is bound to it
    change       INTEGER NOT NULL,           -- the number of the last change that others must see
    standing     TEXT    NOT NULL CHECK (standing IN ('empty', 'active', 'over', 'removed')),
    access       BLOB,                       -- sealed
    refresh      BLOB,                       -- sealed
    scopes       TEXT    NOT NULL,           -- a JSON array: a scope may hold spaces
    issued_at    INTEGER NOT NULL,           -- all times: milliseconds since 1970, UTC
    expires_at   INTEGER,
    consent_at   INTEGER,
    used_at      INTEGER NOT NULL,
    renew_at     INTEGER,                    -- no renewal ahead where it is NULL
    certificate  TEXT,
    lease_holder TEXT,
    lease_until  INTEGER NOT NULL DEFAULT 0,
    sent_at      INTEGER,                    -- the intent: a renewal left, or was about to, and no answer is known
    failures     INTEGER NOT NULL DEFAULT 0, -- in a row
    retry_at     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (bank, name)
) STRICT;
CREATE INDEX grants_due ON grants (bank, renew_at) WHERE renew_at IS NOT NULL;
CREATE INDEX grants_change ON grants (change);

CREATE TABLE kept (
    kind    TEXT    NOT NULL CHECK (kind IN ('key', 'client', 'attempt')),
    bank    TEXT    NOT NULL,
    name    TEXT    NOT NULL,                -- the key's id, the client's id, the hash of the attempt's state
    value   BLOB    NOT NULL,                -- sealed
    made_at INTEGER NOT NULL,
    ends_at INTEGER,
    PRIMARY KEY (kind, bank, name)
) STRICT;
CREATE INDEX kept_name ON kept (kind, name);
",
    "
CREATE INDEX grants_consent ON grants (bank, consent_at) WHERE consent_at IS NOT NULL;
",
];

/// Brings the database up to this release's version. Of several processes, the first one does it.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let pending = &MIGRATIONS[version(&transaction)?..];
    if !pending.is_empty() {
        pending.iter().try_for_each(|step| transaction.execute_batch(step))?;
        transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    }
    Ok(transaction.commit()?)
}

/// How many of the migrations the database has gone through; an error where it knows of later ones.
pub(super) fn version(connection: &Connection) -> Result<usize, StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = MIGRATIONS.len();
    let newer = StoreError::NewerSchema { found, known: i64::try_from(known).unwrap_or(i64::MAX) };
    usize::try_from(found).ok().filter(|version| *version <= known).ok_or(newer)
}
