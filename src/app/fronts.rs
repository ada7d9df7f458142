//! The workers' side of a generation: what each bank is served with, handed to all workers, and drained after its time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::inbound::ServeSettings;
use crate::inbound::spread::Accepted;
use crate::proxy::{InFlight, Shared};
use crate::telemetry::{Metrics, Towards};
use crate::upstream::{ConnectionLimit, Life, TlsClient};
use crate::words::Random;

use super::doors::Door;
use super::office::{BankDesk, client_settings, drain_bound};
use super::worker::{Front, Generation, Order, Worker};

/// The least time that a former generation gets to finish what it has under way. A long download is not cut for a new
/// certificate; a connection that never ends must not show the old one for ever.
const LAST_ANSWERS: Duration = Duration::from_mins(5);

/// The banks as all workers serve them.
pub(super) struct Fronts {
    banks: Vec<Front>,
    workers: Vec<WorkerHandle>,
    metrics: Metrics,
    random: Random,
}

struct WorkerHandle {
    orders: UnboundedSender<Order>,
    ended: oneshot::Receiver<()>,
}

impl Fronts {
    /// Starts a worker for each of these, with nothing to serve yet.
    pub(super) fn start(
        connections: Vec<UnboundedReceiver<Accepted<Door>>>,
        metrics: Metrics,
        random: Random,
    ) -> io::Result<Self> {
        let mut workers = Vec::new();
        for (number, connections) in connections.into_iter().enumerate() {
            let (sender, orders) = unbounded_channel();
            let ended = Worker { connections, orders }.start(number)?;
            workers.push(WorkerHandle { orders: sender, ended });
        }
        Ok(Self { banks: Vec::new(), workers, metrics, random })
    }

    /// Serves these banks from here on; returns when all workers do.
    pub(super) async fn serve(&mut self, banks: &[BankDesk]) {
        let fronts: Vec<Front> = banks.iter().map(|desk| self.front(desk)).collect();
        let drain_bound = drain_bound(banks);
        let taken: Vec<oneshot::Receiver<()>> = self
            .workers
            .iter()
            .map(|worker| {
                let (taken, hears) = oneshot::channel();
                // A worker that has ended serves nobody.
                let _ = worker.orders.send(Order::Serve(Generation { fronts: fronts.clone(), drain_bound, taken }));
                hears
            })
            .collect();
        for taken in taken {
            let _ = taken.await;
        }
        let former = std::mem::replace(&mut self.banks, fronts);
        let is_kept = |tls: &Arc<TlsClient>| self.banks.iter().any(|front| Arc::ptr_eq(&front.tls, tls));
        let gone = former.iter().map(|front| &front.tls).filter(|tls| !is_kept(tls));
        let lives: Vec<Life> = gone.map(|tls| tls.life().clone()).collect();
        if !lives.is_empty() {
            tokio::spawn(async move {
                sleep(LAST_ANSWERS.max(drain_bound)).await;
                lives.iter().for_each(Life::end);
            });
        }
    }

    /// Nothing leads any more to banks that are not among those served.
    pub(super) fn forget_others(&self) {
        for worker in &self.workers {
            // A worker that has ended has forgotten all.
            let _ = worker.orders.send(Order::ForgetOthers);
        }
    }

    /// Waits until all workers have ended.
    pub(super) async fn ended(&mut self) {
        for worker in &mut self.workers {
            // An error says that the worker's thread is gone, which is an end too.
            let _ = (&mut worker.ended).await;
        }
    }

    /// A limit that has not changed is carried over with its count, so that requests under way are not counted anew.
    fn front(&self, desk: &BankDesk) -> Front {
        let bank = &desk.bank;
        let metrics = self.metrics.bank(&bank.name);
        let (limits, timeouts) = (&bank.limits, &bank.timeouts);
        let former = self.banks.iter().find(|front| front.shared.bank.name == bank.name);
        let connections =
            former.filter(|front| front.shared.bank.limits.connections == limits.connections).map_or_else(
                || Arc::new(ConnectionLimit::counted(limits.connections, metrics.connections(Towards::Api))),
                |front| Arc::clone(&front.client.connections),
            );
        let same_places = former.filter(|front| {
            let former = &front.shared.bank.limits;
            (former.in_flight, former.connections, former.queue) == (limits.in_flight, limits.connections, limits.queue)
        });
        Front {
            shared: Shared {
                bank: Arc::clone(bank),
                in_flight: same_places.map_or_else(
                    || InFlight::new(limits, Arc::clone(&connections)),
                    |front| front.shared.in_flight.clone(),
                ),
                tokens: Arc::clone(&desk.tokens),
                metrics: Arc::new(metrics.clone()),
                random: self.random.clone(),
            },
            tls: Arc::clone(&desk.tls),
            client: client_settings(bank, connections),
            serve: ServeSettings { request: timeouts.request, idle: timeouts.idle, ..ServeSettings::default() },
        }
    }
}

/// Waits for what goes on aside, but not for somebody who is slow.
pub(super) async fn wait_a_moment(tasks: &TaskTracker) {
    tasks.close();
    let _ = timeout(Duration::from_secs(1), tasks.wait()).await;
}
