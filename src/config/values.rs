//! Small values with rules of their own: addresses to listen on, URLs of the bank.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    /// TCP. Port 0 takes any free one.
    Tcp(SocketAddr),
    /// A unix socket at this path.
    Unix(PathBuf),
}

/// An absolute `https` URL without user information or fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpsUrl {
    /// The host: a registered name in lower case, or an address (IPv6 without brackets).
    pub host: String,
    /// The port; 443 where the URL has none.
    pub port: u16,
    /// Path and query as written; `/` where the URL has none.
    pub path_and_query: String,
}

/// The bank's base: every request's path is put behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    /// The host, as in [`HttpsUrl`].
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path without a slash at its end; empty for the root.
    pub path: String,
}
