//! The configuration as a whole.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::words::Secret;

use super::{Bank, Listen, Place, Postgres, Problem};

/// A valid configuration, with the content of every file that it names.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// How to log.
    pub log: Log,
    /// The operator's listener; `None` where it is off.
    pub admin: Option<Listen>,
    /// Where grants live.
    pub store: Store,
    /// How many workers there are; resolved, at least 1.
    pub workers: usize,
    /// The banks, in the order of the file; at least one.
    pub banks: Vec<Arc<Bank>>,
    /// What somebody should know although it works.
    pub warnings: Vec<Problem>,
    /// Every file that went into this: what a reload watches.
    pub files: Vec<PathBuf>,
}

/// How to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// In which form.
    pub format: LogFormat,
    /// A level, or directives as `tracing_subscriber`'s `Targets` reads them.
    pub level: String,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Where grants live.
#[derive(Clone, Debug)]
pub struct Store {
    /// The `[store]` table.
    pub place: Place,
    /// Which database.
    pub url: StoreUrl,
    /// What seals the grants in it.
    pub key: StoreKey,
}

/// Which database.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A database in PostgreSQL, for many replicas.
    Postgres(Box<Postgres>),
}

/// The key that seals what is stored.
#[derive(Clone)]
pub enum StoreKey {
    /// 32 bytes.
    Given(Box<[Secret]>),
    /// The file is not there yet: to be made, with mode 0600, by whoever opens the store (SQLite only).
    Make(PathBuf),
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(keys) => write!(f, "{} keys", keys.len()),
            Self::Make(path) => write!(f, "to be made at {}", path.display()),
        }
    }
}
