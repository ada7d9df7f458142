//! A store and a configuration that are not for each other.

use crate::config::{Problem, Store, in_its_line};
use crate::store::StoreError;

/// The mistake where the configuration and the store are not for each other: no second try mends that.
pub fn mistaken(store: &Store, error: &StoreError) -> Option<Problem> {
    const ANOTHER: &str = "or name another store in `store.url`: each grant then needs a new login";
    let key = match error {
        StoreError::WrongKey { .. } => "key",
        StoreError::NewerSchema { .. } => "url",
        _ => return None,
    };
    Some(Problem::error(&in_its_line(store.place.child(key), &["store", key]), error.to_string(), ANOTHER))
}
