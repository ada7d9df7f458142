//! `bankside run`: the sidecar.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use crate::app::{Running, raise_file_limit};
use crate::inbound::Inherited;
use crate::telemetry;

use super::Outcome;
use super::configured::Configured;
use super::signals::{EndSignals, ReloadSignals};
use super::supervisor;

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Writes one line to this file once every listener is bound
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

pub(super) fn run(args: &Args, configured: &Configured) -> Outcome {
    raise_file_limit();
    // While there is no other thread: it changes the environment.
    let sockets = Inherited::from_environment().context("the service manager's sockets cannot be used")?;
    let app = configured.checked()?.with_sockets(sockets).reloading(configured.reader()).observed(supervisor::tell);
    let _log = telemetry::log::start(&app.config().log)?;
    let _spans = telemetry::spans::start()?;
    for warning in app.findings() {
        tracing::warn!(%warning, "configuration");
    }
    super::block_on(async {
        let mut signals = EndSignals::listen()?;
        let mut reload_signals = ReloadSignals::listen()?;
        let running = app.start()?;
        if let Some(file) = &args.ready_file {
            fs::write(file, ready_line(&running)).with_context(|| format!("{} cannot be written", file.display()))?;
        }
        let signal = loop {
            tokio::select! {
                signal = signals.next() => break signal,
                () = reload_signals.next() => running.reload(),
            }
        };
        end(running, signal, &mut signals).await;
        let dropped = telemetry::log::dropped();
        if dropped > 0 {
            tracing::warn!(events = dropped, "log events were dropped because they came too fast");
        }
        Ok(())
    })
}

/// Drains after this signal; another one cuts.
pub(super) async fn end(running: Running, signal: &'static str, signals: &mut EndSignals) {
    tracing::info!(signal, "ending: requests under way are finished");
    running.drain();
    tokio::select! {
        // The last of what it has goes with its threads, of which an HSM's session is one.
        () = running.ended() => running.stop(),
        signal = signals.next() => tracing::warn!(signal, "ending at once: requests under way are cut"),
    }
}

/// Which bank listens where, in one line: `ready BANK=127.0.0.1:8080 … admin=127.0.0.1:9090`.
fn ready_line(running: &Running) -> String {
    let listeners: Vec<String> =
        running.listeners().iter().map(|(name, address)| format!("{name}={address}")).collect();
    format!("ready {}\n", listeners.join(" "))
}
