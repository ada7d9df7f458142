//! Consents for account information (Berlin Group implementation guidelines 1.3, section 6.4).

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::sandbox::ledger::parse_date;
use crate::sandbox::peer::Peer;
use crate::sandbox::record::lock;
use crate::sandbox::state::{BankState, Shared};
use crate::sandbox::statements::Role;
use crate::sandbox::wire;

use super::answer::{Message, admit, identified};

/// `POST /v1/consents`. The customer consented already on the way to the token, so it is valid at once.
pub(super) async fn create(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = admit(&bank, &headers, &peer, Role::Accounts, "ais").map(|()| match check(&bank, &body) {
        Ok(asked) => created(&bank, asked),
        Err(message) => message.into_response(),
    });
    identified(&headers, answer.unwrap_or_else(|refused| *refused))
}

fn check(bank: &BankState, body: &Bytes) -> Result<Value, Message> {
    let asked: Value = serde_json::from_slice(body).map_err(|_| Message::format("the body is not JSON"))?;
    let valid_until = asked["validUntil"].as_str().and_then(parse_date);
    if !asked["access"].is_object() || !asked["recurringIndicator"].is_boolean() {
        return Err(Message::format("access or recurringIndicator is missing"));
    }
    if !asked["frequencyPerDay"].is_u64() || valid_until.is_none_or(|date| date < bank.today()) {
        return Err(Message::format("frequencyPerDay is missing, or validUntil is not a day to come"));
    }
    Ok(asked)
}

fn created(bank: &BankState, asked: Value) -> Response {
    let id = bank.random.uuid();
    lock(&bank.consents).insert(id.clone(), asked);
    let own = format!("/v1/consents/{id}");
    let links = json!({ "self": { "href": own }, "status": { "href": format!("{own}/status") } });
    let body = json!({ "consentStatus": "valid", "consentId": id, "_links": links });
    let location = [("location", format!("{}{own}", bank.origin)), ("aspsp-sca-approach", "REDIRECT".to_owned())];
    (location, wire::reply(StatusCode::CREATED, body)).into_response()
}

/// `GET /v1/consents/{id}`.
pub(super) async fn read(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    with(&bank, &peer, &id, &headers, |consent| {
        let mut shown = consent.clone();
        shown["consentStatus"] = "valid".into();
        wire::reply(StatusCode::OK, shown)
    })
}

/// `GET /v1/consents/{id}/status`.
pub(super) async fn status(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    with(&bank, &peer, &id, &headers, |_| wire::reply(StatusCode::OK, json!({ "consentStatus": "valid" })))
}

/// `DELETE /v1/consents/{id}`.
pub(super) async fn end(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let answer = with(&bank, &peer, &id, &headers, |_| StatusCode::NO_CONTENT.into_response());
    if answer.status() == StatusCode::NO_CONTENT {
        lock(&bank.consents).remove(&id);
    }
    answer
}

fn with(
    bank: &BankState,
    peer: &Peer,
    id: &str,
    headers: &HeaderMap,
    show: impl FnOnce(&Value) -> Response,
) -> Response {
    let answer = admit(bank, headers, peer, Role::Accounts, "ais").map(|()| match lock(&bank.consents).get(id) {
        Some(consent) => show(consent),
        None => Message::unknown_consent(StatusCode::FORBIDDEN).into_response(),
    });
    identified(headers, answer.unwrap_or_else(|refused| *refused))
}
