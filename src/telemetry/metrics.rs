//! Metrics for Prometheus. Label values are banks, status classes, kinds and outcomes: never a grant.
//!
//! What each request counts lies in [`BankMetrics`], in a copy for each worker that no other one writes to. A scrape
//! adds the copies up, together with what is only known by looking ([`Standing`]).

mod bank;
mod connections;
mod format;
mod histogram;
mod reach;
mod renewal;
mod scrape;
mod sharded;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::words::BankName;

pub use bank::{BankMetrics, Open};
pub use connections::{ConnectionMetrics, Towards};
pub use format::Format;
pub use reach::Reach;
pub use renewal::RenewalOutcome;
pub use scrape::Standing;

use scrape::Scrape;

/// All metrics of the program. Clones are the same metrics.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    banks: Mutex<BTreeMap<BankName, BankMetrics>>,
    /// Reloads that worked, and that failed.
    reloads: [AtomicU64; 2],
}

impl Metrics {
    /// The metrics of this bank, the same ones for the same name: what was counted before a reload goes on.
    pub fn bank(&self, bank: &BankName) -> BankMetrics {
        self.0.banks.lock().unwrap_or_else(PoisonError::into_inner).entry(bank.clone()).or_default().clone()
    }

    /// Counts a reload.
    pub fn reloaded(&self, worked: bool) {
        self.0.reloads[usize::from(!worked)].fetch_add(1, Ordering::Relaxed);
    }

    /// All of them in this format, with how the banks stand.
    pub fn encode(&self, standing: Vec<Standing>, format: Format) -> Result<String, fmt::Error> {
        let banks = self.0.banks.lock().unwrap_or_else(PoisonError::into_inner);
        let banks = banks.iter().map(|(name, bank)| (name.clone(), bank.clone())).collect();
        let reloads = self.0.reloads.each_ref().map(|count| count.load(Ordering::Relaxed));
        let mut registry = Registry::with_prefix("bankside");
        registry.register_collector(Box::new(Scrape { banks, standing, reloads }));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(format.tell(text))
    }
}

#[cfg(test)]
mod tests;
