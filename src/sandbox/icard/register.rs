//! `POST /tpp/register`. Its body is not published: a form or JSON is taken, with the fields' usual names.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::sandbox::authority::{NewClient, OAuthError};
use crate::sandbox::peer::Peer;
use crate::sandbox::state::Shared;
use crate::sandbox::statements::Role;
use crate::sandbox::wire;

/// Registers the app of whoever holds the QWAC.
pub(super) async fn register(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if ![Role::Accounts, Role::Payments, Role::Cards].into_iter().any(|role| peer.has(role)) {
        let text = "The certificate states no PSD2 role";
        return OAuthError { status: StatusCode::FORBIDDEN, ..OAuthError::bad("access_denied", text) }.into_response();
    }
    let new = match new_client(&headers, &body) {
        Ok(new) if new.scopes.iter().all(|scope| bank.authority.knows_scope(scope)) => new,
        Ok(_) => return OAuthError::bad("invalid_scope", "a scope is not known").into_response(),
        Err(reason) => return OAuthError::bad("invalid_request", reason).into_response(),
    };
    let (application, secret) = bank.authority.register(peer.subject(), new);
    wire::reply(StatusCode::CREATED, json!({ "client_id": application.client_id, "client_secret": secret }))
}

fn new_client(headers: &HeaderMap, body: &Bytes) -> Result<NewClient, &'static str> {
    let fields: Value = match wire::form(headers, body) {
        Ok(form) => json!(form),
        Err(_) => serde_json::from_slice(body).map_err(|_| "the body is neither a form nor JSON")?,
    };
    let first = |names: &[&str]| names.iter().find_map(|name| fields.get(name).filter(|value| !value.is_null()));
    let redirect_uris = first(&["redirect_uris", "redirect_uri", "redirectUri"]).map(texts).unwrap_or_default();
    if redirect_uris.is_empty() {
        return Err("redirect_uri is missing");
    }
    Ok(NewClient {
        name: first(&["client_name", "name"]).and_then(Value::as_str).unwrap_or("An app").to_owned(),
        redirect_uris,
        scopes: first(&["scopes", "scope"]).map(texts).unwrap_or_default(),
    })
}

/// A list of texts, or one text with spaces between its parts.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::String(text) => text.split_ascii_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
