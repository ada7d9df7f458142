//! The payments that a bank took on.

use std::sync::Mutex;

use serde::Serialize;
use serde_json::Value;

use super::record::lock;

/// A payment order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Payment {
    /// The bank's id for it.
    pub id: String,
    /// The payment product or kind, as the path named it.
    pub product: String,
    /// The order as the app sent it.
    pub order: Value,
    /// Its state: an ISO 20022 code.
    pub status: &'static str,
}

/// All payments of a bank, in the order in which they came.
#[derive(Default)]
pub(super) struct PaymentBook(Mutex<Vec<Payment>>);

impl PaymentBook {
    pub(super) fn add(&self, payment: Payment) {
        lock(&self.0).push(payment);
    }

    pub(super) fn find(&self, id: &str) -> Option<Payment> {
        lock(&self.0).iter().find(|payment| payment.id == id).cloned()
    }

    /// Sets the state of a payment, if there is such a one.
    pub(super) fn set_status(&self, id: &str, status: &'static str) -> bool {
        lock(&self.0).iter_mut().find(|payment| payment.id == id).map(|payment| payment.status = status).is_some()
    }

    pub(super) fn all(&self) -> Vec<Payment> {
        lock(&self.0).clone()
    }
}
