//! Opening: the file, its modes, the schema, and the keys that must fit.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::config::{self, StoreKey, StoreUrl};
use crate::store::seal::Sealer;
use crate::store::{StoreError, key};
use crate::words::Random;

use super::{keys, schema};

/// How long a writer waits for the others'.
const BUSY: Duration = Duration::from_secs(5);
/// How long it takes to ask again where SQLite does not wait by itself.
const AGAIN: Duration = Duration::from_millis(20);

pub(super) fn open(settings: &config::Store, random: &Random) -> Result<(Connection, Sealer), StoreError> {
    let StoreUrl::Sqlite(path) = &settings.url;
    make_file(path).map_err(|source| StoreError::File { what: "opening the store", path: path.clone(), source })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    use_wal(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    schema::migrate(&mut connection)?;
    let sealer = fit_keys(&mut connection, &settings.key, random)?;
    key::sync_directory(path).map_err(|source| StoreError::File { what: "syncing", path: path.clone(), source })?;
    Ok((connection, sealer))
}

/// Makes the file, or takes others' rights away from it; the files that SQLite puts beside it get its mode.
fn make_file(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 { fs::set_permissions(path, Permissions::from_mode(mode & 0o700)) } else { Ok(()) }
}

/// SQLite does not wait for others while it changes the journal's mode, so that is done here.
fn use_wal(connection: &Connection) -> Result<(), StoreError> {
    let mut waited = Duration::ZERO;
    loop {
        let asked = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match asked {
            Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::DatabaseBusy && waited < BUSY => {
                thread::sleep(AGAIN);
                waited += AGAIN;
            }
            other => return Ok(other.map(drop)?),
        }
    }
}

/// The keys, once they are known to be those under which the store was sealed.
fn fit_keys(connection: &mut Connection, given: &StoreKey, random: &Random) -> Result<Sealer, StoreError> {
    // Under the write lock: of two processes that open an empty store, the second one finds the first one's key.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let checks = keys::checks(&transaction)?;
    let sealer = match given {
        StoreKey::Given(keys) => Sealer::new(keys)?,
        StoreKey::Make(path) => Sealer::new(&[match (key::read(path)?, checks.first()) {
            (Some(key), _) => key,
            (None, Some((id, _))) => return Err(StoreError::WrongKey { id: id.clone() }),
            (None, None) => key::make(path, random)?,
        }])?,
    };
    keys::fit(&sealer, &checks)?;
    keys::note(&transaction, &sealer)?;
    transaction.commit()?;
    Ok(sealer)
}
