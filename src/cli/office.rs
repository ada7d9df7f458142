//! The store, opened for a command, and what the configuration has to do with one that stays shut.

use crate::app::{App, Office, StartError, mistaken};
use crate::config::Store;

use super::Failed;
use super::configured::told;

/// Opens the store.
pub(super) async fn open(app: &App) -> Result<Office, Failed> {
    app.open().await.map_err(|error| unstarted(error, &app.config().store))
}

/// Why nothing was started: a mistake in the configuration, which is told then, or something else.
pub(super) fn unstarted(error: StartError, store: &Store) -> Failed {
    match &error {
        StartError::Store(of_store) => mistaken(store, of_store).map(|problem| told(&[problem])),
        _ => None,
    }
    .unwrap_or_else(|| error.into())
}
