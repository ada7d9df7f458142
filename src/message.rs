//! Floor 1, HTTP messages as they are on the wire: field lines keep their case, order and bytes.
//!
//! `http::HeaderMap` lowers names and gathers lines of one name, and what a bank has signed (`Digest`, `Signature`)
//! may depend on both. So the data path carries [`Fields`], and only HTTP/2, which has no case, goes through a map.
//! [`http1`] is the codec of RFC 9112 without any I/O; both sides of the sidecar use it.

pub mod body;
pub mod fields;
pub mod http1;
pub mod http2;
pub mod interim;

pub use body::{Body, BodyError, BodyStream, Frame, Size};
pub use fields::Fields;
pub use interim::{Continued, Interim, Interims};

use bytes::Bytes;
use http::{Method, StatusCode, Version};

/// A request, on its way from an app to a bank.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The request target exactly as it was received (RFC 9112, section 3.2): origin-form, absolute-form, `*`.
    pub target: Bytes,
    /// The version that the sender speaks.
    pub version: Version,
    /// The field lines. With HTTP/2, `Host` stands here for `:authority`.
    pub fields: Fields,
    /// The content and trailers.
    pub body: Body,
    /// Where interim answers go, if the sender can take them.
    pub interim: Option<Interims>,
}

/// An answer, on its way from a bank to an app.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The reason phrase as the bank wrote it; the status' usual one where the bank speaks HTTP/2, which has none.
    pub reason: Bytes,
    /// The version that the sender speaks.
    pub version: Version,
    /// The field lines.
    pub fields: Fields,
    /// The content and trailers.
    pub body: Body,
}

impl Request {
    /// A request of our own making, HTTP/1.1.
    pub fn new(method: Method, target: impl Into<Bytes>, body: Body) -> Self {
        Self { method, target: target.into(), version: Version::HTTP_11, fields: Fields::new(), body, interim: None }
    }
}

impl Response {
    /// An answer of our own making, HTTP/1.1, with the status' usual reason phrase.
    pub fn new(status: StatusCode, body: Body) -> Self {
        let reason = Bytes::from_static(status.canonical_reason().unwrap_or_default().as_bytes());
        Self { status, reason, version: Version::HTTP_11, fields: Fields::new(), body }
    }
}
