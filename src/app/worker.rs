//! A worker: one thread, one single-threaded runtime, its own connections of apps and its own pools to the banks.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::inbound::ServeSettings;
use crate::inbound::spread::Accepted;
use crate::proxy::{Proxy, Shared};
use crate::telemetry::BankMetrics;
use crate::upstream::{Client, ClientSettings, Endpoint, TlsClient};
use crate::words::BankName;

use super::doors::Door;

/// A bank as every worker builds its own proxy of it.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) shared: Shared,
    pub(super) tls: Arc<TlsClient>,
    pub(super) client: ClientSettings,
    pub(super) serve: ServeSettings,
}

/// What a worker is told.
pub(super) enum Order {
    /// From here on, serve these banks like this. Others go on as they were: connections may still be led to them.
    Serve(Generation),
    /// Nothing leads any more to banks that the last generation does not have.
    ForgetOthers,
}

/// The banks as they are to be served.
pub(super) struct Generation {
    pub(super) fronts: Vec<Front>,
    /// How long requests under way may go on when the sidecar ends.
    pub(super) drain_bound: Duration,
    /// Hears when the worker has taken it.
    pub(super) taken: oneshot::Sender<()>,
}

/// What a worker needs.
pub(super) struct Worker {
    /// Ends when nobody accepts any more.
    pub(super) connections: UnboundedReceiver<Accepted<Door>>,
    pub(super) orders: UnboundedReceiver<Order>,
}

/// What a worker has.
#[derive(Default)]
struct Bench {
    fronts: HashMap<BankName, Served>,
    /// Those that the last generation does not have.
    others: Vec<BankName>,
    drain_bound: Duration,
    tasks: TaskTracker,
}

/// A front with this worker's proxy.
struct Served {
    proxy: Proxy,
    way: Way,
    client: Client,
    settings: Arc<ServeSettings>,
    metrics: BankMetrics,
}

/// The way to a bank.
struct Way {
    endpoint: Endpoint,
    tls: Arc<TlsClient>,
    settings: ClientSettings,
}

impl Worker {
    /// Starts the worker's thread. The receiver hears when it has ended.
    pub(super) fn start(self, number: usize) -> io::Result<oneshot::Receiver<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(self.run());
            // What was cut is told in the log as it goes. Calls that block are not waited for.
            runtime.shutdown_background();
            // Nobody listens only where the whole program is ending.
            let _ = ended.send(());
        })?;
        Ok(end)
    }

    /// Serves connections as long as any come, then those that are left, for as long as they may.
    async fn run(mut self) {
        let mut bench = Bench::default();
        loop {
            tokio::select! {
                biased;
                Some(order) = self.orders.recv() => bench.take(order),
                accepted = self.connections.recv() => match accepted {
                    Some(accepted) => bench.serve(accepted),
                    None => break,
                },
            }
        }
        bench.tasks.close();
        if tokio::time::timeout(bench.drain_bound, bench.tasks.wait()).await.is_err() {
            tracing::warn!(connections = bench.tasks.len(), "requests under way were cut: they took too long");
        }
    }
}

impl Bench {
    fn take(&mut self, order: Order) {
        match order {
            Order::Serve(generation) => self.serve_banks(generation),
            Order::ForgetOthers => {
                for name in self.others.drain(..) {
                    self.fronts.remove(&name);
                }
            }
        }
    }

    /// Connections of apps that are open go on with the banks as they are in this generation.
    fn serve_banks(&mut self, generation: Generation) {
        let is_named = |name: &BankName| generation.fronts.iter().any(|front| front.shared.bank.name == *name);
        self.others = self.fronts.keys().filter(|name| !is_named(name)).cloned().collect();
        for front in generation.fronts {
            let name = front.shared.bank.name.clone();
            let served = match self.fronts.remove(&name) {
                Some(former) => former.replaced(front),
                None => Served::new(front),
            };
            self.fronts.insert(name, served);
        }
        self.drain_bound = generation.drain_bound;
        // Nobody waits any more only where the control thread is gone.
        let _ = generation.taken.send(());
    }

    fn serve(&self, accepted: Accepted<Door>) {
        let to = accepted.front.load_full();
        // Doors lead to banks that are served, so there is one.
        let Some(front) = self.fronts.get(&to.bank) else { return };
        let (proxy, settings) = (front.proxy.clone(), Arc::clone(&front.settings));
        let metrics = front.metrics.clone();
        self.tasks.spawn(async move {
            let _connected = metrics.app_connected();
            if let Err(error) = accepted.connection.serve(proxy, &settings, to.drain.clone()).await {
                tracing::debug!(%error, "a connection could not be served");
            }
        });
    }
}

impl Served {
    fn new(front: Front) -> Self {
        let way = Way::of(&front);
        let client = way.client();
        let metrics = BankMetrics::clone(&front.shared.metrics);
        Self { metrics, proxy: Proxy::new(front.shared, client.clone()), way, client, settings: Arc::new(front.serve) }
    }

    /// New settings are for new connections of apps; the bank behind changes for all of them. Connections to the bank are
    /// kept where the way to it is unchanged.
    fn replaced(self, front: Front) -> Self {
        let way = Way::of(&front);
        let client = if way.is_same(&self.way) { self.client } else { way.client() };
        self.proxy.replace(front.shared, client.clone());
        Self { settings: Arc::new(front.serve), way, client, ..self }
    }
}

impl Way {
    fn of(front: &Front) -> Self {
        let base = &front.shared.bank.base_url;
        let endpoint = Endpoint { host: base.host.clone(), port: base.port };
        Self { endpoint, tls: Arc::clone(&front.tls), settings: front.client.clone() }
    }

    fn client(&self) -> Client {
        Client::new(self.endpoint.clone(), Arc::clone(&self.tls), self.settings.clone())
    }

    fn is_same(&self, other: &Self) -> bool {
        let times = |settings: &ClientSettings| (settings.connect, settings.idle, settings.queue);
        self.endpoint == other.endpoint
            && Arc::ptr_eq(&self.tls, &other.tls)
            && Arc::ptr_eq(&self.settings.connections, &other.settings.connections)
            && times(&self.settings) == times(&other.settings)
    }
}
