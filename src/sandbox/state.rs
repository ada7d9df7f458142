//! What the handlers of a bank work on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use time::Date;

use crate::words::{Clock, Random};

use super::authority::Authority;
use super::ledger::{self, Account};
use super::payments::PaymentBook;

/// A bank, as its handlers share it.
pub(super) struct BankState {
    pub(super) authority: Arc<Authority>,
    pub(super) payments: Arc<PaymentBook>,
    pub(super) accounts: Vec<Account>,
    /// Consents by their id, with the body that made them.
    pub(super) consents: Mutex<BTreeMap<String, serde_json::Value>>,
    pub(super) clock: Clock,
    pub(super) random: Random,
    /// Scheme, host and port of the API, for links that must be absolute.
    pub(super) origin: String,
}

/// A bank's state as axum hands it to a handler.
pub(super) type Shared = axum::extract::State<Arc<BankState>>;

impl BankState {
    /// The day at the bank.
    pub(super) fn today(&self) -> Date {
        ledger::day(self.clock.now())
    }

    /// The customer's account with this id.
    pub(super) fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == id)
    }
}
