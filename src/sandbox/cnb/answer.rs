//! The doorkeeper of the API, and errors in the form of the Czech Open Banking Standard (section "Error codes").

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use crate::sandbox::peer::Peer;
use crate::sandbox::state::BankState;
use crate::sandbox::statements::Role;
use crate::sandbox::wire;

/// An error of the API: status, the standard's code, and a sentence.
#[derive(Clone, Debug)]
pub(super) struct Problem(pub(super) StatusCode, pub(super) &'static str, pub(super) &'static str);

impl Problem {
    pub(super) const fn parameter(text: &'static str) -> Self {
        Self(StatusCode::BAD_REQUEST, "PARAMETER_INVALID", text)
    }

    pub(super) const fn unknown_id() -> Self {
        Self(StatusCode::NOT_FOUND, "ID_NOT_FOUND", "There is nothing with this id")
    }

    const fn unauthorized(text: &'static str) -> Self {
        Self(StatusCode::UNAUTHORIZED, "UNAUTHORISED", text)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(status, code, text) = self;
        wire::reply(status, json!({ "errors": [{ "error": code, "message": text }] }))
    }
}

/// Which of the bank's two doors a request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Door {
    /// Production: a QWAC and a token of the authorization server.
    Licensed,
    /// The sandbox: prepared tokens, and a certificate by its name.
    Prepared,
}

/// Lets a request in whose certificate has the role and whose token has the scope.
pub(super) fn admit(
    bank: &BankState,
    door: Door,
    headers: &HeaderMap,
    peer: &Peer,
    needed: (Role, &str),
) -> Result<(), Box<Response>> {
    let (role, scope) = needed;
    let licensed = match door {
        Door::Licensed => peer.has(role),
        Door::Prepared => prepared_roles(headers)?.contains(&role),
    };
    if !licensed {
        let text = "The certificate does not state the role for this service";
        return Err(Box::new(Problem(StatusCode::FORBIDDEN, "FORBIDDEN", text).into_response()));
    }
    let scopes = match door {
        Door::Licensed => wire::access(&bank.authority, headers, peer).map(|access| access.scopes).ok(),
        Door::Prepared => wire::credentials(headers, "Bearer").and_then(prepared_scopes),
    };
    let Some(scopes) = scopes else {
        let answer = Problem::unauthorized("The access token is missing, invalid or expired").into_response();
        let error = wire::credentials(headers, "Bearer").map(|_| "invalid_token");
        return Err(Box::new(wire::challenge(answer, error)));
    };
    if !scopes.iter().any(|granted| granted == scope) {
        let text = "The access token has not the scope for this service";
        let answer = Problem(StatusCode::FORBIDDEN, "INSUFFICIENT_SCOPE", text).into_response();
        return Err(Box::new(wire::challenge(answer, Some("insufficient_scope"))));
    }
    Ok(())
}

/// The roles of the certificate that the sandbox adds itself, or that the request names.
fn prepared_roles(headers: &HeaderMap) -> Result<&'static [Role], Box<Response>> {
    match headers.get("x-client-certificate").map(HeaderValue::as_bytes) {
        None | Some(b"certificate-all") => Ok(&[Role::Accounts, Role::Payments]),
        Some(b"certificate-aisp") => Ok(&[Role::Accounts]),
        Some(b"certificate-pisp") => Ok(&[Role::Payments]),
        Some(b"certificate-no-psd") => Ok(&[]),
        Some(_) => Err(Box::new(Problem::unauthorized("There is no such prepared certificate").into_response())),
    }
}

fn prepared_scopes(token: &str) -> Option<Vec<String>> {
    match token {
        "token-aisp" => Some(vec!["aisp".to_owned()]),
        "token-pisp" => Some(vec!["pisp".to_owned()]),
        "token-no-scope" => Some(vec![]),
        _ => None,
    }
}

/// No such path.
pub(super) async fn unknown_path() -> Problem {
    Problem(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", "There is no such path")
}

/// A path with another method.
pub(super) async fn wrong_method() -> Problem {
    Problem(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "The path does not have this method")
}
