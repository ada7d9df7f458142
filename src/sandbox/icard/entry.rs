//! The way in: the session step and the token endpoint.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::sandbox::authority::OAuthError;
use crate::sandbox::peer::Peer;
use crate::sandbox::state::Shared;
use crate::sandbox::wire;

/// `POST /generate/auth-id`: an id for one authorization.
pub(super) async fn auth_id(State(bank): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let form = match wire::form(&headers, &body) {
        Ok(form) => form,
        Err(reason) => return OAuthError::bad("invalid_request", reason).into_response(),
    };
    match form.get("client_id") {
        Some(client_id) if bank.authority.has_client(client_id) => {
            wire::reply(StatusCode::OK, json!({ "auth_id": bank.authority.open_session(client_id) }))
        }
        Some(_) => OAuthError { status: StatusCode::UNAUTHORIZED, ..unknown_client() }.into_response(),
        None => OAuthError::bad("invalid_request", "client_id is missing").into_response(),
    }
}

fn unknown_client() -> OAuthError {
    OAuthError::bad("invalid_client", "Client authentication failed")
}

/// `POST /token`.
pub(super) async fn token(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    wire::token(&bank.authority, &headers, &peer, &body)
}
