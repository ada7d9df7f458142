//! Connections to a bank: how many there are, and how their handshakes ended.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use super::BankMetrics;

/// Which of a bank's endpoints a connection leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Towards {
    /// Where requests go.
    #[default]
    Api,
    /// Where tokens come from.
    OAuth,
}

impl Towards {
    pub(super) const ALL: [Self; 2] = [Self::Api, Self::OAuth];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::OAuth => "oauth",
        }
    }
}

/// How a handshake can end.
pub(super) const HANDSHAKES: [&str; 3] = ["full", "resumed", "failed"];

/// What is counted of connections towards one endpoint.
#[derive(Debug, Default)]
pub(super) struct Connections {
    pub(super) open: AtomicI64,
    /// As in [`HANDSHAKES`].
    pub(super) handshakes: [AtomicU64; HANDSHAKES.len()],
}

/// Counts the connections towards one of a bank's endpoints. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    bank: BankMetrics,
    towards: Towards,
}

impl ConnectionMetrics {
    pub(super) fn new(bank: BankMetrics, towards: Towards) -> Self {
        Self { bank, towards }
    }

    /// A connection may be opened.
    pub fn opened(&self) {
        self.connections().open.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is closed, or was not made after all.
    pub fn closed(&self) {
        self.connections().open.fetch_sub(1, Ordering::Relaxed);
    }

    /// A handshake is done.
    pub fn connected(&self, resumed: bool) {
        self.connections().handshakes[usize::from(resumed)].fetch_add(1, Ordering::Relaxed);
        self.bank.seen().reached(Instant::now());
    }

    /// No connection came of an attempt, for this reason.
    pub fn failed(&self, reason: String) {
        self.connections().handshakes[2].fetch_add(1, Ordering::Relaxed);
        self.bank.seen().failed(Instant::now(), reason);
    }

    fn connections(&self) -> &Connections {
        self.bank.connections_towards(self.towards)
    }
}
