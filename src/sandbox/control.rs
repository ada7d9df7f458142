//! The hand on a simulated bank: what tests look at and change while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio_util::sync::CancellationToken;

use crate::words::{Clock, Timestamp};

use super::authority::{Authority, GrantView, Rules};
use super::fault::{Endpoint, Fault, Plan, Plans};
use super::payments::{Payment, PaymentBook};
use super::peer::PeerCertificate;
use super::record::{Counters, RawRead, RecordedBody, RecordedRequest, Records, lock};

/// What happens to a connection that arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// It is served.
    #[default]
    Open,
    /// It is reset before TLS.
    Reset,
    /// It is accepted, and TLS never answers.
    Stall,
}

/// The hand on one bank. Clones hold the same bank.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    clock: Clock,
    authority: Arc<Authority>,
    payments: Arc<PaymentBook>,
    counters: Arc<Mutex<Counters>>,
    plans: Mutex<Plans>,
    records: Option<Mutex<Records>>,
    door: Mutex<Door>,
    refused_serials: Mutex<BTreeSet<String>>,
    connections: Mutex<BTreeMap<u64, CancellationToken>>,
    last_connection: AtomicU64,
}

/// What a tester does.
impl Control {
    /// Changes the authorization server's rules; what was issued keeps the lifetime that it was issued with.
    pub fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        self.0.authority.change_rules(change);
    }

    /// Makes every access token that is out there invalid; refresh tokens stay.
    pub fn expire_access_tokens(&self) {
        self.0.authority.expire_access_tokens();
    }

    /// Ends every grant, as a customer does who withdraws consent: access and refresh tokens are void.
    pub fn revoke_grants(&self) {
        self.0.authority.revoke_grants(|_| true);
    }

    /// Ends one grant, by the number that [`Self::grants`] says.
    pub fn revoke_grant(&self, number: u64) {
        self.0.authority.revoke_grants(|grant| grant == number);
    }

    /// The grants that were ever made, the oldest first.
    pub fn grants(&self) -> Vec<GrantView> {
        self.0.authority.grants()
    }

    /// Every client secret, code, verifier and token that the bank gave out or was shown, by what it is: none of them
    /// belongs into a log.
    pub fn secrets(&self) -> Vec<(&'static str, String)> {
        self.0.authority.secrets()
    }

    /// Adds a client that no registration made.
    pub fn add_client(&self, id: &str, secret: &str, redirect_uri: &str) {
        self.0.authority.add_client(id, secret, redirect_uri);
    }

    /// Says which certificate's key a client's assertions are signed with, instead of the connection's; whether there is
    /// such a certificate.
    pub fn set_client_key(&self, client_id: &str, certificate: &CertificateDer<'_>) -> bool {
        let read = PeerCertificate::read(certificate);
        read.map(|certificate| self.0.authority.set_key(client_id, certificate.key)).is_ok()
    }

    /// Lets a client use one more redirect URI.
    pub fn add_redirect_uri(&self, client_id: &str, redirect_uri: &str) {
        self.0.authority.add_redirect_uri(client_id, redirect_uri);
    }

    /// Payments that the bank took on, in their order.
    pub fn payments(&self) -> Vec<Payment> {
        self.0.payments.all()
    }

    /// Plans a fault.
    pub fn plan(&self, plan: Plan) {
        lock(&self.0.plans).add(plan, self.0.clock.now());
    }

    /// Forgets all planned faults; what hangs already goes on hanging.
    pub fn clear_plans(&self) {
        lock(&self.0.plans).clear();
    }

    /// What happens to connections that arrive from now on.
    pub fn set_door(&self, door: Door) {
        *lock(&self.0.door) = door;
    }

    /// Closes every open connection without a word.
    pub fn cut_connections(&self) {
        for connection in lock(&self.0.connections).values() {
            connection.cancel();
        }
    }

    /// Refuses the certificate with this serial number in TLS handshakes from now on.
    pub fn refuse_certificate(&self, serial: &str) {
        lock(&self.0.refused_serials).insert(serial.to_owned());
    }

    /// Takes it again.
    pub fn accept_certificate(&self, serial: &str) {
        lock(&self.0.refused_serials).remove(serial);
    }

    /// The counters as they are.
    pub fn counters(&self) -> Counters {
        lock(&self.0.counters).clone()
    }

    /// The requests that were seen, the oldest first. Empty where the sandbox runs without its control surface.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.0.records.as_ref().map(|records| lock(records).requests()).unwrap_or_default()
    }

    /// Each connection's number and the first 256 KiB that came over it, inside TLS.
    pub fn raw(&self) -> Vec<(u64, Vec<u8>)> {
        self.0.records.as_ref().map(|records| lock(records).raw()).unwrap_or_default()
    }

    /// Forgets requests and raw bytes; counters go on.
    pub fn clear_requests(&self) {
        if let Some(records) = &self.0.records {
            lock(records).clear();
        }
    }
}

