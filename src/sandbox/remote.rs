//! The control surface over plain HTTP, for tests in other processes: `bankside sandbox --control PORT`. JSON in, JSON out:
//!
//! - `GET /{bank}` with `bank` one of `icard`, `cnb`, `cnb-sandbox`: `counters`, `grants`, `payments`
//! - `GET /{bank}/requests`, `DELETE /{bank}/requests`: what was recorded
//! - `POST /{bank}/faults` with a [`Plan`], `DELETE /{bank}/faults`
//! - `POST /{bank}/expire`: every access token; `POST /{bank}/revoke`: every grant; `POST /{bank}/cut`: every connection
//! - `POST /{bank}/rules` with any of `access_lifetime_ms`, `refresh_tokens` (`rotate`, `reuse`, `none`),
//!   `reuse_ends_grant`, `certificate_bound`, `client_credentials`
//! - `POST /{bank}/clients` with `id`, `secret`, `redirect_uri`; `POST /{bank}/redirect-uris` with `id`, `redirect_uri`
//! - `POST /{bank}/refused-certificates`, `DELETE …` with `serial`

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use http::request::Parts;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Control, Error, Plan, RefreshTokens, Sandbox, listener};

type Controls = Arc<BTreeMap<&'static str, Control>>;

impl Sandbox {
    /// Opens the control surface on a loopback port; 0 takes any free one. Whoever reaches it controls the banks.
    pub async fn serve_control(&self, port: u16) -> Result<SocketAddr, Error> {
        let (tcp, port) = listener::bind(port).await?;
        let controls = BTreeMap::from([
            ("icard", self.icard().control().clone()),
            ("cnb", self.cnb().control().clone()),
            ("cnb-sandbox", self.cnb_sandbox().control().clone()),
        ]);
        let router = router(Arc::new(controls));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = accept(tcp, router) => {}
            }
        });
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

/// Serves one connection after the other within this task, so that all of them end with it.
async fn accept(tcp: TcpListener, router: Router) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = tcp.accept().await else { continue };
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            let http = auto::Builder::new(TokioExecutor::new());
            drop(http.serve_connection(TokioIo::new(stream), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

fn router(controls: Controls) -> Router {
    Router::new()
        .route("/{bank}", get(overview))
        .route("/{bank}/requests", get(requests).delete(clear_requests))
        .route("/{bank}/faults", post(plan).delete(clear_plans))
        .route("/{bank}/expire", post(expire))
        .route("/{bank}/revoke", post(revoke))
        .route("/{bank}/cut", post(cut))
        .route("/{bank}/rules", post(rules))
        .route("/{bank}/clients", post(add_client))
        .route("/{bank}/redirect-uris", post(add_redirect_uri))
        .route("/{bank}/refused-certificates", post(refuse).delete(accept_again))
        .with_state(controls)
}

/// The bank that the path names.
struct Named(Control);

impl FromRequestParts<Controls> for Named {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, controls: &Controls) -> Result<Self, StatusCode> {
        let Path(name) =
            Path::<String>::from_request_parts(parts, controls).await.map_err(|_| StatusCode::NOT_FOUND)?;
        controls.get(&*name).cloned().map(Self).ok_or(StatusCode::NOT_FOUND)
    }
}

async fn overview(State(_): State<Controls>, Named(bank): Named) -> Json<Value> {
    Json(json!({ "counters": bank.counters(), "grants": bank.grants(), "payments": bank.payments() }))
}

async fn requests(Named(bank): Named) -> Json<Value> {
    Json(json!({ "requests": bank.requests() }))
}

async fn clear_requests(Named(bank): Named) {
    bank.clear_requests();
}

async fn plan(Named(bank): Named, Json(plan): Json<Plan>) {
    bank.plan(plan);
}

async fn clear_plans(Named(bank): Named) {
    bank.clear_plans();
}

async fn expire(Named(bank): Named) {
    bank.expire_access_tokens();
}

async fn revoke(Named(bank): Named) {
    bank.revoke_grants();
}

async fn cut(Named(bank): Named) {
    bank.cut_connections();
}

/// The rules that can be changed from outside.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangedRules {
    access_lifetime_ms: Option<u64>,
    refresh_tokens: Option<RefreshTokens>,
    reuse_ends_grant: Option<bool>,
    certificate_bound: Option<bool>,
    client_credentials: Option<bool>,
}

async fn rules(Named(bank): Named, Json(changed): Json<ChangedRules>) {
    bank.change_rules(|rules| {
        rules.access_lifetime = changed.access_lifetime_ms.map_or(rules.access_lifetime, Duration::from_millis);
        rules.refresh_tokens = changed.refresh_tokens.unwrap_or(rules.refresh_tokens);
        rules.reuse_ends_grant = changed.reuse_ends_grant.unwrap_or(rules.reuse_ends_grant);
        rules.certificate_bound = changed.certificate_bound.unwrap_or(rules.certificate_bound);
        rules.client_credentials = changed.client_credentials.unwrap_or(rules.client_credentials);
    });
}

#[derive(Deserialize)]
struct NewClient {
    id: String,
    secret: String,
    redirect_uri: String,
}

async fn add_client(Named(bank): Named, Json(client): Json<NewClient>) {
    bank.add_client(&client.id, &client.secret, &client.redirect_uri);
}

#[derive(Deserialize)]
struct NewRedirectUri {
    id: String,
    redirect_uri: String,
}

async fn add_redirect_uri(Named(bank): Named, Json(uri): Json<NewRedirectUri>) {
    bank.add_redirect_uri(&uri.id, &uri.redirect_uri);
}

#[derive(Deserialize)]
struct Serial {
    serial: String,
}

async fn refuse(Named(bank): Named, Json(certificate): Json<Serial>) {
    bank.refuse_certificate(&certificate.serial);
}

async fn accept_again(Named(bank): Named, Json(certificate): Json<Serial>) {
    bank.accept_certificate(&certificate.serial);
}
