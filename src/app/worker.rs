//! A worker: one thread, one single-threaded runtime, its own connections of apps and its own pools to the banks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::inbound::ServeSettings;
use crate::inbound::spread::Accepted;
use crate::proxy::{Proxy, Shared};
use crate::telemetry::BankMetrics;
use crate::upstream::{Client, ClientSettings, Endpoint, TlsClient};

/// A bank as every worker builds its own proxy of it.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) shared: Shared,
    pub(super) tls: Arc<TlsClient>,
    pub(super) client: ClientSettings,
    pub(super) serve: ServeSettings,
}

/// A bank's place among the fronts: what a connection says of its listener.
pub(super) type FrontIndex = usize;

/// What a worker needs.
pub(super) struct Worker {
    pub(super) fronts: Vec<Front>,
    pub(super) connections: UnboundedReceiver<Accepted<FrontIndex>>,
    pub(super) drain: CancellationToken,
    pub(super) bound: Duration,
}

/// A front with this worker's proxy.
struct Served {
    proxy: Proxy,
    settings: Arc<ServeSettings>,
    metrics: BankMetrics,
}

impl Worker {
    /// Starts the worker's thread. The receiver hears when it has ended.
    pub(super) fn start(self, number: usize) -> io::Result<oneshot::Receiver<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(self.run());
            // Nobody listens only where the whole program is ending.
            let _ = ended.send(());
        })?;
        Ok(end)
    }

    /// Serves connections until the drain, then those that are left, for as long as they may.
    async fn run(mut self) {
        let fronts: Vec<Served> = self.fronts.into_iter().map(Served::new).collect();
        let tasks = TaskTracker::new();
        while let Some(accepted) = self.drain.run_until_cancelled(self.connections.recv()).await.flatten() {
            let front = &fronts[accepted.front];
            let metrics = front.metrics.clone();
            let (proxy, settings, drain) = (front.proxy.clone(), Arc::clone(&front.settings), self.drain.clone());
            tasks.spawn(async move {
                let _connected = metrics.app_connected();
                if let Err(error) = accepted.connection.serve(proxy, &settings, drain).await {
                    tracing::debug!(%error, "a connection could not be served");
                }
            });
        }
        tasks.close();
        if tokio::time::timeout(self.bound, tasks.wait()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "requests under way were cut: they took too long");
        }
    }
}

impl Served {
    fn new(front: Front) -> Self {
        let base = &front.shared.bank.base_url;
        let endpoint = Endpoint { host: base.host.clone(), port: base.port };
        let client = Client::new(endpoint, front.tls, front.client);
        let metrics = BankMetrics::clone(&front.shared.metrics);
        Self { metrics, proxy: Proxy::new(front.shared, client), settings: Arc::new(front.serve) }
    }
}
