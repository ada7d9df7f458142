//! Paths below `_test`, for tests of whoever stands between an app and the bank. They want the certificate and any valid
//! token, and are there only where the control surface is on.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::body::{Body as _, Frame};
use serde::Deserialize;
use serde_json::json;

use super::gate::Sent;
use super::peer::Peer;
use super::record::{hex, text};
use super::state::{BankState, Shared};
use super::wire;

/// The most bytes in one frame of a blob.
const FRAME: u64 = 64 * 1024;

/// The probes, to be nested under `_test`.
pub(super) fn routes(bank: &Arc<BankState>) -> Router {
    Router::new()
        .route("/echo", any(echo))
        .route("/echo/{*rest}", any(echo))
        .route("/upload", any(echo))
        .route("/blob", get(blob))
        .route("/status/{status}", any(status))
        .route("/redirect", any(redirect))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(bank), admit))
        .with_state(Arc::clone(bank))
}

async fn admit(State(bank): Shared, request: Request, next: axum::middleware::Next) -> Response {
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or(Peer(None));
    match wire::access(&bank.authority, request.headers(), &peer) {
        Ok(_) => next.run(request).await,
        Err(_) => wire::challenge(StatusCode::UNAUTHORIZED.into_response(), Some("invalid_token")),
    }
}

/// Answers what the request was: `method`, `target`, `version`, `lines` as they were sent, `bytes` and `sha256` of the
/// body, and `trailers`. The body is read as a stream and not kept.
async fn echo(request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let (mut bytes, mut sha256) = (0_u64, digest::Context::new(&digest::SHA256));
    let mut trailers = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(frame) = frame else { return StatusCode::BAD_REQUEST.into_response() };
        if let Some(data) = frame.data_ref() {
            bytes += data.len() as u64;
            sha256.update(data);
        } else if let Ok(fields) = frame.into_trailers() {
            trailers = fields.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        }
    }
    let sent = parts.extensions.get::<Arc<Sent>>();
    Json(json!({
        "method": parts.method.as_str(),
        "target": sent.map(|sent| sent.target.as_str()),
        "version": format!("{:?}", parts.version),
        "lines": sent.map(|sent| sent.lines.as_slice()),
        "bytes": bytes,
        "sha256": hex(sha256.finish().as_ref()),
        "trailers": trailers,
    }))
    .into_response()
}

/// What a blob shall be like.
#[derive(Deserialize)]
struct BlobQuery {
    /// How many bytes.
    bytes: u64,
    /// Whether its length is not announced.
    #[serde(default)]
    chunked: bool,
    /// Whether a trailer field `x-sha256` follows; implies `chunked`. HTTP/1.1 asks for it with `TE: trailers`.
    #[serde(default)]
    trailer: bool,
}

/// `GET /blob?bytes=N`: N bytes, each the lowest byte of its own position, as a stream.
async fn blob(Query(asked): Query<BlobQuery>) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if asked.trailer {
        headers.insert("trailer", HeaderValue::from_static("x-sha256"));
    } else if !asked.chunked {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(asked.bytes));
    }
    let digest = asked.trailer.then(|| digest::Context::new(&digest::SHA256));
    (headers, Body::new(Blob { sent: 0, bytes: asked.bytes, digest })).into_response()
}

struct Blob {
    sent: u64,
    bytes: u64,
    digest: Option<digest::Context>,
}

impl hyper::body::Body for Blob {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let length = FRAME.min(self.bytes - self.sent);
        if length == 0 {
            let trailers = self.digest.take().map(|digest| {
                let value = HeaderValue::from_str(&hex(digest.finish().as_ref()));
                Ok(Frame::trailers(
                    value.into_iter().map(|value| (http::HeaderName::from_static("x-sha256"), value)).collect(),
                ))
            });
            return std::task::Poll::Ready(trailers);
        }
        let data: Bytes = (self.sent..self.sent + length).map(|position| position.to_le_bytes()[0]).collect();
        self.sent += length;
        if let Some(digest) = &mut self.digest {
            digest.update(&data);
        }
        std::task::Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

/// `/status/{status}`: that status with a short body.
async fn status(Path(status): Path<u16>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, format!("{status}\n")).into_response()
}

/// Where a redirect leads.
#[derive(Deserialize)]
struct RedirectQuery {
    to: Option<String>,
}

/// `/redirect`: 302 to the bank's own accounts, or to `to`.
async fn redirect(State(bank): Shared, Query(asked): Query<RedirectQuery>) -> Response {
    let to = asked.to.unwrap_or_else(|| format!("{}/v1/accounts", bank.origin));
    (StatusCode::FOUND, [(LOCATION, to)]).into_response()
}
