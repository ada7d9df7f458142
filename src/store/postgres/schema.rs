//! The tables, and how a database of an earlier release becomes one of this. Whoever comes first does it.
//!
//! They are those of the embedded database, in a schema of their own, with a row of `meta` beside them: the schema's
//! version, and the number of the last change. Whoever changes a grant holds that row until the change is there for all,
//! so that numbers become visible in their order.

use tokio_postgres::types::Type;

use crate::store::StoreError;

use super::pool::Loan;

/// The advisory lock under which the schema is looked at and changed: "bankside" in ASCII.
const LOCK: i64 = 0x6261_6e6b_7369_6465;

/// What each version adds to the one before.
const MIGRATIONS: [&str; 1] = ["
CREATE TABLE bankside.meta (
    one     boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    version bigint  NOT NULL,
    change  bigint  NOT NULL
);
INSERT INTO bankside.meta (version, change) VALUES (0, 0);

-- The clock of all replicas: milliseconds since 1970, UTC.
CREATE FUNCTION bankside.now() RETURNS bigint LANGUAGE sql VOLATILE
    AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

CREATE TABLE bankside.grants (
    bank         text   NOT NULL,
    name         text   COLLATE \"C\" NOT NULL,
    version      bigint NOT NULL,           -- of the tokens; what is sealed is bound to it
    change       bigint NOT NULL,           -- the number of the last change that others must see
    standing     text   NOT NULL CHECK (standing IN ('empty', 'active', 'over', 'removed')),
    access       bytea,                     -- sealed
    refresh      bytea,                     -- sealed
    scopes       text   NOT NULL,           -- a JSON array: a scope may hold spaces
    issued_at    bigint NOT NULL,           -- all times: milliseconds since 1970, UTC
    expires_at   bigint,
    consent_at   bigint,
    used_at      bigint NOT NULL,
    renew_at     bigint,                    -- no renewal ahead where it is NULL
    certificate  text,
    lease_holder text,
    lease_until  bigint NOT NULL DEFAULT 0,
    sent_at      bigint,                    -- the intent: a renewal left, or was about to, and no answer is known
    failures     bigint NOT NULL DEFAULT 0, -- in a row
    retry_at     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (bank, name)
);
CREATE INDEX grants_due ON bankside.grants (bank, renew_at) WHERE renew_at IS NOT NULL;
CREATE INDEX grants_consent ON bankside.grants (bank, consent_at) WHERE consent_at IS NOT NULL;
CREATE INDEX grants_change ON bankside.grants (bank, change);

CREATE TABLE bankside.kept (
    kind    text   NOT NULL CHECK (kind IN ('key', 'client', 'attempt')),
    bank    text   NOT NULL,
    name    text   COLLATE \"C\" NOT NULL,  -- the key's id, the client's id, the hash of the attempt's state
    value   bytea  NOT NULL,                -- sealed
    made_at bigint NOT NULL,
    ends_at bigint,
    PRIMARY KEY (kind, bank, name)
);
CREATE INDEX kept_name ON bankside.kept (kind, name);
"];

/// Brings the database up to this release's version, in the transaction that is open.
pub(super) async fn migrate(connection: &mut Loan) -> Result<(), StoreError> {
    connection.query("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    let found = version(connection).await?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let Some(pending) = usize::try_from(found).ok().and_then(|done| MIGRATIONS.get(done..)) else {
        return Err(StoreError::NewerSchema { found, known });
    };
    for step in pending {
        connection.batch(step).await?;
    }
    if !pending.is_empty() {
        connection.query("UPDATE bankside.meta SET version = $1", &[(&known, Type::INT8)]).await?;
    }
    Ok(())
}

/// The schema's version; 0 where there is none.
async fn version(connection: &mut Loan) -> Result<i64, StoreError> {
    // A schema that an administrator has made is used, since that needs fewer rights than making one.
    if !connection.did("SELECT 1 WHERE to_regnamespace('bankside') IS NOT NULL", &[]).await? {
        connection.batch("CREATE SCHEMA bankside").await?;
    }
    if !connection.did("SELECT 1 WHERE to_regclass('bankside.meta') IS NOT NULL", &[]).await? {
        return Ok(0);
    }
    let rows = connection.query("SELECT version FROM bankside.meta", &[]).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
}
