//! The handle of a sidecar that runs.

use std::thread::JoinHandle;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Listen;

use super::control::{self, Control};
use super::{App, StartError};

/// A sidecar that runs in threads of its own. Dropping the handle ends it as [`drain`](Self::drain) does.
pub struct Running {
    listeners: Vec<(String, Listen)>,
    drain: CancellationToken,
    ended: watch::Receiver<bool>,
    control: Option<JoinHandle<()>>,
}

impl App {
    /// Starts the sidecar: returns when every listener is bound, or with nothing left behind. It blocks meanwhile.
    pub fn start(self) -> Result<Running, StartError> {
        let drain = CancellationToken::new();
        let (ended_sender, ended) = watch::channel(false);
        let (ready_sender, ready) = std::sync::mpsc::sync_channel(1);
        let control = Control { app: self, drain: drain.clone(), stop_admin: CancellationToken::new() };
        let thread = std::thread::Builder::new().name("control".into()).spawn(move || {
            control::run(&control, &ready_sender);
            ended_sender.send_replace(true);
        })?;
        match ready.recv() {
            Ok(Ok(listeners)) => Ok(Running { listeners, drain, ended, control: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Lost),
        }
    }
}

impl Running {
    /// What is listened on: the bank's name or `admin`, and the address, with the port that was given for port 0.
    pub fn listeners(&self) -> &[(String, Listen)] {
        &self.listeners
    }

    /// Begins to end: listeners close, requests under way finish, within the longest response timeout.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // The sender is dropped only with the control thread, which is an end too.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Ends it, and waits until it has ended. It blocks meanwhile.
    pub fn stop(mut self) {
        self.drain();
        if let Some(control) = self.control.take() {
            // A panic there was told when it happened.
            let _ = control.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.drain();
    }
}
