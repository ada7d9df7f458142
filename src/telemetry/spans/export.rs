//! Spans that are exported: by OTLP over HTTP, in batches, from a thread of their own. What comes faster than it can be
//! sent is dropped.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::message::{Fields, Request};

use super::Ending;
use super::collector::{Collector, is_reachable_so};

/// What spans are made with, where somebody wants them.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();
/// How long the last spans may take at the end.
const LAST_SPANS: Duration = Duration::from_secs(3);
/// So many bytes of a method or a path are told, as in the log: a request cannot fill a batch.
const MOST: usize = 256;
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// The variables that name a collector, the more special one first.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Why no spans are exported, although somebody wants them.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The collector's address is none that spans are sent to.
    #[error("{variable} must be a plain http:// address: of a collector on this machine or in this pod")]
    NotPlain {
        /// The variable that names it.
        variable: &'static str,
    },
    /// The environment's other settings are not understood.
    #[error("the exporter of spans cannot be made")]
    Exporter(#[from] ExporterBuildError),
}

/// Keeps spans going; those that wait are sent when this is dropped.
#[derive(Debug)]
pub struct Guard(Option<SdkTracerProvider>);

/// Begins to export spans, if the environment names a collector, as OpenTelemetry's variables have it.
pub fn start() -> Result<Guard, StartError> {
    let named = ENDPOINTS.into_iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
    let is_disabled = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    let Some((variable, address)) = named.filter(|(_, address)| !is_disabled && !address.is_empty()) else {
        return Ok(Guard(None));
    };
    if !is_reachable_so(&address) {
        return Err(StartError::NotPlain { variable });
    }
    let exporter =
        SpanExporter::builder().with_http().with_http_client(Collector).with_protocol(Protocol::HttpBinary).build()?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
    // A process exports to one collector: whoever comes second changes nothing.
    let _ = TRACER.set(provider.tracer("bankside"));
    Ok(Guard(Some(provider)))
}

/// Who we are, unless the environment says so.
fn resource() -> Resource {
    let is_named = std::env::var_os("OTEL_SERVICE_NAME").is_some()
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|all| all.contains("service.name="));
    let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if is_named { resource.build() } else { resource.with_service_name("bankside").build() }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown_with_timeout(LAST_SPANS)
        {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// A request's span.
pub struct Span(Option<Box<Open>>);

struct Open {
    context: Context,
    method: String,
}

impl Span {
    /// Of no request.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Begins with a request, as a child of the app's span where it names one.
    pub fn begin(bank: &str, request: &Request) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Read(&request.fields));
        let method = beginning(request.method.as_str().as_bytes());
        let path = beginning(request.target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default());
        let attributes = [
            KeyValue::new("http.request.method", method.clone()),
            KeyValue::new("url.path", path),
            KeyValue::new("bankside.bank", bank.to_owned()),
        ];
        let span = tracer
            .span_builder(method.clone())
            .with_kind(SpanKind::Server)
            .with_attributes(attributes)
            .start_with_context(tracer, &parent);
        Self(Some(Box::new(Open { context: parent.with_span(span), method })))
    }

    /// Makes the bank's span a child of this one. `tracestate` is the app's, or none.
    pub fn continue_in(&self, fields: &mut Fields) {
        if let Some(open) = &self.0 {
            TraceContextPropagator::new().inject_context(&open.context, &mut Write(fields));
        }
    }

    /// Ends it; a second time is none.
    pub fn end(&mut self, ending: Ending<'_>) {
        let Some(open) = self.0.take() else { return };
        let span = open.context.span();
        if let Some(route) = ending.route {
            span.update_name(format!("{} {route}", open.method));
            span.set_attribute(KeyValue::new("http.route", route.to_owned()));
        }
        if let Some(status) = ending.status {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        }
        if ending.retried > 0 {
            span.set_attribute(KeyValue::new("http.request.resend_count", i64::from(ending.retried)));
        }
        if let Some(kind) = ending.kind {
            span.set_attribute(KeyValue::new("error.type", kind));
        }
        if ending.kind.is_some() || ending.status.is_none_or(|status| status.is_server_error()) {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

fn beginning(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).into_owned()
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Span")
    }
}

/// A request's field lines, to be read.
struct Read<'a>(&'a Fields);

impl Extractor for Read<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.0.get(key)?).ok()
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

/// A request's field lines, to be written. What is empty is left out.
struct Write<'a>(&'a mut Fields);

impl Injector for Write<'_> {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.set(key, value);
        }
    }
}
