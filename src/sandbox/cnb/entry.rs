//! The token endpoint, and the two ways to end a grant.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use crate::sandbox::authority::{OAuthError, TokenCall};
use crate::sandbox::peer::Peer;
use crate::sandbox::state::Shared;
use crate::sandbox::wire;

/// `POST /oauth/token`.
pub(super) async fn token(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    wire::token(&bank.authority, &headers, &peer, &body)
}

/// `DELETE /oauth/token`: ends the grant of the Bearer token (`PowerAuth` up to 1.4).
pub(super) async fn end(State(bank): Shared, headers: HeaderMap) -> Response {
    match wire::credentials(&headers, "Bearer") {
        Some(token) if bank.authority.revoke_by_token(token) => StatusCode::OK.into_response(),
        given => {
            let error = given.map(|_| "invalid_token");
            wire::challenge(StatusCode::UNAUTHORIZED.into_response(), error)
        }
    }
}

/// `POST /oauth2/revoke` (RFC 7009; `PowerAuth` from 1.5). A token that is not known is no error.
pub(super) async fn revoke(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = match wire::form(&headers, &body) {
        Ok(form) => form,
        Err(reason) => return OAuthError::bad("invalid_request", reason).into_response(),
    };
    let call = TokenCall { form: &form, basic: wire::credentials(&headers, "Basic"), peer: &peer };
    match (bank.authority.check_client(&call), form.get("token")) {
        (Err(error), _) => error.into_response(),
        (Ok(()), None) => OAuthError::bad("invalid_request", "token is missing").into_response(),
        (Ok(()), Some(token)) => {
            bank.authority.revoke_by_token(token);
            StatusCode::OK.into_response()
        }
    }
}
