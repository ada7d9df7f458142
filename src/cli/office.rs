//! The store, opened for a command, and what the configuration has to do with one that stays shut.

use crate::app::{App, Office, StartError};
use crate::config::{Problem, Store};
use crate::store::StoreError;

use super::Failed;
use super::configured::told;
use super::written::in_its_line;

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

/// The mistake where the configuration and the store are not for each other: no second try mends that.
pub(super) fn mistaken(store: &Store, error: &StoreError) -> Option<Problem> {
    const ANOTHER: &str = "or name another store in `store.url`: each grant then needs a new login";
    let key = match error {
        StoreError::WrongKey { .. } => "key",
        StoreError::NewerSchema { .. } => "url",
        _ => return None,
    };
    Some(Problem::error(&in_its_line(store.place.child(key), &["store", key]), error.to_string(), ANOTHER))
}
