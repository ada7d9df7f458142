//! The operator's listener: routes, and the rule that no web page of another origin may ask.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::config::{Bank, Listen};
use crate::inbound::access::Host;
use crate::inbound::listen::Listener;
use crate::oauth::Tokens;
use crate::telemetry::Metrics;
use crate::upstream::TlsClient;
use crate::words::Clock;

use super::health;

/// What the operator's side tells of.
pub struct AdminState {
    /// The banks, and how the last reload went.
    pub view: Arc<ArcSwap<View>>,
    /// The metrics.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
    /// Set when the sidecar begins to end.
    pub drain: CancellationToken,
    /// The address that is listened on.
    pub listen: Listen,
}

/// What a reload changes.
#[derive(Clone, Default)]
pub struct View {
    /// The banks.
    pub banks: Vec<AdminBank>,
    /// How the last reload went, if there was one.
    pub reload: Option<ReloadReport>,
}

/// How a reload went.
#[derive(Clone, Serialize)]
pub struct ReloadReport {
    /// `ok`, or `failed`: then everything goes on as it was before.
    pub outcome: &'static str,
    /// When it was, as RFC 3339 has it.
    pub at: String,
    /// Why it failed.
    pub problems: Vec<String>,
}

/// A bank, as the operator sees it.
#[derive(Clone)]
pub struct AdminBank {
    /// The bank.
    pub bank: Arc<Bank>,
    /// TLS towards it.
    pub tls: Arc<TlsClient>,
    /// Its tokens.
    pub tokens: Arc<Tokens>,
}

/// Serves the operator's side until `stop`.
pub async fn serve(listener: Listener, state: AdminState, stop: CancellationToken) -> io::Result<()> {
    let state = Arc::new(state);
    let routes = Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), only_own_hosts))
        .with_state(state);
    let stopped = stop.cancelled_owned();
    match listener {
        Listener::Tcp(listener) => {
            axum::serve(TcpListener::from_std(listener)?, routes).with_graceful_shutdown(stopped).await
        }
        Listener::Unix(listener, _file) => {
            axum::serve(UnixListener::from_std(listener)?, routes).with_graceful_shutdown(stopped).await
        }
    }
}

/// Lets through what no web page can send: one that rebinds its own name to this address sends that name as `Host`.
async fn only_own_hosts(State(state): State<Arc<AdminState>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let host =
        host.map_or_else(|| request.uri().authority().map(|a| a.as_str().as_bytes()), |host| Some(host.as_bytes()));
    let is_own = host.and_then(Host::parse).is_some_and(|host| is_own(&host, &state.listen));
    if !is_own {
        return (StatusCode::MISDIRECTED_REQUEST, "the Host is not this sidecar's\n").into_response();
    }
    if is_cross_site(request.headers()) {
        return (StatusCode::FORBIDDEN, "a web page of another origin must not ask\n").into_response();
    }
    next.run(request).await
}

/// Over a unix socket no web page comes. An address that is listened on as a wildcard has many names, but a web page
/// can rebind only a name, never an address.
fn is_own(host: &Host<'_>, listen: &Listen) -> bool {
    match listen {
        Listen::Unix(_) => true,
        Listen::Tcp(address) => {
            let is_wildcard = address.ip().is_unspecified();
            host.is_loopback() || host.is_address(address.ip()) || (is_wildcard && host.is_any_address())
        }
    }
}

/// What a browser says of a request that a page of another site makes (Fetch Metadata).
fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "none" && site != "same-origin")
}

async fn metrics(State(state): State<Arc<AdminState>>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match state.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
