//! Floor 7, the program as a whole: built from a configuration, bound, run, drained.
//!
//! An [`App`] is checked but touches nothing. [`App::open`] opens the store for the commands that need no listener;
//! [`App::start`] starts the sidecar: the control thread, which owns store, renewals and the operator's side, and the
//! workers, which serve.

mod checked;
mod control;
mod doors;
mod files;
mod fronts;
mod mistaken;
mod office;
mod operator;
mod reload;
mod running;
mod watch;
mod worker;

pub use files::raise_file_limit;
pub use mistaken::mistaken;
pub use office::{BankDesk, Office};
pub use running::{Phase, Running};

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::config::{Config, Problem, Problems, Reading, Severity};
use crate::inbound::Inherited;
use crate::inbound::listen::ListenError;
use crate::store::StoreError;
use crate::telemetry::Metrics;
use crate::upstream::TlsClient;
use crate::words::{BankName, Clock, Random};

use checked::Checked;
use watch::{Signature, signature_of};

/// A valid configuration whose identities are read and fit.
pub struct App {
    checked: Checked,
    /// How the configuration's files were when they had been read.
    seen: Signature,
    clock: Clock,
    random: Random,
    inherited: Inherited,
    read_again: Option<ReadAgain>,
    observer: Observer,
    metrics: Metrics,
    /// Renewals and ends of logins, from when they may have left until they are stored.
    under_way: TaskTracker,
}

/// Reads the configuration once more.
type ReadAgain = Arc<dyn Fn() -> Reading + Send + Sync>;
/// Hears what phase begins, and a word about it.
type Observer = Arc<dyn Fn(Phase, &str) + Send + Sync>;

/// Why the sidecar does not start. Nothing of it goes on running then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
#[error("the configuration has no bank named {asked}; it has: {}", names(.known))]
pub struct UnknownBank {
    asked: String,
    known: Vec<BankName>,
}

fn names(banks: &[BankName]) -> String {
    banks.iter().map(BankName::as_str).collect::<Vec<_>>().join(", ")
}

impl App {
    /// Reads the banks' identities and roots, with the system's clock and randomness.
    pub fn new(config: Config) -> Result<Self, Problems> {
        Self::with_clock(config, Clock::system(), Random::system())
    }

    /// As [`new`](Self::new), from a reading of `file`. If the configuration has problems, those of its identities are
    /// reported with them.
    pub fn from_reading(reading: Reading, file: &Path) -> Result<Self, Problems> {
        let clock = Clock::system();
        let seen = signature_of(&reading.files);
        Ok(Self::assemble(Checked::of(reading, clock.now(), file)?, seen, clock, Random::system()))
    }

    /// As [`new`](Self::new), with a clock and randomness of the caller's.
    pub fn with_clock(config: Config, clock: Clock, random: Random) -> Result<Self, Problems> {
        let seen = signature_of(&config.files);
        Ok(Self::assemble(Checked::new(config, clock.now())?, seen, clock, random))
    }

    /// `seen` must have been taken at once: what is opened and asked later may take long, and the files may change
    /// meanwhile.
    fn assemble(checked: Checked, seen: Signature, clock: Clock, random: Random) -> Self {
        let (inherited, observer) = (Inherited::default(), Arc::new(|_: Phase, _: &str| {}));
        Self {
            checked,
            seen,
            clock,
            random,
            inherited,
            read_again: None,
            observer,
            metrics: Metrics::default(),
            under_way: TaskTracker::new(),
        }
    }

    /// Reloads by reading the configuration like this: when one of its files changes, and on [`Running::reload`]. The
    /// environment is the one of the start.
    #[must_use]
    pub fn reloading(self, read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        Self { read_again: Some(Arc::new(read)), ..self }
    }

    /// Listens on these sockets where they are bound to the configured addresses.
    #[must_use]
    pub fn with_sockets(self, inherited: Inherited) -> Self {
        Self { inherited, ..self }
    }

    /// Tells this one of each phase that begins, with a word about it. It must not block.
    #[must_use]
    pub fn observed(self, observer: impl Fn(Phase, &str) + Send + Sync + 'static) -> Self {
        Self { observer: Arc::new(observer), ..self }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.checked.config
    }

    /// What somebody should know although it works. What `check` takes for an error, such as a certificate that is
    /// over, is an error here too: the sidecar runs all the same, since the bank decides.
    pub fn findings(&self) -> &[Problem] {
        &self.checked.findings
    }

    /// Whether none of the [`findings`](Self::findings) is an error.
    pub fn is_sound(&self) -> bool {
        self.checked.findings.iter().all(|problem| problem.severity == Severity::Warning)
    }

    /// The banks with what connects to them.
    pub fn banks(&self) -> impl Iterator<Item = (&Arc<crate::config::Bank>, &Arc<TlsClient>)> {
        self.checked.banks()
    }
}
