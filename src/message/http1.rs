//! The HTTP/1.1 codec (RFC 9112) without I/O: heads, framing, chunks.
//!
//! It is strict where leniency lets two parties see different messages in the same bytes (request smuggling): bare CR
//! and LF, folded lines, white space before a colon, and any doubt about where a body ends are refused.

pub mod chunked;
pub mod decoder;
pub mod framing;
pub mod head;
pub mod writing;

pub use chunked::{begin_chunk, encode_chunk, encode_end};
pub use decoder::{Decoded, Decoder};
pub use framing::{Framing, is_forbidden_trailer, persists, request_framing, response_framing};
pub use head::{HeadLimits, HeadScan, RequestHead, ResponseHead, is_target, parse_request_head, parse_response_head};
pub use writing::{write_request_head, write_response_head};

use http::StatusCode;

/// Why bytes are not an HTTP/1.x message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// What RFC 9112 forbids.
    #[error("{0}")]
    Malformed(&'static str),
    /// The target is longer than may be (RFC 9112, section 3).
    #[error("the request target is too long")]
    TargetTooLong,
    /// There are more or longer field lines than may be (RFC 6585, section 5).
    #[error("the field section is too large")]
    HeadTooLarge,
    /// Another major version of HTTP.
    #[error("the version is not HTTP/1.0 or HTTP/1.1")]
    Version,
    /// A transfer coding other than `chunked` (RFC 9112, section 6.1).
    #[error("the transfer coding is not known here")]
    UnknownCoding,
}

impl ParseError {
    /// The status that HTTP has for it in a request.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// What is wrong.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed(reason) => reason,
            Self::TargetTooLong => "the request target is too long",
            Self::HeadTooLarge => "the field section is too large",
            Self::Version => "the version is not HTTP/1.0 or HTTP/1.1",
            Self::UnknownCoding => "the transfer coding is not known here",
        }
    }
}

#[cfg(test)]
mod tests;
