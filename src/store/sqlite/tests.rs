//! Rules of the store.
