//! What a look at a bank finds, and how it looks.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Bank;
use crate::upstream::{ClientSettings, ConnectionLimit};

/// A page about one bank, and what failed.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) lines: Vec<String>,
    pub(super) failures: usize,
}

impl Findings {
    pub(super) fn row(&mut self, name: &str, value: &str) {
        self.lines.push(format!("    {name:<11} {value}"));
    }

    pub(super) fn fail(&mut self, reason: &str, remedy: &str) {
        self.failures += 1;
        self.row("FAILED", &format!("{reason}; {remedy}"));
    }

    pub(super) fn mind(&mut self, reason: &str, remedy: &str) {
        self.row("mind", &format!("{reason}; {remedy}"));
    }
}

/// How a look at a bank behaves: it waits for nobody.
pub(super) fn settings(bank: &Bank) -> ClientSettings {
    ClientSettings {
        connect: bank.timeouts.connect,
        idle: bank.timeouts.idle,
        queue: Duration::from_secs(1),
        connections: Arc::new(ConnectionLimit::new(2)),
    }
}
