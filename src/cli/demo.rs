//! `bankside demo`: simulated banks, a throw-away QWAC, and the sidecar in front of them, all in one process.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Parser;

use crate::app::{App, Running, StartError};
use crate::config::{Config, Log, LogFormat, ProcessEnvironment};
use crate::sandbox::{Listens, Options, Sandbox, tour};
use crate::telemetry;
use crate::words::GrantName;

use super::run::end;
use super::signals::EndSignals;
use super::{Outcome, output};

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Where the first bank is reached; the second one is at the next port
    #[arg(long, default_value_t = 8080, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Where the operator's side is reached
    #[arg(long, default_value_t = 9090, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    admin_port: u16,
}

pub(super) fn run(args: &Args) -> Outcome {
    let listens = Listens::two_banks(args.port, args.admin_port);
    let listens = listens.ok_or_else(|| anyhow!("the second bank needs the port above --port"))?;
    if args.admin_port == args.port || args.admin_port == args.port + 1 {
        return Err(anyhow!("--admin-port must be another one than --port and the next, which the banks have").into());
    }
    let _log = telemetry::log::start(&Log { format: LogFormat::Auto, level: "warn".to_owned() })?;
    // Certificates, secrets and the store: gone when the demonstration ends.
    let dir = tempfile::tempdir().context("no temporary folder can be made")?;
    super::block_on(async {
        let mut signals = EndSignals::listen_to_all()?;
        output::complain("Starting two simulated banks, and a sidecar in front of them …");
        let (sandbox, running) = tokio::select! {
            started = start(dir.path(), &listens) => started?,
            _ = signals.next() => return Ok(()),
        };
        output::print(&tour::invitation(&listens))?;
        let signal = signals.next().await;
        end(running, signal, &mut signals).await;
        sandbox.stop().await;
        Ok(())
    })
}

async fn start(dir: &Path, listens: &Listens) -> anyhow::Result<(Sandbox, Running)> {
    let sandbox = Sandbox::start(Options::default()).await?;
    let app = configured(&sandbox, dir, listens)?;
    authorize(&app, &sandbox).await?;
    Ok((sandbox, app.start().map_err(with_remedy)?))
}

/// A port that is taken is the newcomer's first obstacle.
fn with_remedy(error: StartError) -> anyhow::Error {
    let error = anyhow!(error);
    let is_taken = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    };
    if error.chain().any(is_taken) {
        return anyhow!("{error:#}; try `bankside demo --port 18080 --admin-port 19090`");
    }
    error
}

/// The sidecar as a user would configure it, from the files that a user would have.
fn configured(sandbox: &Sandbox, dir: &Path, listens: &Listens) -> anyhow::Result<App> {
    let files = sandbox.write_to(dir, listens)?;
    let config = Config::load(&files.config, &ProcessEnvironment)?;
    Ok(App::new(config)?)
}

/// Goes through each bank's authorization flow, with a customer who approves.
async fn authorize(app: &App, sandbox: &Sandbox) -> anyhow::Result<()> {
    let office = app.open().await?;
    for (bank, grant) in tour::GRANTS {
        let grant: GrantName = grant.parse()?;
        let tokens = &office.bank(bank)?.tokens;
        let authorization = tokens.begin_login(&grant).await?;
        let callback = tokio::time::timeout(Duration::from_secs(30), sandbox.approve(&authorization.url)).await??;
        tokens.finish_login(&callback).await?;
    }
    Ok(())
}
