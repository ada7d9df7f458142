//! The handle of a sidecar that runs.

use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Listen;

use super::control::{self, Control};
use super::{App, StartError};

/// What is listened on, for whom.
pub(super) type Addresses = Arc<ArcSwap<Vec<(String, Listen)>>>;

/// What the sidecar is about to do, as a service manager wants to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It serves: after the start, and after each reload, whatever came of that.
    Ready,
    /// It reads the configuration once more, and serves meanwhile.
    Reloading,
    /// It drains.
    Ending,
}

/// A sidecar that runs in threads of its own. Dropping the handle ends it as [`drain`](Self::drain) does.
pub struct Running {
    addresses: Addresses,
    asked: Arc<Notify>,
    drain: CancellationToken,
    under_way: TaskTracker,
    ended: watch::Receiver<bool>,
    control: Option<JoinHandle<()>>,
}

impl App {
    /// Starts the sidecar: returns when every listener is bound, or with nothing left behind. It blocks meanwhile.
    pub fn start(self) -> Result<Running, StartError> {
        let (drain, asked, addresses) = (CancellationToken::new(), Arc::<Notify>::default(), Addresses::default());
        let (ended_sender, ended) = watch::channel(false);
        let under_way = self.under_way.clone();
        let (ready_sender, ready) = std::sync::mpsc::sync_channel(1);
        let control =
            Control { app: self, drain: drain.clone(), asked: Arc::clone(&asked), addresses: Arc::clone(&addresses) };
        let thread = std::thread::Builder::new().name("control".into()).spawn(move || {
            control::run(control, &ready_sender);
            ended_sender.send_replace(true);
        })?;
        match ready.recv() {
            Ok(Ok(())) => Ok(Running { addresses, asked, drain, under_way, ended, control: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Lost),
        }
    }
}

impl Running {
    /// What is listened on: the bank's name or `admin`, and the address, with the port that was given for port 0.
    pub fn listeners(&self) -> Vec<(String, Listen)> {
        self.addresses.load().to_vec()
    }

    /// Asks for a reload, of which the log, `/readyz` and the metrics tell how it went. It does not wait for that.
    pub fn reload(&self) {
        self.asked.notify_one();
    }

    /// Begins to end: listeners close, requests under way finish, within the longest response timeout.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Waits until no renewal or end of a login is under way: what a bank has given for a refresh token or a code is in this
    /// process only until it is stored.
    pub async fn settled(&self) {
        self.under_way.close();
        self.under_way.wait().await;
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
