//! Floor 3, the door: listeners, who may come in, and the serving of HTTP/1.1 and HTTP/2 to any [`Service`].
//!
//! A connection's way: [`listen`] binds (or finds bound: [`inherited`]), [`spread`] accepts and picks a worker,
//! [`serve()`] speaks with the app until one of them has enough. [`access`] judges a request; when and with which answer
//! is the service's matter.

pub mod access;
mod departure;
mod http1;
mod http2;
pub mod inherited;
mod interim;
pub mod listen;
mod rest;
mod rewound;
mod serve;
pub mod socket_file;
pub mod spread;
mod stream;

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;

use crate::message::http1::{HeadLimits, ParseError};
use crate::message::{Request, Response};

pub use departure::Departure;
pub use inherited::Inherited;
pub use serve::serve;
pub use stream::Stream;

/// What answers requests. It knows nothing of connections.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers a request. If the app hangs up, the future is dropped; also if it closes its side late, as long as the
    /// request's departure has not begun. After an answer with `Connection: close` nothing more is taken from an HTTP/1
    /// connection.
    fn call(&self, request: Request, caller: &Caller, departure: &Departure) -> impl Future<Output = Response> + Send;

    /// The answer to what is not a request; the connection closes after it.
    fn refuse(&self, malformed: &Malformed, caller: &Caller) -> Response;
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Over TCP.
    Tcp {
        /// The caller's address.
        remote: SocketAddr,
        /// The address of ours that it came to.
        local: SocketAddr,
    },
    /// Over a unix socket.
    Unix {
        /// The user id of the process that connected, where the system tells.
        uid: Option<u32>,
        /// Whether a service manager's socket lets every user connect, and this is neither the sidecar's nor root.
        is_stranger: bool,
    },
}

/// Why something is not a request.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    /// The status that HTTP has for it: 400, 408, 414, 431, 501, 505.
    pub status: StatusCode,
    /// What is wrong.
    pub reason: &'static str,
}

impl From<ParseError> for Malformed {
    fn from(error: ParseError) -> Self {
        Self { status: error.status(), reason: error.reason() }
    }
}

/// How connections are served.
#[derive(Clone, Debug)]
pub struct ServeSettings {
    /// How large a request's head may be.
    pub head: HeadLimits,
    /// From a head's first byte to its last.
    pub request: Duration,
    /// How long a connection may rest between requests.
    pub keep_alive: Duration,
    /// Between bytes of a body, in either direction, while it is the app that is waited for.
    pub idle: Duration,
    /// How many requests an HTTP/2 connection may have under way.
    pub streams: u32,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            request: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            idle: Duration::from_secs(30),
            streams: 128,
        }
    }
}

#[cfg(test)]
mod tests;
