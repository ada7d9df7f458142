//! The control thread: store, renewals, the operator's side, accepting. Nothing of it is in a request's way.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::oneshot;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, AdminBank, AdminState};
use crate::config::Listen;
use crate::inbound::ServeSettings;
use crate::inbound::listen::{Listener, bind};
use crate::inbound::spread::{Spread, accept, spread};
use crate::proxy::{InFlight, Shared};
use crate::telemetry::Metrics;
use crate::upstream::ConnectionLimit;

use super::office::{BankDesk, Office, client_settings, drain_bound};
use super::worker::{Front, FrontIndex, Worker};
use super::{App, StartError};

/// Connections of apps, of all banks together. Beyond, they wait in the kernel.
const MOST_CONNECTIONS: usize = 16_384;

/// How long the end waits for renewals that are under way. No call takes that long; what may is a store that does not
/// take the bank's answer, and whoever manages the process kills it after half a minute or so.
const LONGEST_RENEWAL: Duration = Duration::from_secs(25);

/// What the control thread runs.
pub(super) struct Control {
    pub(super) app: App,
    pub(super) drain: CancellationToken,
    /// The operator's side goes last: it tells of the drain.
    pub(super) stop_admin: CancellationToken,
}

/// What is listened on, or why nothing is.
type Ready = Result<Vec<(String, Listen)>, StartError>;

/// Everything that was bound and started.
struct Started {
    listeners: Vec<(String, Listen)>,
    tasks: TaskTracker,
    /// Renewals, and the ends of logins.
    under_way: TaskTracker,
    workers: Vec<oneshot::Receiver<()>>,
}

/// Runs the sidecar to its end. `ready` hears how the start went.
pub(super) fn run(control: &Control, ready: &SyncSender<Ready>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(ready, Err(error.into())),
    };
    runtime.block_on(async {
        match control.start().await {
            Err(error) => {
                // What had started before the failure ends.
                control.drain.cancel();
                tell(ready, Err(error));
            }
            Ok(started) => {
                tell(ready, Ok(started.listeners.clone()));
                started.until_ended(control).await;
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
    async fn start(&self) -> Result<Started, StartError> {
        // Addresses first: what is taken by another process is the likeliest failure, and nothing is touched by then.
        let bound = self.bind()?;
        let office = self.app.open().await?;
        let metrics = Metrics::default();
        let (spread, receivers) = spread(self.app.config.workers, MOST_CONNECTIONS);
        let fronts: Vec<Front> = office.banks().iter().map(|desk| self.front(desk, &metrics)).collect();
        let bound_of_drain = drain_bound(office.banks());
        let mut workers = Vec::new();
        for (number, connections) in receivers.into_iter().enumerate() {
            let worker =
                Worker { fronts: fronts.clone(), connections, drain: self.drain.clone(), bound: bound_of_drain };
            workers.push(worker.start(number)?);
        }
        for desk in office.banks() {
            desk.tokens.start(self.drain.clone());
        }
        let tasks = TaskTracker::new();
        let mut listeners = Vec::new();
        for (name, bank, listener) in bound {
            let address = listener.address()?;
            tracing::info!(name, %address, "listening");
            listeners.push((name, address.clone()));
            match bank {
                Some(front) => self.accept(&tasks, listener, front, spread.clone()),
                None => self.serve_admin(&tasks, listener, address, &office, &metrics),
            }
        }
        Ok(Started { listeners, tasks, under_way: office.under_way().clone(), workers })
    }

    /// Binds every address: the banks', and the operator's, which has no front.
    fn bind(&self) -> Result<Vec<(String, Option<FrontIndex>, Listener)>, StartError> {
        let config = &self.app.config;
        let banks = config.banks.iter().enumerate();
        let of_banks = banks.flat_map(|(front, bank)| {
            bank.listen.iter().map(move |listen| (bank.name.to_string(), Some(front), listen))
        });
        let of_admin = config.admin.iter().map(|listen| ("admin".to_owned(), None, listen));
        of_banks.chain(of_admin).map(|(name, front, listen)| Ok((name, front, bind(listen)?))).collect()
    }

    fn front(&self, desk: &BankDesk, metrics: &Metrics) -> Front {
        let bank = &desk.bank;
        let (limits, timeouts) = (&bank.limits, &bank.timeouts);
        let connections = Arc::new(ConnectionLimit::new(limits.connections));
        Front {
            shared: Shared {
                bank: Arc::clone(bank),
                in_flight: InFlight::new(limits.in_flight, limits.queue),
                tokens: Arc::clone(&desk.tokens),
                metrics: Arc::new(metrics.bank(&bank.name)),
                random: self.app.random.clone(),
            },
            tls: Arc::clone(&desk.tls),
            client: client_settings(bank, connections),
            serve: ServeSettings { request: timeouts.request, idle: timeouts.idle, ..ServeSettings::default() },
        }
    }

    fn accept(&self, tasks: &TaskTracker, listener: Listener, front: FrontIndex, spread: Spread<FrontIndex>) {
        let drain = self.drain.clone();
        tasks.spawn(async move {
            if let Err(error) = accept(listener, front, spread, drain).await {
                tracing::error!(%error, "a listener failed");
            }
        });
    }

    fn serve_admin(
        &self,
        tasks: &TaskTracker,
        listener: Listener,
        address: Listen,
        office: &Office,
        metrics: &Metrics,
    ) {
        let banks = office.banks().iter().map(|desk| AdminBank {
            bank: Arc::clone(&desk.bank),
            tls: Arc::clone(&desk.tls),
            tokens: Arc::clone(&desk.tokens),
        });
        let state = AdminState {
            banks: banks.collect(),
            metrics: metrics.clone(),
            clock: self.app.clock.clone(),
            drain: self.drain.clone(),
            listen: address,
        };
        let stop = self.stop_admin.clone();
        tasks.spawn(async move {
            if let Err(error) = admin::serve(listener, state, stop).await {
                tracing::error!(%error, "the operator's listener failed");
            }
        });
    }
}

impl Started {
    /// Waits for the drain, then for whatever is still under way; each worker bounds that itself.
    async fn until_ended(self, control: &Control) {
        control.drain.cancelled().await;
        for worker in self.workers {
            // An error says that the worker's thread is gone, which is an end too.
            let _ = worker.await;
        }
        // The operator still sees a renewal whose answer the store does not take: it is lost if we end.
        self.under_way.close();
        if tokio::time::timeout(LONGEST_RENEWAL, self.under_way.wait()).await.is_err() {
            tracing::error!("a renewal did not end in time, and is cut: its grant may need an authorization");
        }
        control.stop_admin.cancel();
        self.tasks.close();
        // Somebody who asks slowly must not hold the end up.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await;
    }
}
