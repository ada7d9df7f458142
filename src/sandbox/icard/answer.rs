//! The doorkeeper of the API, and errors in the form of the Berlin Group's implementation guidelines (section 4.13).

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::sandbox::authority::AccessError;
use crate::sandbox::peer::Peer;
use crate::sandbox::state::{BankState, Shared};
use crate::sandbox::statements::Role;
use crate::sandbox::wire;

/// A message of the API: status, code of the guidelines (section 14.11), and a sentence.
#[derive(Clone, Debug)]
pub(super) struct Message(pub(super) StatusCode, pub(super) &'static str, pub(super) &'static str);

impl Message {
    pub(super) const fn format(text: &'static str) -> Self {
        Self(StatusCode::BAD_REQUEST, "FORMAT_ERROR", text)
    }

    pub(super) const fn unknown_resource() -> Self {
        Self(StatusCode::NOT_FOUND, "RESOURCE_UNKNOWN", "The addressed resource is unknown")
    }

    pub(super) const fn unknown_consent(status: StatusCode) -> Self {
        Self(status, "CONSENT_UNKNOWN", "The Consent-ID cannot be matched")
    }
}

impl IntoResponse for Message {
    fn into_response(self) -> Response {
        let Self(status, code, text) = self;
        wire::reply(status, json!({ "tppMessages": [{ "category": "ERROR", "code": code, "text": text }] }))
    }
}

/// Lets a request in whose certificate has the role and whose token has the scope.
pub(super) fn admit(
    bank: &BankState,
    headers: &HeaderMap,
    peer: &Peer,
    role: Role,
    scope: &str,
) -> Result<(), Box<Response>> {
    let refuse = |code, text| Message(StatusCode::UNAUTHORIZED, code, text).into_response();
    if peer.serial().is_none() {
        return Err(Box::new(refuse("CERTIFICATE_MISSING", "The TPP certificate is missing")));
    }
    if !peer.has(role) {
        return Err(Box::new(refuse("ROLE_INVALID", "The TPP does not have the correct PSD2 role for this service")));
    }
    let access = wire::access(&bank.authority, headers, peer).map_err(|error| {
        let (code, text, told) = match error {
            AccessError::Missing => ("TOKEN_UNKNOWN", "The access token is missing", None),
            AccessError::Invalid => ("TOKEN_INVALID", "The access token is not valid", Some("invalid_token")),
            AccessError::Expired => ("TOKEN_EXPIRED", "The access token has expired", Some("invalid_token")),
        };
        Box::new(wire::challenge(refuse(code, text), told))
    })?;
    if !access.has(scope) {
        let text = "The access token is not valid for the addressed service";
        return Err(Box::new(wire::challenge(refuse("TOKEN_INVALID", text), Some("insufficient_scope"))));
    }
    Ok(())
}

/// For requests about accounts: also a consent that is named must be known.
pub(super) fn admit_to_accounts(bank: &BankState, headers: &HeaderMap, peer: &Peer) -> Result<(), Box<Response>> {
    admit(bank, headers, peer, Role::Accounts, "ais")?;
    let Some(named) = headers.get("consent-id") else { return Ok(()) };
    let known = named.to_str().is_ok_and(|id| crate::sandbox::record::lock(&bank.consents).contains_key(id));
    if known { Ok(()) } else { Err(Box::new(Message::unknown_consent(StatusCode::BAD_REQUEST).into_response())) }
}

/// Repeats the request's id, as the guidelines demand (section 4.3).
pub(super) fn identified(headers: &HeaderMap, mut response: Response) -> Response {
    if let Some(id) = headers.get("x-request-id") {
        response.headers_mut().insert("x-request-id", id.clone());
    }
    response
}

/// No such path.
pub(super) async fn unknown_path(_: Shared) -> Message {
    Message(StatusCode::NOT_FOUND, "RESOURCE_UNKNOWN", "There is no such path")
}

/// A path with another method.
pub(super) async fn wrong_method(_: Shared) -> Message {
    Message(StatusCode::METHOD_NOT_ALLOWED, "SERVICE_INVALID", "The addressed service does not have this method")
}
