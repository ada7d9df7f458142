//! The HTTP/2 codec (RFC 9113) without I/O: frames, and field sections in HPACK (RFC 7541).

pub mod frame;
pub mod hpack;

pub use frame::{FrameHead, Reason};

/// Why a stream, or its whole connection, has ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{scope} by {by}: {}", .reason.description())]
pub struct StreamError {
    /// What has ended.
    pub scope: Scope,
    /// Who has ended it.
    pub by: Side,
    /// Why (RFC 9113, section 7).
    pub reason: Reason,
}

/// What has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One stream: `RST_STREAM`.
    Stream,
    /// The connection: `GOAWAY`.
    Connection,
}

/// One of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// We.
    Us,
    /// Whoever is at the other end.
    Peer,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stream => "the stream was reset",
            Self::Connection => "the connection was ended",
        })
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Us => "us",
            Self::Peer => "the other side",
        })
    }
}
