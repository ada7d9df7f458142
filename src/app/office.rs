//! The store opened, and each bank's tokens: what the commands need, and the control thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::config::Bank;
use crate::oauth::{Edge, Parts, Tokens};
use crate::store::{self, Store};
use crate::telemetry::{Metrics, Towards};
use crate::upstream::{ClientSettings, ConnectionLimit, TlsClient};
use crate::words::{Clock, Random};

use super::checked::Checked;
use super::{App, StartError, UnknownBank};

/// Connections to a bank's token endpoint: calls there are rare, and none may wait for the apps' requests.
const ENDPOINT_CONNECTIONS: usize = 8;

/// Each bank's desk, over one store.
pub struct Office {
    store: Arc<dyn Store>,
    banks: Vec<BankDesk>,
    under_way: TaskTracker,
    clock: Clock,
    random: Random,
    metrics: Metrics,
}

/// One bank: what it is, how it is reached, and its tokens.
#[derive(Clone)]
pub struct BankDesk {
    /// The bank.
    pub bank: Arc<Bank>,
    /// TLS towards it.
    pub tls: Arc<TlsClient>,
    /// Its tokens.
    pub tokens: Arc<Tokens>,
}

impl App {
    /// Opens the store. Renewals and calls to token endpoints run on the runtime that this is called on.
    pub async fn open(&self) -> Result<Office, StartError> {
        let store = store::open(&self.checked.config.store, self.clock.clone(), &self.random).await?;
        let office = Office {
            store,
            banks: Vec::new(),
            under_way: self.under_way.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            metrics: self.metrics.clone(),
        };
        Ok(office.succeeded_by(&self.checked))
    }
}

/// How a client towards this bank behaves.
pub(super) fn client_settings(bank: &Bank, connections: Arc<ConnectionLimit>) -> ClientSettings {
    let (timeouts, limits) = (&bank.timeouts, &bank.limits);
    ClientSettings { connect: timeouts.connect, idle: timeouts.idle, queue: limits.queue, connections }
}

impl Office {
    /// The office for these banks, over the same store. Tokens in memory stay, and so do renewals that are under way.
    pub(super) fn succeeded_by(&self, checked: &Checked) -> Self {
        let banks = checked.banks().map(|(bank, tls)| self.desk(bank, tls)).collect();
        let (store, under_way) = (Arc::clone(&self.store), self.under_way.clone());
        let (clock, random, metrics) = (self.clock.clone(), self.random.clone(), self.metrics.clone());
        Self { store, banks, under_way, clock, random, metrics }
    }

    fn desk(&self, bank: &Arc<Bank>, tls: &Arc<TlsClient>) -> BankDesk {
        let metrics = self.metrics.bank(&bank.name);
        let limit = ConnectionLimit::counted(ENDPOINT_CONNECTIONS, metrics.connections(Towards::OAuth));
        let settings = client_settings(bank, Arc::new(limit));
        let parts = Parts {
            store: Arc::clone(&self.store),
            call: Arc::new(Edge::new(Arc::clone(tls), settings)),
            clock: self.clock.clone(),
            random: self.random.clone(),
            control: Handle::current(),
            under_way: self.under_way.clone(),
            certificate: tls.identity().map(|identity| identity.facts().fingerprint_hex()),
            identity: tls.identity().cloned(),
            metrics,
        };
        let tokens = match self.bank(bank.name.as_str()) {
            Ok(former) => former.tokens.succeed(Arc::clone(bank), parts),
            Err(_) => Tokens::new(Arc::clone(bank), parts),
        };
        BankDesk { bank: Arc::clone(bank), tls: Arc::clone(tls), tokens }
    }

    /// Every bank, in the order of the configuration.
    pub fn banks(&self) -> &[BankDesk] {
        &self.banks
    }

    /// The bank of this name.
    pub fn bank(&self, name: &str) -> Result<&BankDesk, UnknownBank> {
        let unknown = || UnknownBank {
            asked: name.to_owned(),
            known: self.banks.iter().map(|desk| desk.bank.name.clone()).collect(),
        };
        self.banks.iter().find(|desk| desk.bank.name.as_str() == name).ok_or_else(unknown)
    }

    /// The store that all banks share.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Waits until no renewal or end of a login is under way, those of former offices included, however long the store
    /// takes to keep the answer: one that is not kept is a consent lost.
    pub async fn settle(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }
}

/// How long requests under way may go on when the sidecar ends: as long as the slowest answer may take to come, and its
/// body to move once more. What moves on and on has no end of its own.
pub(super) fn drain_bound(banks: &[BankDesk]) -> Duration {
    let of_bank = |bank: &Bank| bank.longest_response() + bank.timeouts.idle;
    banks.iter().map(|desk| of_bank(&desk.bank)).max().unwrap_or_default()
}
