//! Floor 3, the way to a bank: identity, TLS, connections, pools, and the sending of one request.
//!
//! A [`TlsClient`] is immutable: a changed certificate is a new one, with new [`Client`]s and so new pools, since a
//! pooled connection or a resumed session would still show the old certificate.

pub mod connect;
mod exchange;
mod failure;
#[cfg(feature = "pkcs11")]
mod hsm;
mod http1;
mod http2;
pub mod identity;
mod limit;
mod pool;
pub mod probe;
mod race;
mod roots;
mod signature;
pub mod tls;
#[cfg(test)]
mod tls_bank;
mod tls_stream;
mod wire;

pub use failure::{Failure, Progress, SendError};
#[cfg(fuzzing)]
pub use http2::fuzzing;
pub use identity::Identity;
pub use limit::ConnectionLimit;
pub use signature::SignatureError;
pub use tls::TlsClient;
pub use wire::Life;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::{Request, Response};

use exchange::{Broken, Patience};
use pool::{Lease, Pool};

/// Waits for threads that end. To be called last in the process: what a thread leaves in an HSM's library must not be
/// cleaned up at the same time as the library itself.
pub fn wait_for_threads() {
    #[cfg(feature = "pkcs11")]
    hsm::wait_for_threads();
}

/// A request goes to so many connections that turn out to be dead before any byte of it was written.
const MOST_DEAD: usize = 4;

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A registered name or an address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// To connect, TLS included.
    pub connect: Duration,
    /// Between bytes of a body.
    pub idle: Duration,
    /// How long a request may wait for a connection when there are as many as may be.
    pub queue: Duration,
    /// A permit for each connection to the bank; shared by the workers' clients.
    pub connections: Arc<ConnectionLimit>,
}

/// Sends requests to one endpoint over pooled connections. Each worker has its own, so its lock is never waited for.
/// Clones share them.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Arc<Pool>,
}

/// What came of waiting for a connection: one, which closes if it is not used, or why there is none, which the exchange tells.
#[derive(Debug)]
pub struct Ready {
    lease: Result<Lease, Box<Failure>>,
    since: Instant,
}

impl Ready {
    /// When the wait began.
    pub fn since(&self) -> Instant {
        self.since
    }
}

impl Client {
    /// A client without connections yet. Dropped with its clones, it closes those that are idle; answers under way end on theirs.
    pub fn new(endpoint: Endpoint, tls: Arc<TlsClient>, settings: ClientSettings) -> Self {
        Self { pool: Pool::new(endpoint, tls, settings) }
    }

    /// As [`Client::exchange`], for a request that is of no use afterwards.
    pub async fn send(&self, mut request: Request, response: Duration) -> Result<Response, SendError> {
        self.exchange(self.ready().await, &mut request, response, |_| ()).await
    }

    /// A connection that need not be waited for, if there is one.
    pub fn at_hand(&self) -> Option<Ready> {
        self.pool.at_hand().map(|lease| Ready { lease: Ok(lease), since: Instant::now() })
    }

    /// Waits for a connection: all that a request has to wait for before its head leaves.
    pub async fn ready(&self) -> Ready {
        let since = Instant::now();
        Ready { lease: self.pool.lease().await.map_err(Box::new), since }
    }

    /// Whether this is a clone of `other`, with the same connections.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pool, &other.pool)
    }

    /// Sends the request once and takes its body: its fields go out as they are, but for those that frame the body (`Content-Length`,
    /// `Transfer-Encoding`), which are made to agree with it. The answer's body streams, and with it what is left of
    /// the request's. `response` bounds the time from the request's end to the answer's head; while the request moves,
    /// each wait is bounded by [`ClientSettings::idle`].
    ///
    /// A pooled connection that turns out to be dead before a byte of the request was written is replaced by another.
    /// If this future or the answer's body is dropped, the exchange ends, and nothing of it is used again. `departs` hears
    /// when there is a connection, before anything is written, and when nothing of the request has left on it after all.
    pub async fn exchange(
        &self,
        ready: Ready,
        request: &mut Request,
        response: Duration,
        departs: impl Fn(bool),
    ) -> Result<Response, SendError> {
        let patience = Patience { response, idle: self.pool.settings().idle };
        let (mut lease, mut dead) = (ready.lease, 0);
        loop {
            let connection = lease.map_err(|failure| failure.before_sending())?;
            departs(true);
            let outcome = match connection {
                Lease::Http1(connection) => http1::exchange(connection, request, patience).await,
                Lease::Http2(lease) => http2::exchange(lease, request, patience).await,
            };
            match outcome {
                Ok(response) => return Ok(response),
                Err(Broken { is_whole: true, .. }) if dead < MOST_DEAD => {
                    departs(false);
                    dead += 1;
                    lease = self.pool.lease().await.map_err(Box::new);
                }
                Err(broken) => return Err(broken.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
