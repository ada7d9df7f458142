//! `bankside run`: the sidecar.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use crate::app::Running;
use crate::telemetry;

use super::Outcome;
use super::configured::Configured;
use super::signals::EndSignals;

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Writes one line to this file once every listener is bound
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

pub(super) fn run(args: &Args, configured: &Configured) -> Outcome {
    let app = configured.app()?;
    let log = telemetry::log::start(&app.config().log)?;
    super::block_on(async {
        let mut signals = EndSignals::listen()?;
        let running = app.start()?;
        if let Some(file) = &args.ready_file {
            fs::write(file, ready_line(&running)).with_context(|| format!("{} cannot be written", file.display()))?;
        }
        until_ended(running, &mut signals).await;
        if log.dropped() > 0 {
            tracing::warn!(events = log.dropped(), "log events were dropped because they came too fast");
        }
        Ok(())
    })
}

/// Runs until a signal, then drains; a second signal cuts.
pub(super) async fn until_ended(running: Running, signals: &mut EndSignals) {
    let signal = signals.next().await;
    tracing::info!(signal, "ending: requests under way are finished");
    running.drain();
    tokio::select! {
        () = running.ended() => {}
        signal = signals.next() => tracing::warn!(signal, "ending at once: requests under way are cut"),
    }
}

/// Which bank listens where, in one line: `ready BANK=127.0.0.1:8080 … admin=127.0.0.1:9090`.
fn ready_line(running: &Running) -> String {
    let listeners: Vec<String> =
        running.listeners().iter().map(|(name, address)| format!("{name}={address}")).collect();
    format!("ready {}\n", listeners.join(" "))
}
