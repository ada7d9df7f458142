//! The registration of applications (Czech Open Banking Standard, "Registration of a third party's application").
//! The secret is shown once; each holder of a certificate sees their own applications only.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::sandbox::authority::{Application, NewClient};
use crate::sandbox::peer::Peer;
use crate::sandbox::state::{BankState, Shared};
use crate::sandbox::statements::Role;
use crate::sandbox::wire;

use super::answer::Problem;

/// `POST /applications`.
pub(super) async fn create(State(bank): Shared, Extension(peer): Extension<Peer>, body: Bytes) -> Response {
    let new = match licensed(&peer).and_then(|()| new_client(&bank, &body)) {
        Ok(new) => new,
        Err(problem) => return problem.into_response(),
    };
    let (application, secret) = bank.authority.register(peer.subject(), new);
    wire::reply(StatusCode::CREATED, with_secret(&application, &secret))
}

/// `GET /applications`.
pub(super) async fn list(State(bank): Shared, Extension(peer): Extension<Peer>) -> Response {
    match licensed(&peer) {
        Ok(()) => {
            let own: Vec<Value> = bank.authority.applications(peer.subject()).iter().map(without_secret).collect();
            wire::reply(StatusCode::OK, json!({ "applications": own }))
        }
        Err(problem) => problem.into_response(),
    }
}

/// `GET /applications/{id}`.
pub(super) async fn read(State(bank): Shared, Extension(peer): Extension<Peer>, Path(id): Path<String>) -> Response {
    match bank.authority.application(peer.subject(), &id) {
        Some(application) => wire::reply(StatusCode::OK, without_secret(&application)),
        None => Problem::unknown_id().into_response(),
    }
}

/// `PUT /applications/{id}`. Other scopes than before end the application's grants.
pub(super) async fn change(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let new = match licensed(&peer).and_then(|()| new_client(&bank, &body)) {
        Ok(new) => new,
        Err(problem) => return problem.into_response(),
    };
    match bank.authority.change_application(peer.subject(), &id, new) {
        Some(application) => wire::reply(StatusCode::OK, without_secret(&application)),
        None => Problem::unknown_id().into_response(),
    }
}

/// `DELETE /applications/{id}`.
pub(super) async fn delete(State(bank): Shared, Extension(peer): Extension<Peer>, Path(id): Path<String>) -> Response {
    if bank.authority.delete_application(peer.subject(), &id) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Problem::unknown_id().into_response()
    }
}

/// `POST /applications/{id}/renewSecret`. The old secret is void at once.
pub(super) async fn renew_secret(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
) -> Response {
    match bank.authority.renew_secret(peer.subject(), &id) {
        Some((application, secret)) => wire::reply(StatusCode::OK, with_secret(&application, &secret)),
        None => Problem::unknown_id().into_response(),
    }
}

fn licensed(peer: &Peer) -> Result<(), Problem> {
    if peer.has(Role::Accounts) || peer.has(Role::Payments) {
        Ok(())
    } else {
        Err(Problem(StatusCode::FORBIDDEN, "FORBIDDEN", "The certificate states no PSD2 role"))
    }
}

fn new_client(bank: &BankState, body: &Bytes) -> Result<NewClient, Problem> {
    let fields: Value =
        serde_json::from_slice(body).map_err(|_| Problem::parameter("the body is not a JSON object"))?;
    if !matches!(fields["application_type"].as_str(), Some("web" | "native")) {
        return Err(Problem::parameter("application_type must be web or native"));
    }
    let redirect_uris = texts(&fields["redirect_uris"]);
    if redirect_uris.is_empty() {
        return Err(Problem::parameter("redirect_uris is missing"));
    }
    let name = fields["client_name"].as_str().filter(|name| !name.is_empty());
    let scopes = texts(&fields["scopes"]);
    if scopes.iter().any(|scope| !bank.authority.knows_scope(scope)) {
        return Err(Problem::parameter("scopes holds one that is not known"));
    }
    Ok(NewClient { name: name.ok_or(Problem::parameter("client_name is missing"))?.to_owned(), redirect_uris, scopes })
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    // No URI or scope has a space in it: an item with spaces is several.
    items.flat_map(str::split_ascii_whitespace).map(str::to_owned).collect()
}

fn without_secret(application: &Application) -> Value {
    let mut shown = json!(application);
    shown["application_type"] = "web".into();
    shown
}

fn with_secret(application: &Application, secret: &str) -> Value {
    let mut shown = without_secret(application);
    shown["client_secret"] = secret.into();
    // RFC 7591, section 3.2.1: it does not expire.
    shown["client_secret_expires_at"] = 0.into();
    shown
}