/// What the bank itself asks and tells.
impl Control {
    pub(super) fn new(
        clock: Clock,
        authority: Arc<Authority>,
        payments: Arc<PaymentBook>,
        counters: Arc<Mutex<Counters>>,
        recording: bool,
    ) -> Self {
        Self(Arc::new(Inner {
            clock,
            authority,
            payments,
            counters,
            plans: Mutex::default(),
            records: recording.then(Mutex::default),
            door: Mutex::default(),
            refused_serials: Mutex::default(),
            connections: Mutex::default(),
            last_connection: AtomicU64::new(0),
        }))
    }

    pub(super) fn recording(&self) -> bool {
        self.0.records.is_some()
    }

    /// The date of an answer, where the bank's clock is another than the machine's, whose date it has anyway.
    pub(super) fn date(&self) -> Option<HeaderValue> {
        let (now, machine) = (self.0.clock.now(), Clock::system().now());
        let apart = now.since(machine).max(machine.since(now));
        (apart > Duration::from_secs(5)).then(|| http_date(now)).flatten()
    }

    pub(super) fn door(&self) -> Door {
        *lock(&self.0.door)
    }

    pub(super) fn refuses(&self, serial: &str) -> bool {
        lock(&self.0.refused_serials).contains(serial)
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut lock(&self.0.counters));
    }

    pub(super) fn open(&self, cut: &CancellationToken) -> u64 {
        let number = self.0.last_connection.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.0.connections).insert(number, cut.clone());
        self.count(|counters| {
            counters.connections += 1;
            counters.open_connections += 1;
        });
        number
    }

    pub(super) fn close(&self, number: u64) {
        lock(&self.0.connections).remove(&number);
        self.count(|counters| counters.open_connections -= 1);
    }

    pub(super) fn strike(&self, endpoint: Endpoint, path: &str) -> Option<Fault> {
        let fault = lock(&self.0.plans).strike(endpoint, path, self.0.clock.now())?;
        self.count(|counters| counters.faults += 1);
        Some(fault)
    }

    pub(super) fn record(&self, request: RecordedRequest) -> Option<Arc<Mutex<RecordedBody>>> {
        self.0.records.as_ref().map(|records| lock(records).add(request))
    }

    pub(super) fn record_connection(&self, number: u64) -> Option<Arc<Mutex<RawRead>>> {
        let records = self.0.records.as_ref()?;
        let raw = Arc::<Mutex<RawRead>>::default();
        lock(records).add_connection(number, Arc::clone(&raw));
        Some(raw)
    }
}

/// A date as HTTP has it (RFC 9110, section 5.6.7).
fn http_date(at: Timestamp) -> Option<HeaderValue> {
    let form =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let text = OffsetDateTime::from_unix_timestamp(at.seconds()).ok()?.format(&form).ok()?;
    HeaderValue::from_str(&text).ok()
}
