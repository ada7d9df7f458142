//! The control thread: store, renewals, the operator's side, accepting, reloading. Nothing of it is in a request's way.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Listen;
use crate::inbound::spread::spread;

use super::doors::{Doors, Unbound};
use super::files::most_connections;
use super::fronts::{Fronts, wait_a_moment};
use super::office::Office;
use super::operator::Operator;
use super::reload::Reloader;
use super::running::{Addresses, Phase};
use super::{App, StartError};

/// How long, beyond the time that a call may take, renewals under way are waited for at the end: the store may be slow to take
/// the bank's answer, but whoever manages the process kills it after half a minute or so.
const LAST_RENEWALS: Duration = Duration::from_secs(17);

/// What the control thread runs.
pub(super) struct Control {
    pub(super) app: App,
    pub(super) drain: CancellationToken,
    /// Somebody asks for a reload.
    pub(super) asked: Arc<Notify>,
    pub(super) addresses: Addresses,
}

/// How the start went.
type Ready = Result<(), StartError>;

/// Everything that was bound and started.
pub(super) struct Sidecar {
    pub(super) office: Office,
    pub(super) fronts: Fronts,
    pub(super) doors: Doors,
    pub(super) operator: Operator,
    /// Ends the schedule of the tokens of this generation.
    pub(super) schedule: CancellationToken,
    accepting: TaskTracker,
    addresses: Addresses,
}

/// Runs the sidecar to its end. `ready` hears how the start went.
pub(super) fn run(control: Control, ready: &SyncSender<Ready>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(ready, Err(error.into())),
    };
    let drain = control.drain.clone();
    runtime.block_on(async {
        let observer = Arc::clone(&control.app.observer);
        match control.start().await {
            Err(error) => {
                // What had started before the failure ends.
                drain.cancel();
                tell(ready, Err(error));
            }
            Ok((mut sidecar, mut reloader)) => {
                tell(ready, Ok(()));
                observer(Phase::Ready, &sidecar.status());
                reloader.until_drain(&mut sidecar).await;
                observer(Phase::Ending, "finishing the requests that are under way");
                sidecar.end().await;
            }
        }
    });
    // A store call that still runs is let finish, not cut.
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// Whoever started us may be gone; then the drain says so soon enough.
fn tell(ready: &SyncSender<Ready>, outcome: Ready) {
    let _ = ready.send(outcome);
}

impl Control {
    async fn start(mut self) -> Result<(Sidecar, Reloader), StartError> {
        let config = Arc::clone(&self.app.checked.config);
        let metrics = self.app.metrics.clone();
        let (spread, connections) = spread(config.workers, most_connections());
        let accepting = TaskTracker::new();
        let mut doors = Doors::new(spread, accepting.clone(), self.drain.clone());
        let mut operator = Operator::new(metrics.clone(), self.app.clock.clone(), self.drain.clone());
        // Addresses first: what is taken by another process is the likeliest failure, and nothing is touched by then.
        let opening = doors.plan(&config, &mut self.app.inherited).map_err(|Unbound { error, .. }| error)?;
        let moving = operator.plan(config.admin.as_ref(), &mut self.app.inherited)?;
        for address in self.app.inherited.left() {
            tracing::warn!(%address, "a socket of the service manager is for no address of the configuration");
        }
        let office = self.app.open().await?;
        let mut fronts = Fronts::start(connections, metrics, self.app.random.clone())?;
        fronts.serve(office.banks()).await;
        doors.rearrange(opening);
        operator.show(office.banks(), &doors.addresses());
        operator.take(moving);
        let (schedule, addresses) = (self.drain.child_token(), Arc::clone(&self.addresses));
        let sidecar = Sidecar { office, fronts, doors, operator, schedule, accepting, addresses };
        sidecar.begin_schedule();
        sidecar.publish_addresses();
        let reloader = Reloader::new(self.app, sidecar.office.store().keys(), self.drain, self.asked);
        Ok((sidecar, reloader))
    }
}

impl Sidecar {
    /// Starts what happens to tokens unasked.
    pub(super) fn begin_schedule(&self) {
        for desk in self.office.banks() {
            desk.tokens.start(self.schedule.clone());
        }
    }

    /// Lets everybody know where it listens.
    pub(super) fn publish_addresses(&self) {
        self.addresses.store(Arc::new(self.listeners()));
    }

    pub(super) fn listeners(&self) -> Vec<(String, Listen)> {
        self.doors.addresses().into_iter().chain(self.operator.address()).collect()
    }

    /// One line for people: who is served.
    pub(super) fn status(&self) -> String {
        let banks: Vec<&str> = self.office.banks().iter().map(|desk| desk.bank.name.as_str()).collect();
        format!("serving {}", banks.join(", "))
    }

    /// Waits for whatever is still under way; each worker bounds that itself.
    async fn end(mut self) {
        // The workers end when nobody can hand them a connection any more.
        drop(self.doors);
        wait_a_moment(&self.accepting).await;
        self.fronts.ended().await;
        let longest = self.office.banks().iter().map(|desk| desk.bank.timeouts.token).max().unwrap_or_default();
        if tokio::time::timeout(LAST_RENEWALS + longest, self.office.settle()).await.is_err() {
            tracing::error!("a renewal did not end in time and is cut: its grant may need an authorization");
        }
        self.operator.end().await;
    }
}
