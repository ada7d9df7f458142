//! The signals that end the program, and the one that makes it reload.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// For so long after a signal, others are its echo: Ctrl-C reaches all of a group, and whoever manages the group may send
/// each of its members a signal besides.
const ECHO: Duration = Duration::from_secs(1);

/// SIGHUP.
pub(super) struct ReloadSignals(Signal);

impl ReloadSignals {
    /// From here on the signal no longer kills the process.
    pub(super) fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one. Those that come too fast are one.
    pub(super) async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// SIGINT (Ctrl-C) and SIGTERM, and SIGHUP where it ends the program.
pub(super) struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl EndSignals {
    /// From here on the signals no longer kill the process.
    pub(super) fn listen() -> io::Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hangup: None })
    }

    /// As [`listen`](Self::listen), for a command that a closed terminal ends, too, unless it was started to outlive it.
    pub(super) fn listen_to_all() -> io::Result<Self> {
        let hangup = if is_hangup_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { hangup, ..Self::listen()? })
    }

    /// Waits for the next one; its name.
    pub(super) async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hangup => "SIGHUP",
        }
    }

    /// Waits for one that is meant as another one than the one that has just come.
    pub(super) async fn another(&mut self) -> &'static str {
        let echo = async {
            loop {
                self.next().await;
            }
        };
        let _: Result<(), _> = tokio::time::timeout(ECHO, echo).await;
        self.next().await
    }
}

/// Whether whoever started us (`nohup`) wants SIGHUP ignored. Where that cannot be told, nobody does.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

/// The number of a signal that ends the program.
pub(super) fn number(signal: &str) -> i32 {
    let kind = match signal {
        "SIGHUP" => SignalKind::hangup(),
        "SIGINT" => SignalKind::interrupt(),
        _ => SignalKind::terminate(),
    };
    kind.as_raw_value()
}
