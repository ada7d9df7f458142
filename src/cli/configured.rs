//! Finding and loading the configuration that a command works with.

use std::env;
use std::path::PathBuf;

use crate::app::App;
use crate::config::{Config, Problem, ProcessEnvironment, Reading};

use super::{Failed, output};

/// Where the configuration is looked for, in this order, if none is named.
const DEFAULT_PATHS: [&str; 2] = ["bankside.toml", "/etc/bankside/bankside.toml"];

/// What is said where there is none.
const NONE: &str = if cfg!(feature = "sandbox") {
    "there is no configuration: neither ./bankside.toml nor /etc/bankside/bankside.toml; name one with `-c FILE`, or look \
     around with `bankside demo`"
} else {
    "there is no configuration: neither ./bankside.toml nor /etc/bankside/bankside.toml; name one with `-c FILE`"
};

/// The configuration's place, as the command line gives it.
pub(super) struct Configured {
    named: Option<PathBuf>,
}

impl Configured {
    /// What the command line names, or else `BANKSIDE_CONFIG`, unless that is empty.
    pub(super) fn new(named: Option<PathBuf>) -> Self {
        let of_environment = || env::var_os("BANKSIDE_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
        Self { named: named.or_else(of_environment) }
    }

    /// The configuration. What is wrong is told on standard error.
    pub(super) fn config(&self) -> Result<Config, Failed> {
        Config::load(&self.existing()?, &ProcessEnvironment).map_err(|problems| told(&problems.0))
    }

    /// The configuration with its identities, read and checked. What is wrong is told on standard error.
    pub(super) fn checked(&self) -> Result<App, Failed> {
        let path = self.existing()?;
        App::from_reading(Config::read(&path, &ProcessEnvironment), &path).map_err(|problems| told(&problems.0))
    }

    /// As [`checked`](Self::checked); what is worth knowing is told, too.
    pub(super) fn app(&self) -> Result<App, Failed> {
        let app = self.checked()?;
        tell(app.findings());
        Ok(app)
    }

    /// What reads the configuration again, from where it was found.
    pub(super) fn reader(&self) -> impl Fn() -> Reading + Send + Sync + use<> {
        let path = self.path().unwrap_or_else(|| PathBuf::from(DEFAULT_PATHS[0]));
        move || Config::read(&path, &ProcessEnvironment)
    }

    /// As [`path`](Self::path). That there is none is told on standard error.
    fn existing(&self) -> Result<PathBuf, Failed> {
        self.path().ok_or_else(|| {
            output::complain(NONE);
            Failed::Config
        })
    }

    /// The configuration's file: the one that is named, else the first default that is there.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let default = || DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.exists());
        self.named.clone().or_else(default)
    }
}

/// Tells what is wrong with the configuration.
pub(super) fn told(problems: &[Problem]) -> Failed {
    tell(problems);
    Failed::Config
}

/// Tells problems on standard error, a line each.
pub(super) fn tell(problems: &[Problem]) {
    for problem in problems {
        output::complain(&problem.to_string());
    }
}
