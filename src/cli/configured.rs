//! Finding and loading the configuration that a command works with.

use std::path::PathBuf;

use crate::app::App;
use crate::config::{Config, Problem, Problems, ProcessEnvironment, Reading};

use super::{Failed, output};

/// Where the configuration is looked for, in this order, if none is named.
const DEFAULT_PATHS: [&str; 2] = ["bankside.toml", "/etc/bankside/bankside.toml"];

/// The configuration's place, as the command line gives it.
pub(super) struct Configured {
    named: Option<PathBuf>,
}

impl Configured {
    pub(super) fn new(named: Option<PathBuf>) -> Self {
        Self { named }
    }

    /// The configuration. What is wrong is told on standard error.
    pub(super) fn config(&self) -> Result<Config, Failed> {
        Config::load(&self.path(), &ProcessEnvironment).map_err(|problems| told(&problems))
    }

    /// The configuration with its identities, read and checked. What is wrong is told on standard error.
    pub(super) fn checked(&self) -> Result<App, Failed> {
        App::new(self.config()?).map_err(|problems| told(&problems))
    }

    /// As [`checked`](Self::checked); what is worth knowing is told, too.
    pub(super) fn app(&self) -> Result<App, Failed> {
        let app = self.checked()?;
        tell(app.findings());
        Ok(app)
    }

    /// What reads the configuration again, from where it was found.
    pub(super) fn reader(&self) -> impl Fn() -> Reading + Send + Sync + use<> {
        let path = self.path();
        move || Config::read(&path, &ProcessEnvironment)
    }

    /// The configuration's file: the one that is named, else the first default that is there.
    fn path(&self) -> PathBuf {
        let default = || DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.exists());
        self.named.clone().or_else(default).unwrap_or_else(|| PathBuf::from(DEFAULT_PATHS[0]))
    }
}

fn told(problems: &Problems) -> Failed {
    tell(&problems.0);
    Failed::Config
}

/// Tells problems on standard error, a line each.
pub(super) fn tell(problems: &[Problem]) {
    for problem in problems {
        output::complain(&problem.to_string());
    }
}
