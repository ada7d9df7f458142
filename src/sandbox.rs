//! Floor 6, the simulated banks: real TLS that demands a QWAC, their OAuth, and APIs with believable data.
//!
//! A production bank has two listeners. The **API listener** demands a QWAC in the TLS handshake for whatever it serves:
//! the session step, the token endpoint, registration, the API. The **browser listener** serves the authorization page
//! only and asks for no certificate, since a customer's browser has none. (In reality both are one host that asks for the
//! certificate by path; apart, "nothing but mutual TLS" holds from the handshake on.)
//! The authorization page is followed by a person who clicks `#approve` or `#deny`, or by a machine that posts the form
//! `decision=approve` to the authorization URL.

mod authority;
mod cnb;
mod consent;
pub mod control;
pub mod customer;
pub mod fault;
mod files;
mod gate;
mod iban;
mod icard;
mod ledger;
mod listener;
mod payments;
mod peer;
pub mod pki;
mod probes;
pub mod qwac;
pub mod record;
mod remote;
mod start;
mod state;
pub mod statements;
mod tls;
pub mod tour;
mod wire;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::words::{Clock, Random, Secret};

pub use authority::{BasicForm, GrantView, RefreshTokens, Rules, SecretAt, UsedRefreshToken};
pub use control::{Control, Door};
pub use fault::{Endpoint, Fault, Plan, Target};
pub use files::{Files, Listens};
pub use payments::Payment;
pub use pki::Pki;
pub use qwac::{Qwac, QwacKey, QwacOptions, Validity};
pub use record::{Counters, RecordedBody, RecordedRequest};
pub use statements::Role;
pub use tls::{Protocols, TlsVersions};

/// What can be chosen about a sandbox.
#[derive(Clone, Debug)]
pub struct Options {
    /// The simulated iCard.
    pub icard: BankOptions,
    /// The simulated CNB.
    pub cnb: BankOptions,
    /// The simulated sandbox of CNB; it has no browser listener.
    pub cnb_sandbox: BankOptions,
    /// Whether requests are recorded and `_test` paths are there: for tests, never for a demonstration.
    pub control: bool,
    /// The time at the banks.
    pub clock: Clock,
    /// Where their secrets, tokens and serial numbers come from.
    pub random: Random,
}

impl Default for Options {
    /// Free ports, the machine's clock and chance, no control surface.
    fn default() -> Self {
        Self {
            icard: BankOptions::redirecting_to("http://127.0.0.1:8765/callback"),
            cnb: BankOptions::redirecting_to("http://127.0.0.1:8766/callback"),
            cnb_sandbox: BankOptions::redirecting_to("http://127.0.0.1:8767/callback"),
            control: false,
            clock: Clock::system(),
            random: Random::system(),
        }
    }
}

impl Options {
    /// The default with the control surface.
    pub fn with_control() -> Self {
        Self { control: true, ..Self::default() }
    }
}

/// What can be chosen about a bank. Ports are on loopback; 0 takes any free one.
#[derive(Clone, Debug)]
pub struct BankOptions {
    /// The API listener's port.
    pub port: u16,
    /// The browser listener's port.
    pub browser_port: u16,
    /// HTTP/1.1, HTTP/2 or both.
    pub protocols: Protocols,
    /// TLS 1.2, 1.3 or both.
    pub tls: TlsVersions,
    /// The redirect URI of the client that is registered from the start.
    pub redirect_uri: String,
    /// The most streams that an HTTP/2 connection may have at once; `None` for hyper's default.
    pub max_streams: Option<u32>,
    /// Whether an HTTP/1.1 connection is closed after each answer.
    pub close_after_each: bool,
}

impl BankOptions {
    fn redirecting_to(redirect_uri: &str) -> Self {
        Self {
            port: 0,
            browser_port: 0,
            protocols: Protocols::default(),
            tls: TlsVersions::default(),
            redirect_uri: redirect_uri.to_owned(),
            max_streams: None,
            close_after_each: false,
        }
    }
}

/// The simulated banks. They stop when this is dropped.
#[expect(clippy::struct_field_names, reason = "one of the banks is a sandbox itself")]
pub struct Sandbox {
    pki: Pki,
    qwac: Qwac,
    icard: Bank,
    cnb: Bank,
    cnb_sandbox: Bank,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A simulated bank that runs.
pub struct Bank {
    urls: Urls,
    client_id: String,
    client_secret: Secret,
    redirect_uri: String,
    control: Control,
    address: SocketAddr,
}

/// Where a bank's endpoints are: `https://localhost:PORT/…`. Empty where a bank has no such endpoint.
#[derive(Clone, Debug, Default)]
pub struct Urls {
    /// What a request's path is put behind.
    pub base: String,
    /// The authorization endpoint, on the browser listener.
    pub authorize: String,
    /// The token endpoint.
    pub token: String,
    /// The step before the authorization.
    pub session: String,
    /// The registration of applications.
    pub registration: String,
}

impl Sandbox {
    /// The authorities behind the banks' certificates and the QWACs.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// A QWAC with the roles for everything, which the sandbox brings along.
    pub fn qwac(&self) -> &Qwac {
        &self.qwac
    }

    /// iCard in production.
    pub fn icard(&self) -> &Bank {
        &self.icard
    }

    /// CNB in production.
    pub fn cnb(&self) -> &Bank {
        &self.cnb
    }

    /// The sandbox of CNB.
    pub fn cnb_sandbox(&self) -> &Bank {
        &self.cnb_sandbox
    }

    /// Closes all listeners and connections, and waits until nothing of the sandbox runs.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Bank {
    /// Where its endpoints are.
    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    /// The id of the client that is registered from the start.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// That client's secret.
    pub fn client_secret(&self) -> &Secret {
        &self.client_secret
    }

    /// That client's redirect URI.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// The hand on it.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Where its API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Why there is no sandbox, or none of its certificates or files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port is taken.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// An extension cannot be encoded.
    #[error("cannot encode the statements of a QWAC")]
    Statements(#[from] der::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The verifier of client certificates cannot be set up.
    #[error("cannot set up the verification of client certificates")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// A PKCS#12 file cannot be made.
    #[error("cannot make a PKCS#12 file")]
    Pkcs12(#[from] p12_keystore::error::Error),
    /// There are such files already, and no sandbox wrote them.
    #[error("{} is not a sandbox's: choose another --dir", .0.display())]
    NotASandbox(std::path::PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
