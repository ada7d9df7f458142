//! What is known of an endpoint's addresses, from one connection to the next. It is not kept for longer than its client.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Known(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    preferred: Option<SocketAddr>,
}

impl Known {
    /// The address that worked where the one before it did not, or was late. As long as none has, DNS has its way with
    /// the load.
    pub(super) fn preferred(&self) -> Option<SocketAddr> {
        self.state().preferred
    }

    /// This one worked, and another was before it.
    pub(super) fn prefer(&self, address: SocketAddr) {
        self.state().preferred = Some(address);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
