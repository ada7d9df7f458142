//! Payments and confirmations of funds (Berlin Group implementation guidelines 1.3, sections 5.3 and 10).

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::sandbox::iban::is_iban;
use crate::sandbox::ledger::hundredths;
use crate::sandbox::payments::Payment;
use crate::sandbox::peer::Peer;
use crate::sandbox::state::{BankState, Shared};
use crate::sandbox::statements::Role;
use crate::sandbox::wire;

use super::answer::{Message, admit, identified};

const PRODUCTS: [&str; 4] =
    ["sepa-credit-transfers", "instant-sepa-credit-transfers", "target-2-payments", "cross-border-credit-transfers"];

/// `POST /v1/payments/{product}`.
pub(super) async fn initiate(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path(product): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = admit(&bank, &headers, &peer, Role::Payments, "pis").map(|()| match order(&product, &body) {
        Ok(order) => received(&bank, product, order),
        Err(message) => message.into_response(),
    });
    identified(&headers, answer.unwrap_or_else(|refused| *refused))
}

fn order(product: &str, body: &Bytes) -> Result<Value, Message> {
    if !PRODUCTS.contains(&product) {
        return Err(Message(StatusCode::NOT_FOUND, "PRODUCT_UNKNOWN", "The payment product is not supported"));
    }
    let order: Value = serde_json::from_slice(body).map_err(|_| Message::format("the body is not JSON"))?;
    amount(&order["instructedAmount"])?;
    if !order["creditorAccount"]["iban"].as_str().is_some_and(is_iban) {
        return Err(Message::format("creditorAccount.iban is missing or wrong"));
    }
    if order["debtorAccount"]["iban"].as_str().is_some_and(|iban| !is_iban(iban)) {
        return Err(Message::format("debtorAccount.iban is wrong"));
    }
    if !order["creditorName"].as_str().is_some_and(|name| (1..=70).contains(&name.chars().count())) {
        return Err(Message::format("creditorName is missing or too long"));
    }
    Ok(order)
}

/// The amount in hundredths.
fn amount(amount: &Value) -> Result<i64, Message> {
    let value = amount["amount"].as_str().and_then(hundredths).filter(|&value| value > 0);
    let currency = amount["currency"].as_str().filter(|currency| currency.len() == 3);
    match (value, currency) {
        (Some(value), Some(_)) => Ok(value),
        _ => Err(Message::format("instructedAmount is missing or wrong")),
    }
}

fn received(bank: &BankState, product: String, order: Value) -> Response {
    let id = bank.random.uuid();
    let own = format!("/v1/payments/{product}/{id}");
    let links = json!({ "self": { "href": own }, "status": { "href": format!("{own}/status") } });
    let body = json!({ "transactionStatus": "RCVD", "paymentId": id, "_links": links });
    bank.payments.add(Payment { id, product, order, status: "RCVD" });
    let location = [("location", format!("{}{own}", bank.origin)), ("aspsp-sca-approach", "REDIRECT".to_owned())];
    (location, wire::reply(StatusCode::CREATED, body)).into_response()
}

/// `GET /v1/payments/{product}/{id}`.
pub(super) async fn read(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path((product, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    with(&bank, &peer, &product, &id, &headers, |payment| {
        let mut shown = payment.order.clone();
        shown["transactionStatus"] = payment.status.into();
        wire::reply(StatusCode::OK, shown)
    })
}

/// `GET /v1/payments/{product}/{id}/status`.
pub(super) async fn status(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path((product, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    with(&bank, &peer, &product, &id, &headers, |payment| {
        wire::reply(StatusCode::OK, json!({ "transactionStatus": payment.status }))
    })
}

/// `DELETE /v1/payments/{product}/{id}`.
pub(super) async fn cancel(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path((product, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    with(&bank, &peer, &product, &id, &headers, |payment| {
        bank.payments.set_status(&payment.id, "CANC");
        StatusCode::NO_CONTENT.into_response()
    })
}

fn with(
    bank: &BankState,
    peer: &Peer,
    product: &str,
    id: &str,
    headers: &HeaderMap,
    show: impl FnOnce(&Payment) -> Response,
) -> Response {
    let answer = admit(bank, headers, peer, Role::Payments, "pis").map(|()| {
        match bank.payments.find(id).filter(|payment| payment.product == product) {
            Some(payment) => show(&payment),
            None => Message::unknown_resource().into_response(),
        }
    });
    identified(headers, answer.unwrap_or_else(|refused| *refused))
}

/// `POST /v1/funds-confirmations`.
pub(super) async fn funds(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = admit(&bank, &headers, &peer, Role::Cards, "cof").map(|()| match enough(&bank, &body) {
        Ok(enough) => wire::reply(StatusCode::OK, json!({ "fundsAvailable": enough })),
        Err(message) => message.into_response(),
    });
    identified(&headers, answer.unwrap_or_else(|refused| *refused))
}

fn enough(bank: &BankState, body: &Bytes) -> Result<bool, Message> {
    let asked: Value = serde_json::from_slice(body).map_err(|_| Message::format("the body is not JSON"))?;
    let wanted = amount(&asked["instructedAmount"])?;
    let iban = asked["account"]["iban"].as_str().filter(|iban| is_iban(iban));
    let iban = iban.ok_or(Message::format("account.iban is missing or wrong"))?;
    let account = bank.accounts.iter().find(|account| account.iban == iban);
    let account = account.ok_or(Message(StatusCode::BAD_REQUEST, "RESOURCE_UNKNOWN", "The account is unknown"))?;
    Ok(asked["instructedAmount"]["currency"] == account.currency && account.available(bank.today()) >= wanted)
}
