//! Floor 3, the door: listeners, who may come in, and the serving of HTTP/1.1 and HTTP/2 to any [`Service`].

use std::net::SocketAddr;

use http::StatusCode;

use crate::message::{Request, Response};

/// What answers requests. It knows nothing of connections.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers a request. If the app hangs up, the future is dropped.
    fn call(&self, request: Request, caller: &Caller) -> impl Future<Output = Response> + Send;

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
