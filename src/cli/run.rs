//! `bankside run`: the sidecar.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Parser;
use tokio::sync::oneshot;

use crate::app::{App, Phase, Running, raise_file_limit};
use crate::inbound::Inherited;
use crate::telemetry;

use super::configured::Configured;
use super::office::unstarted;
use super::signals::{EndSignals, ReloadSignals};
use super::supervisor::Manager;
use super::{Failed, Outcome};

/// A start that is nearly over is waited for so long when it is to end.
const LAST_START: Duration = Duration::from_millis(500);

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Writes one line to this file once every listener is bound
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

pub(super) fn run(args: &Args, configured: &Configured) -> Outcome {
    // Before all that can fail: whoever waits for the file must not find that of a former run.
    args.ready_file.as_deref().map_or(Ok(()), forget)?;
    raise_file_limit();
    // While there is no other thread: it changes the environment.
    let sockets = Inherited::from_environment().context("the service manager's sockets cannot be used")?;
    let manager = Manager::default();
    let tell = move |phase: Phase, status: &str| manager.tell(phase, status);
    let app = configured.checked()?.with_sockets(sockets).reloading(configured.reader()).observed(tell);
    let _log = telemetry::log::start(&app.config().log)?;
    let _spans = telemetry::spans::start()?;
    for warning in app.findings() {
        tracing::warn!(%warning, "configuration");
    }
    super::block_on(async {
        let mut signals = EndSignals::listen()?;
        let mut reload_signals = ReloadSignals::listen()?;
        let Some(running) = start(app, &mut signals).await? else { return Ok(()) };
        let announced = args.ready_file.as_deref().map(|file| {
            let unwritten = || format!("{} cannot be written", file.display());
            announce(file, &ready_line(&running)).with_context(unwritten)
        });
        let announced = announced.transpose()?;
        let signal = loop {
            tokio::select! {
                signal = signals.next() => break signal,
                () = reload_signals.next() => running.reload(),
                () = running.ended() => return Err(anyhow!("the sidecar has ended by itself: the log says why").into()),
            }
        };
        // Whoever starts next may listen in our place from here on: its start is what is waited for then.
        drop(announced);
        end(running, signal, &mut signals).await;
        let dropped = telemetry::log::dropped();
        if dropped > 0 {
            tracing::warn!(events = dropped, "log events were dropped because they came too fast");
        }
        Ok(())
    })
}

/// Starts the sidecar, unless a signal ends that first: a database that says nothing may take long.
async fn start(app: App, signals: &mut EndSignals) -> Result<Option<Running>, Failed> {
    let store = app.config().store.clone();
    let (sender, mut started) = oneshot::channel();
    // If nobody waits any more, what was started ends.
    std::thread::Builder::new().name("start".into()).spawn(move || drop(sender.send(app.start())))?;
    let signal = tokio::select! {
        started = &mut started => {
            let started = started.context("the start failed")?;
            return started.map(Some).map_err(|error| unstarted(error, &store));
        }
        signal = signals.next() => signal,
    };
    // What has started by now may have begun to renew a grant: that is let end.
    if let Ok(Ok(Ok(running))) = tokio::time::timeout(LAST_START, started).await {
        end(running, signal, signals).await;
    }
    Ok(None)
}

/// Drains after this signal. Another one cuts the requests; a renewal under way is finished unless a third one comes.
pub(super) async fn end(running: Running, signal: &'static str, signals: &mut EndSignals) {
    tracing::info!(signal, "ending: requests under way are finished");
    running.drain();
    let signal = tokio::select! {
        // The last of what it has goes with its threads, of which an HSM's session is one.
        () = running.ended() => return running.stop(),
        signal = signals.another() => signal,
    };
    tracing::warn!(signal, "ending at once: requests under way are cut");
    tokio::select! {
        () = running.settled() => {}
        signal = signals.another() => {
            tracing::error!(signal, "a renewal under way is cut: its grant may need an authorization");
        }
    }
}

/// Removes a regular file, if there is one, unless the run that wrote it still serves. What leads elsewhere, as a pipe or
/// a link, is somebody's way to be told.
fn forget(ready_file: &Path) -> anyhow::Result<()> {
    if !fs::symlink_metadata(ready_file).is_ok_and(|metadata| metadata.is_file()) || is_held(ready_file) {
        return Ok(());
    }
    // In a folder that others write, it can be emptied at least.
    let removed = fs::remove_file(ready_file).or_else(|_| fs::write(ready_file, ""));
    removed.with_context(|| format!("{} of a former run cannot be removed", ready_file.display()))
}

/// Whether a run that serves has locked it.
fn is_held(ready_file: &Path) -> bool {
    File::open(ready_file).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Writes the line. A regular file is locked as long as what comes back is kept; a pipe's reader gets its end at once.
fn announce(ready_file: &Path, line: &str) -> io::Result<Option<File>> {
    let mut file = File::create(ready_file)?;
    let is_regular = file.metadata()?.is_file();
    if is_regular {
        // A file system may have no locks: then the next run takes this one for a former one.
        let _ = file.try_lock();
    }
    file.write_all(line.as_bytes())?;
    Ok(Some(file).filter(|_| is_regular))
}

/// Which bank listens where, in one line: `ready BANK=127.0.0.1:8080 … admin=127.0.0.1:9090`.
fn ready_line(running: &Running) -> String {
    let listeners: Vec<String> =
        running.listeners().iter().map(|(name, address)| format!("{name}={address}")).collect();
    format!("ready {}\n", listeners.join(" "))
}
