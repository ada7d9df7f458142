//! The signals that end the program, and the one that makes it reload.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// SIGINT (Ctrl-C) and SIGTERM.
pub(super) struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl EndSignals {
    /// From here on the signals no longer kill the process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one; its name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
