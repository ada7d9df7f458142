//! A span for each request (OpenTelemetry), with the feature `otel` and where the environment names a collector:
//! `OTEL_EXPORTER_OTLP_ENDPOINT`. Else a span is nothing, and costs nothing.
//!
//! The app's `traceparent` (W3C Trace Context) is the span's parent, and the bank gets the span's own in its place.

#[cfg(feature = "otel")]
mod collector;
#[cfg(feature = "otel")]
mod export;
#[cfg(not(feature = "otel"))]
mod nothing;

#[cfg(feature = "otel")]
pub use export::{Guard, Span, StartError, start};
#[cfg(not(feature = "otel"))]
pub use nothing::{Guard, Span, StartError, start};

use http::StatusCode;

/// What a span says of a request when it is over. No query, field, body or grant is in it.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// The `path` of the route that decided, if one did.
    pub route: Option<&'a str>,
    /// What the app got; `None` if it hung up before.
    pub status: Option<StatusCode>,
    /// The kind of problem, where the answer is the sidecar's own.
    pub kind: Option<&'static str>,
    /// How many times more than once it was sent to the bank.
    pub retried: u32,
}
