//! Floor 3, the way to a bank: identity, TLS, connections, pools, and the sending of one request.
//!
//! A [`TlsClient`] is immutable: a changed certificate is a new one, with new [`Client`]s and so new pools, since a
//! pooled connection or a resumed session would still show the old certificate.

pub mod connect;
pub mod identity;
mod race;
mod roots;
pub mod tls;
#[cfg(test)]
mod tls_bank;

pub use identity::Identity;
pub use tls::TlsClient;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::message::{BodyError, Request, Response};

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
    pub connections: Arc<Semaphore>,
}

/// Sends requests to one endpoint over pooled connections. Each worker has its own, so its lock is never waited for.
pub struct Client {}

impl Client {
    /// A client without connections yet.
    pub fn new(_endpoint: Endpoint, _tls: Arc<TlsClient>, _settings: ClientSettings) -> Self {
        todo!()
    }

    /// Sends the request once: its fields go out as they are. The answer's body streams, and with it what is left of
    /// the request's. `response` bounds the time from the request's end to the answer's head.
    pub async fn send(&self, _request: Request, _response: Duration) -> Result<Response, SendError> {
        todo!()
    }
}

/// Why there is no answer, and whether the bank may have seen the request.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub struct SendError {
    /// What happened.
    #[source]
    pub failure: Failure,
    /// Whether sending it again could do it twice.
    pub progress: Progress,
}

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The bank has processed nothing of it: no byte of it was written, or HTTP/2 says so (GOAWAY, `REFUSED_STREAM`).
    NothingSent,
    /// A byte of it may have left.
    MayHaveArrived,
}

/// What kept an answer from coming.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The name could not be resolved.
    #[error("the bank's name could not be resolved")]
    Dns(#[source] std::io::Error),
    /// The connection was not made: refused, unreachable.
    #[error("the connection to the bank was not made")]
    Connect(#[source] std::io::Error),
    /// The connection, TLS included, was not there in time.
    #[error("no connection to the bank within {} ms", .0.as_millis())]
    ConnectTimeout(Duration),
    /// We did not accept the bank's side of the handshake.
    #[error("the bank's certificate or TLS was not accepted: {0}")]
    TlsRefusedByUs(#[source] rustls::Error),
    /// The bank did not accept ours: an alert, in the handshake or on the first read after it (TLS 1.3).
    #[error("the bank refused our certificate or TLS: {0}")]
    TlsRefusedByBank(#[source] rustls::Error),
    /// As many connections as may be are in use, and none came free in time.
    #[error("all connections to the bank were in use for {} ms", .0.as_millis())]
    Saturated(Duration),
    /// The bank closed or reset the connection before an answer.
    #[error("the connection to the bank ended before an answer")]
    Closed(#[source] std::io::Error),
    /// No answer's head in time.
    #[error("no answer within {} ms", .0.as_millis())]
    ResponseTimeout(Duration),
    /// The answer is not HTTP.
    #[error("the bank's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The HTTP/2 stream or connection failed.
    #[error("HTTP/2 to the bank failed: {0}")]
    Http2(#[source] h2::Error),
    /// The app's body ended before its end.
    #[error("the request's body failed: {0}")]
    RequestBody(#[source] BodyError),
}
