//! Floor 8, the commands: one file each.

mod care;
mod certificate;
mod check;
mod configured;
#[cfg(feature = "sandbox")]
mod demo;
mod grant;
mod health;
mod login;
mod man;
mod office;
mod output;
mod register;
mod run;
#[cfg(feature = "sandbox")]
mod sandbox;
mod signals;
mod store;
mod supervisor;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::upstream;

use configured::Configured;

const HELP_CONFIG: &str =
    "The configuration [env: BANKSIDE_CONFIG] [default: ./bankside.toml, then /etc/bankside/bankside.toml]";

/// Puts a bank's PSD2 API on localhost: mutual TLS with your QWAC, and an always-fresh OAuth token.
#[derive(Debug, Parser)]
#[command(name = "bankside", version, max_term_width = 100)]
struct Cli {
    // No `env` of clap's: an empty variable is none.
    #[arg(short, long, value_name = "FILE", global = true, help = HELP_CONFIG)]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts two simulated banks and the sidecar in front of them, and prints what to try
    #[cfg(feature = "sandbox")]
    Demo(demo::Args),
    /// Runs the sidecar
    Run(run::Args),
    /// Reports every problem of the configuration at once, then what it says
    Check(check::Args),
    /// Gets a grant: the account's owner authorizes the access in a browser
    Login(login::Args),
    /// Registers the app at a bank, and cares for its registrations
    Register(register::Args),
    /// Lists, shows, imports, renews and removes grants
    #[command(subcommand)]
    Grant(grant::Args),
    /// Cares for the store of grants
    #[command(subcommand)]
    Store(store::Args),
    /// Shows what the QWAC says: holder, PSD2 roles, validity, chain
    Certificate(certificate::Args),
    /// Runs the simulated banks alone
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Args),
    /// Asks a running sidecar whether it lives, or whether every bank can be used
    Health(health::Args),
    /// Prints the JSON Schema of the configuration
    Schema,
    /// Prints a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints the manual page, or writes those of all commands
    Man(man::Args),
}

/// How a command ended, where it did not simply work.
enum Failed {
    /// The configuration is wrong: the problems are told already.
    Config,
    /// It did not work.
    Because(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Because(error.into())
    }
}

type Outcome = Result<(), Failed>;

/// Runs the command line of this process: 0 done, 1 it did not work, 2 usage, 78 the configuration is wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let code = match cli.command.run(&Configured::new(cli.config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Config) => ExitCode::from(78),
        Err(Failed::Because(error)) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(Failed::Because(error)) => {
            output::complain(&format!("bankside: {error:#}"));
            ExitCode::FAILURE
        }
    };
    upstream::wait_for_threads();
    code
}

impl Command {
    fn run(self, configured: &Configured) -> Outcome {
        match self {
            #[cfg(feature = "sandbox")]
            Self::Demo(args) => demo::run(&args),
            Self::Run(args) => run::run(&args, configured),
            Self::Check(args) => check::run(&args, configured),
            Self::Login(args) => login::run(&args, configured),
            Self::Register(args) => register::run(&args, configured),
            Self::Store(args) => store::run(&args, configured),
            Self::Grant(args) => grant::run(&args, configured),
            Self::Certificate(args) => certificate::run(&args, configured),
            #[cfg(feature = "sandbox")]
            Self::Sandbox(args) => sandbox::run(&args),
            Self::Health(args) => health::run(&args, configured),
            Self::Schema => Ok(output::print_json(&crate::config::schema())?),
            Self::Completions { shell } => {
                clap_complete::generate(shell, &mut Cli::command(), "bankside", &mut std::io::stdout());
                Ok(())
            }
            Self::Man(args) => man::run(&args, Cli::command()),
        }
    }
}

/// Runs a command's future to its end, on this thread.
fn block_on(future: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}
