//! Floor 7, the program as a whole: built from a configuration, bound, run, drained.
//!
//! An [`App`] is checked but touches nothing. [`App::open`] opens the store for the commands that need no listener;
//! [`App::start`] starts the sidecar: the control thread, which owns store, renewals and the operator's side, and the
//! workers, which serve.

mod control;
mod office;
mod running;
mod worker;

pub use office::{BankDesk, Office};
pub use running::Running;

use std::io;
use std::sync::Arc;

use crate::config::{Config, Problem, Problems, Severity};
use crate::inbound::listen::ListenError;
use crate::store::StoreError;
use crate::telemetry::Metrics;
use crate::upstream::TlsClient;
use crate::words::{BankName, Clock, Random};

/// A valid configuration whose identities are read and fit.
pub struct App {
    config: Arc<Config>,
    /// In the order of the configuration's banks.
    tls: Vec<Arc<TlsClient>>,
    clock: Clock,
    random: Random,
    metrics: Metrics,
    warnings: Vec<Problem>,
}

/// Why the sidecar does not start. Nothing of it goes on running then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A thread or its runtime cannot be made.
    #[error("a thread cannot be started")]
    Thread(#[from] io::Error),
    /// A thread ended before it was ready.
    #[error("a thread ended before it was ready")]
    Lost,
}

/// There is no such bank.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has no bank named {asked}; it has: {}", .known.iter().map(BankName::as_str).collect::<Vec<_>>().join(", "))]
pub struct UnknownBank {
    asked: String,
    known: Vec<BankName>,
}

impl App {
    /// Reads the banks' identities and roots, with the system's clock and randomness.
    pub fn new(config: Config) -> Result<Self, Problems> {
        Self::with(config, Clock::system(), Random::system())
    }

    /// As [`new`](Self::new), with a clock and randomness of the caller's.
    pub fn with(config: Config, clock: Clock, random: Random) -> Result<Self, Problems> {
        let mut warnings = config.warnings.clone();
        let mut problems = Vec::new();
        let mut tls = Vec::new();
        for bank in &config.banks {
            match TlsClient::build(bank, &mut warnings) {
                Ok(client) => tls.push(Arc::new(client)),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(Problems(without_repetitions(problems)));
        }
        let identities = tls.iter().filter_map(|client| client.identity());
        warnings.extend(identities.flat_map(|identity| identity.problems_at(clock.now())));
        Ok(Self {
            config: Arc::new(config),
            tls,
            clock,
            random,
            metrics: Metrics::default(),
            warnings: without_repetitions(warnings),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What somebody should know although it works. What `check` takes for an error, such as a certificate that is
    /// over, is an error here too: the sidecar runs all the same, since the bank decides.
    pub fn findings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Whether [`findings`](Self::findings) has an error.
    pub fn is_sound(&self) -> bool {
        self.warnings.iter().all(|problem| problem.severity == Severity::Warning)
    }

    /// The banks with what connects to them.
    pub fn banks(&self) -> impl Iterator<Item = (&Arc<crate::config::Bank>, &Arc<TlsClient>)> {
        self.config.banks.iter().zip(&self.tls)
    }
}

/// Banks that share an identity share its problems: each is told once.
fn without_repetitions(problems: Vec<Problem>) -> Vec<Problem> {
    let mut once: Vec<Problem> = Vec::new();
    for problem in problems {
        if !once.contains(&problem) {
            once.push(problem);
        }
    }
    once
}
