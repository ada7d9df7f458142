//! Whether a request has begun to leave for where it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a service tells its connection of a request. An app that closes looks like one that only has nothing more to
/// say: before the request leaves, it can still be taken for gone without harm.
#[derive(Clone, Debug, Default)]
pub struct Departure(Option<Arc<AtomicBool>>);

impl Departure {
    /// One that is asked. The default is one that nobody asks: of HTTP/2, where a hang-up is plain.
    pub(super) fn watched() -> Self {
        Self(Some(Arc::default()))
    }

    /// From here on, bytes of the request may have left.
    pub fn begin(&self) {
        self.set(true);
    }

    /// Nothing has left that counts, or not yet of the next sending.
    pub fn take_back(&self) {
        self.set(false);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.0.as_ref().is_none_or(|begun| begun.load(Ordering::Relaxed))
    }

    fn set(&self, has_begun: bool) {
        if let Some(begun) = &self.0 {
            begun.store(has_begun, Ordering::Relaxed);
        }
    }
}
