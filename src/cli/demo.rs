//! `bankside demo`: simulated banks, a throw-away QWAC, and the sidecar in front of them, all in one process.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Parser;

use crate::app::App;
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
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    port: u16,
    /// Where the operator's side is reached
    #[arg(long, default_value_t = 9090, value_name = "PORT")]
    admin_port: u16,
}

pub(super) fn run(args: &Args) -> Outcome {
    let listens = Listens::two_banks(args.port, args.admin_port);
    let listens = listens.ok_or_else(|| anyhow!("the second bank needs the port above --port"))?;
    let _log = telemetry::log::start(&Log { format: LogFormat::Auto, level: "warn".to_owned() })?;
    // Certificates, secrets and the store: gone when the demonstration ends.
    let dir = tempfile::tempdir().context("no temporary folder can be made")?;
    super::block_on(async {
        let mut signals = EndSignals::listen()?;
        output::complain("Starting two simulated banks, and a sidecar in front of them …");
        let sandbox = Sandbox::start(Options::default()).await?;
        let app = configured(&sandbox, dir.path(), &listens)?;
        authorize(&app, &sandbox).await?;
        let running = app.start()?;
        output::print(&tour::invitation(&listens))?;
        let signal = signals.next().await;
        end(running, signal, &mut signals).await;
        sandbox.stop().await;
        Ok(())
    })
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
