//! The gate that each request of a bank goes through: it is counted and recorded, and a planned fault strikes it here.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_lc_rs::digest;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::fault::{Endpoint, Fault};
use super::peer::Peer;
use super::record::{RawRead, RecordedBody, RecordedRequest, hex, lock, text};

/// How long a connection outlives the bytes after which it is cut, so that they leave first.
const BEFORE_CUT: Duration = Duration::from_millis(20);
/// The most that is kept of an answer that a fault halves.
const HALVED: usize = 64 * 1024 * 1024;

/// One connection, as the requests on it know it.
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) peer: Peer,
    pub(super) cut: CancellationToken,
    pub(super) raw: Option<Arc<Mutex<RawRead>>>,
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the bank cuts the connection")]
pub(super) struct Cut;

/// A bank's requests, before its handlers see them.
pub(super) struct Gate {
    pub(super) router: Router,
    pub(super) control: Control,
    /// What a path is for.
    pub(super) classify: fn(&str) -> Endpoint,
    /// Whether each connection serves one request only.
    pub(super) one_request: bool,
}

impl Gate {
    /// Passes a request to its handler, or lets a fault strike it.
    pub(super) async fn pass(
        &self,
        connection: &Connection,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Cut> {
        let endpoint = (self.classify)(request.uri().path());
        self.count(connection, endpoint);
        let version = request.version();
        let fault = self.control.strike(endpoint, request.uri().path());
        let request = self.admit(connection, endpoint, request);
        let mut response = match fault {
            None => self.handle(request).await,
            Some(fault) => self.fail(fault, connection, request).await?,
        };
        if endpoint == Endpoint::Api && response.status() == StatusCode::UNAUTHORIZED {
            self.control.count(|counters| counters.unauthorized += 1);
        }
        if let Some(date) = self.control.date() {
            response.headers_mut().entry(DATE).or_insert(date);
        }
        if self.one_request && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    fn count(&self, connection: &Connection, endpoint: Endpoint) {
        self.control.count(|counters| {
            *counters.requests.entry(endpoint).or_default() += 1;
            if let Some(serial) = connection.peer.serial()
                && !counters.serials.contains(serial)
            {
                counters.serials.insert(serial.to_owned());
            }
        });
    }

    /// Records the request and gives it what its handler needs to know.
    fn admit(&self, connection: &Connection, endpoint: Endpoint, request: Request<Incoming>) -> Request<Body> {
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(connection.peer.clone());
        if !self.control.recording() {
            return Request::from_parts(parts, Body::new(body));
        }
        let target = parts.uri.path_and_query().map_or("*", |target| target.as_str()).to_owned();
        let as_sent = connection.raw.as_ref().and_then(|raw| lock(raw).take_head(parts.method.as_str(), &target));
        let as_parsed =
            || parts.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        let lines = as_sent.unwrap_or_else(as_parsed);
        let record = self.control.record(RecordedRequest {
            connection: connection.number,
            endpoint,
            method: parts.method.to_string(),
            target: target.clone(),
            version: format!("{:?}", parts.version),
            lines: lines.clone(),
            serial: connection.peer.serial().map(str::to_owned),
            body: RecordedBody::default(),
        });
        parts.extensions.insert(Arc::new(Sent { target, lines }));
        let body = match record {
            Some(record) => Body::new(Watched { body, record, digest: digest::Context::new(&digest::SHA256) }),
            None => Body::new(body),
        };
        Request::from_parts(parts, body)
    }

    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let answered: Result<_, Infallible> = TowerToHyperService::new(self.router.clone()).call(request).await;
        answered.unwrap_or_else(|never| match never {})
    }

    async fn fail(&self, fault: Fault, connection: &Connection, request: Request<Body>) -> Result<Response<Body>, Cut> {
        match fault {
            Fault::Answer { status, headers, body } => Ok(answer(status, &headers, body)),
            Fault::Delay(millis) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok(self.handle(request).await)
            }
            Fault::DelayAnswer(millis) => {
                let response = self.handle(request).await;
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok(response)
            }
            Fault::Hang => std::future::pending().await,
            Fault::HangHandled => {
                self.handle(request).await;
                std::future::pending().await
            }
            Fault::Cut => Err(cut(connection)),
            Fault::CutHandled => {
                self.handle(request).await;
                Err(cut(connection))
            }
            Fault::CutAfterHead => Ok(shortened(self.handle(request).await, connection, |_| 0).await),
            Fault::CutMidBody => Ok(shortened(self.handle(request).await, connection, |whole| whole / 2).await),
        }
    }
}

/// A request's target and field lines as they were sent, for handlers that show them.
pub(super) struct Sent {
    pub(super) target: String,
    pub(super) lines: Vec<(String, String)>,
}

fn answer(status: u16, headers: &[(String, String)], body: String) -> Response<Body> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::from(body)).unwrap_or_else(|_| {
        let mut fallback = Response::new(Body::from("the planned answer is not valid HTTP"));
        *fallback.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        fallback
    })
}

fn cut(connection: &Connection) -> Cut {
    connection.cut.cancel();
    Cut
}

/// The answer with its whole length announced, of which only a part comes before the connection is cut.
async fn shortened(response: Response<Body>, connection: &Connection, keep: fn(usize) -> usize) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, HALVED).await.unwrap_or_default();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len().max(1)));
    let kept = whole.slice(..keep(whole.len()));
    Response::from_parts(parts, Body::new(CutBody { kept: Some(kept), cut: connection.cut.clone(), wait: None }))
}

/// Yields what is kept, waits until it has left, and cuts the connection.
struct CutBody {
    kept: Option<Bytes>,
    cut: CancellationToken,
    wait: Option<Pin<Box<Sleep>>>,
}

impl hyper::body::Body for CutBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(kept) = self.kept.take().filter(|kept| !kept.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(kept))));
        }
        let wait = self.wait.get_or_insert_with(|| Box::pin(tokio::time::sleep(BEFORE_CUT)));
        ready!(wait.as_mut().poll(cx));
        self.cut.cancel();
        Poll::Ready(Some(Err(Cut)))
    }
}

/// A request's body that is counted and digested while it passes.
struct Watched {
    body: Incoming,
    record: Arc<Mutex<RecordedBody>>,
    digest: digest::Context,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.digest.update(data);
                    lock(&self.record).bytes += data.len() as u64;
                }
            }
            Some(Err(_)) => {}
            None => self.end(),
        }
        // A body whose length is known may never be asked for the end that follows its last byte.
        if self.body.is_end_stream() {
            self.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Watched {
    fn end(&self) {
        lock(&self.record).sha256 = hex(self.digest.clone().finish().as_ref());
    }
}
