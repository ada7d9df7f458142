//! The embedded database: SQLite in WAL mode, one file for several processes of one host.

use std::sync::Arc;

use crate::config;
use crate::words::{Clock, Random};

use super::StoreError;

/// Grants in a SQLite file.
pub struct Sqlite {}

impl Sqlite {
    /// Opens the store that the configuration names, and makes it and its key where they are missing. It blocks.
    pub fn open(_settings: &config::Store, _clock: Clock, _random: &Random) -> Result<Arc<Self>, StoreError> {
        todo!()
    }
}
