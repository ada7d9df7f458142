//! The operator's listener and its routes.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware;
use axum::routing::{MethodRouter, delete, get, post};
use serde::Serialize;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::config::{Bank, Listen};
use crate::inbound::listen::{Listener, Origin};
use crate::oauth::Tokens;
use crate::telemetry::Metrics;
use crate::upstream::TlsClient;
use crate::words::Clock;

use super::guard::{Guarded, guard};
use super::{api, connections, health, page, scrape};

/// The page for people.
pub(super) const PAGE: &str = "/";
/// Where a browser comes back to from a bank.
pub(super) const CALLBACK: &str = "/callback";

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
    /// Where apps reach it, with the port that was given for port 0.
    pub listens: Vec<String>,
    /// TLS towards it.
    pub tls: Arc<TlsClient>,
    /// Its tokens.
    pub tokens: Arc<Tokens>,
}

impl AdminState {
    /// The banks of this moment.
    pub(super) fn banks(&self) -> Vec<AdminBank> {
        self.view.load().banks.clone()
    }
}

/// Every route. What is for programs is described in `openapi.json`, which a test compares with this.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<AdminState>>)> {
    vec![
        (PAGE, get(page::page)),
        ("/page.css", get(page::css)),
        ("/page.js", get(page::js)),
        ("/icon.svg", get(page::icon)),
        (CALLBACK, get(api::come_back)),
        ("/livez", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(scrape::metrics)),
        ("/api/openapi.json", get(api::openapi)),
        ("/api/banks", get(api::banks)),
        ("/api/banks/{bank}/callback", post(api::paste)),
        ("/api/banks/{bank}/grants/{grant}", delete(api::remove)),
        ("/api/banks/{bank}/grants/{grant}/authorize", post(api::authorize)),
        ("/api/banks/{bank}/grants/{grant}/renew", post(api::renew)),
    ]
}

/// Serves the operator's side until `stop`.
pub async fn serve(listener: Listener, state: AdminState, stop: CancellationToken) -> io::Result<()> {
    let state = Arc::new(state);
    let routes = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .fallback(api::nothing)
        .layer(middleware::from_fn_with_state(Arc::clone(&state), guard))
        .with_state(state);
    match listener {
        Listener::Tcp(listener) => connections::serve(TcpListener::from_std(listener)?, routes, stop).await,
        Listener::Unix(listener, Origin::Own(_file)) => {
            connections::serve(UnixListener::from_std(listener)?, routes, stop).await
        }
        Listener::Unix(listener, Origin::Inherited { to_all }) => {
            let listener = Guarded { listener: UnixListener::from_std(listener)?, to_all };
            connections::serve(listener, routes, stop).await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_describes_every_route_but_the_pages_own_resources() {
        let document: serde_json::Value =
            serde_json::from_str(include_str!("openapi.json")).expect("the document is JSON");
        let described: BTreeSet<&str> =
            document["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
        let resources = ["/page.css", "/page.js", "/icon.svg"];
        let served: BTreeSet<&str> =
            routes().iter().map(|(path, _)| *path).filter(|path| !resources.contains(path)).collect();
        assert_eq!(described, served);
    }
}
