//! The one event that each request leaves in the log, and the answer's body that it waits for.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{Method, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use crate::inbound::access;
use crate::message::{Body, BodyError, BodyStream, Fields, Frame, Request, Response, Size};
use crate::telemetry::BankMetrics;
use crate::telemetry::spans::{Ending, Span};
use crate::words::{BankName, GrantName, Kind, Random};

use super::path;

/// At most this many bytes of a method, a path or an id are logged: a request cannot fill the log.
const MOST: usize = 256;
/// The field that names a request, for apps and banks alike.
const REQUEST_ID: &str = "X-Request-ID";

/// What is told of a request when it is over: at the end of the answer, or when the app hangs up.
pub(super) struct Event {
    bank: BankName,
    metrics: Arc<BankMetrics>,
    started: Instant,
    /// `None` where nobody reads it: then nothing is copied for it.
    request: Option<RequestLine>,
    pub(super) span: Span,
    pub(super) grant: Option<GrantName>,
    /// The pattern of the route that decided.
    pub(super) route: Option<Arc<str>>,
    pub(super) retried: u32,
    pub(super) kind: Option<Kind>,
    /// The answer's, or the last one that the bank gave on the way to it.
    pub(super) status: Option<StatusCode>,
    bytes: u64,
    complete: bool,
}

/// What is known of a request; empty where it is not.
#[derive(Default)]
struct RequestLine {
    method: Option<Method>,
    path: String,
    id: String,
}

impl Event {
    pub(super) fn begin(bank: &BankName, metrics: &Arc<BankMetrics>, request: &Request) -> Self {
        let mut event = Self::with(bank, metrics, || RequestLine::of(request));
        event.span = Span::begin(bank.as_str(), request);
        event
    }

    /// Something came that is no request.
    pub(super) fn of_no_request(bank: &BankName, metrics: &Arc<BankMetrics>) -> Self {
        Self::with(bank, metrics, RequestLine::default)
    }

    fn with(bank: &BankName, metrics: &Arc<BankMetrics>, line: impl FnOnce() -> RequestLine) -> Self {
        metrics.begun();
        let wanted = tracing::enabled!(target: "bankside::access", tracing::Level::INFO);
        Self {
            bank: bank.clone(),
            metrics: Arc::clone(metrics),
            started: Instant::now(),
            request: wanted.then(line),
            span: Span::none(),
            grant: None,
            route: None,
            retried: 0,
            kind: None,
            status: None,
            bytes: 0,
            complete: false,
        }
    }

    /// Takes over the id that the bank gets, or makes one, where the app sent none: bank and log speak of the same.
    pub(super) fn identify(&mut self, sent: &Fields, random: &Random) {
        if let Some(request) = &mut self.request
            && request.id.is_empty()
        {
            request.id = sent.get(REQUEST_ID).map_or_else(|| random.uuid(), printable);
        }
    }

    /// Counts the content of the request as it goes to the bank.
    pub(super) fn count(&self, body: Body) -> Body {
        match body.size() {
            Size::Exact(length) => {
                self.metrics.sent(length);
                body
            }
            Size::Unknown => Body::stream(Counted { body, metrics: Arc::clone(&self.metrics) }),
        }
    }

    /// Hands the answer over, with a body that ends the event, and gives the place back, when it has gone out.
    pub(super) fn until_end_of(mut self, mut answer: Response, place: Option<OwnedSemaphorePermit>) -> Response {
        self.status = Some(answer.status);
        self.metrics.answered(answer.status, self.kind);
        if answer.body.is_absent() {
            self.complete = true;
        } else {
            let body = std::mem::take(&mut answer.body);
            answer.body = Body::stream(Held { body, event: self, _place: place });
        }
        answer
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        self.metrics.ended(self.started, self.bytes);
        let (route, status, kind) = (self.route.as_deref(), self.status, self.kind.map(Kind::name));
        self.span.end(Ending { route, status, kind, retried: self.retried });
        let Some(request) = &self.request else {
            return;
        };
        tracing::info!(
            target: "bankside::access",
            bank = self.bank.as_str(),
            grant = self.grant.as_ref().map(GrantName::as_str),
            route,
            method = request.method.as_ref().map(beginning),
            path = unless_empty(&request.path),
            status = self.status.map(|status| status.as_u16()),
            kind = self.kind.map(Kind::name),
            bytes = self.bytes,
            duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            retried = self.retried,
            complete = self.complete,
            request_id = unless_empty(&request.id),
            "request"
        );
    }
}

impl RequestLine {
    fn of(request: &Request) -> Self {
        let target = access::origin_form(&request.target).unwrap_or(Cow::Borrowed(&request.target));
        let path = path::path_only(&target);
        let id = request.fields.get(REQUEST_ID).unwrap_or_default();
        Self { method: Some(request.method.clone()), path: printable(path), id: printable(id) }
    }
}

fn unless_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// A method is a token, so that it cannot break a log line.
fn beginning(method: &Method) -> &str {
    method.as_str().get(..MOST).unwrap_or(method.as_str())
}

/// Text that cannot break a log line, and cannot fill the log.
fn printable(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(MOST)];
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'\'');
    match str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(is_plain) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// A request's body of unknown length.
struct Counted {
    body: Body,
    metrics: Arc<BankMetrics>,
}

impl BodyStream for Counted {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = ready!(self.body.poll_frame(cx));
        if let Some(Ok(Frame::Data(data))) = &frame {
            self.metrics.sent(data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn size(&self) -> Size {
        self.body.size()
    }
}

/// An answer's body that holds the request's place and its event until it has ended.
struct Held {
    body: Body,
    event: Event,
    _place: Option<OwnedSemaphorePermit>,
}

impl BodyStream for Held {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = ready!(self.body.poll_frame(cx));
        match &frame {
            Some(Ok(Frame::Data(data))) => {
                self.event.bytes += data.len() as u64;
                // Whoever knows the length does not ask for the end.
                self.event.complete |= self.body.size() == Size::Exact(self.event.bytes);
            }
            Some(Ok(Frame::Trailers(_))) | None => self.event.complete = true,
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn size(&self) -> Size {
        self.body.size()
    }
}
