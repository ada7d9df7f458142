//! A look at a store that somebody else may be using: nothing is made, written or locked.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};

use crate::config::{self, StoreKey, StoreUrl};
use crate::store::seal::Sealer;
use crate::store::{StoreError, key};

use super::{keys, schema};

/// Whether the configured keys open what stands in the store, if it is there and can be read. It blocks.
pub(super) fn look(settings: &config::Store) -> Result<(), StoreError> {
    let StoreUrl::Sqlite(path) = &settings.url else { return Ok(()) };
    if !path.exists() {
        return Ok(());
    }
    let Some(connection) = open(path)? else { return Ok(()) };
    if schema::version(&connection)? == 0 {
        return Ok(());
    }
    let checks = keys::checks(&connection)?;
    let Some((id, _)) = checks.first() else { return Ok(()) };
    let sealer = match &settings.key {
        StoreKey::Given(keys) => Sealer::new(keys)?,
        StoreKey::Make(path) => match key::read(path)? {
            Some(key) => Sealer::new(&[key])?,
            None => return Err(StoreError::WrongKey { id: id.clone() }),
        },
    };
    keys::fit(&sealer, &checks)
}

/// SQLite would make its files beside a database in WAL mode, as the user who runs this, where nobody has it open:
/// then it is read as one that does not change. A log that was left there without its index (`-shm`) can be read only
/// by making that, and without it nothing is known: `None`.
fn open(path: &Path) -> Result<Option<Connection>, StoreError> {
    // SQLite's files are beside the database itself, wherever a link to it is.
    let failed = |source| StoreError::File { what: "opening the store", path: path.to_owned(), source };
    let path = &path.canonicalize().map_err(failed)?;
    let (log, index) = (beside(path, "-wal"), beside(path, "-shm"));
    let is_in_use = log.exists() && index.exists();
    if !is_in_use && fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Ok(None);
    }
    let mode = if is_in_use { "mode=ro" } else { "immutable=1" };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let name = percent_encode(path.as_os_str().as_bytes(), NON_ALPHANUMERIC);
    Ok(Some(Connection::open_with_flags(format!("file:{name}?{mode}"), flags)?))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
