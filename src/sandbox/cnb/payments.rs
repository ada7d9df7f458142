//! Payments and balance checks (Czech Open Banking Standard, payment initiation services).

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::sandbox::iban::is_iban;
use crate::sandbox::ledger::parse_date;
use crate::sandbox::payments::Payment;
use crate::sandbox::peer::Peer;
use crate::sandbox::state::{BankState, Shared};
use crate::sandbox::statements::Role;
use crate::sandbox::wire;

use super::accounts::value;
use super::answer::{Door, Problem, admit};

const NEEDED: (Role, &str) = (Role::Payments, "pisp");

/// `POST /my/payments`.
pub(super) async fn initiate(
    State(bank): Shared,
    Extension(door): Extension<Door>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(refused) = admit(&bank, door, &headers, &peer, NEEDED) {
        return *refused;
    }
    match order(&bank, &body) {
        Ok(order) => taken(&bank, order),
        Err(problem) => problem.into_response(),
    }
}

fn order(bank: &BankState, body: &Bytes) -> Result<Value, Problem> {
    let bad = |code, text| Problem(StatusCode::BAD_REQUEST, code, text);
    let order: Value = serde_json::from_slice(body).map_err(|_| Problem::parameter("the body is not JSON"))?;
    let amount = &order["amount"]["instructedAmount"];
    if !amount["value"].as_f64().is_some_and(|value| value > 0.0) {
        return Err(bad("AM12", "The amount is missing or not positive"));
    }
    if amount["currency"].as_str().is_none_or(|currency| currency.len() != 3) {
        return Err(bad("AM11", "The currency is missing or wrong"));
    }
    let iban = |account: &str| order[account]["identification"]["iban"].as_str();
    if !bank.accounts.iter().any(|account| iban("debtorAccount") == Some(&account.iban)) {
        return Err(bad("AC02", "The debtor's account is missing or not the customer's"));
    }
    if !iban("creditorAccount").is_some_and(is_iban) {
        return Err(bad("AC03", "The creditor's account is missing or wrong"));
    }
    match order["requestedExecutionDate"].as_str().map(parse_date) {
        Some(None) => Err(bad("DT01", "The date of execution is not a date")),
        Some(Some(date)) if date < bank.today() => Err(bad("DT01", "The date of execution is in the past")),
        _ => Ok(order),
    }
}

fn taken(bank: &BankState, order: Value) -> Response {
    let id = bank.random.uuid();
    let mut shown = order.clone();
    shown["paymentIdentification"]["transactionIdentification"] = id.as_str().into();
    shown["instructionStatus"] = "ACTC".into();
    shown["signInfo"] = json!({ "state": "OPEN", "signId": bank.random.uuid() });
    bank.payments.add(Payment { id, product: "domestic".to_owned(), order, status: "ACTC" });
    wire::reply(StatusCode::OK, shown)
}

/// `GET /my/payments/{id}`.
pub(super) async fn read(
    State(bank): Shared,
    Extension(door): Extension<Door>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    with(&bank, door, &peer, &id, &headers, |payment| {
        let mut shown = payment.order.clone();
        shown["paymentIdentification"]["transactionIdentification"] = payment.id.as_str().into();
        shown["instructionStatus"] = payment.status.into();
        wire::reply(StatusCode::OK, shown)
    })
}

/// `GET /my/payments/{id}/status`.
pub(super) async fn status(
    State(bank): Shared,
    Extension(door): Extension<Door>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    with(&bank, door, &peer, &id, &headers, |payment| {
        wire::reply(StatusCode::OK, json!({ "instructionStatus": payment.status }))
    })
}

/// `DELETE /my/payments/{id}`.
pub(super) async fn cancel(
    State(bank): Shared,
    Extension(door): Extension<Door>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    with(&bank, door, &peer, &id, &headers, |payment| {
        bank.payments.set_status(&payment.id, "CANC");
        StatusCode::NO_CONTENT.into_response()
    })
}

fn with(
    bank: &BankState,
    door: Door,
    peer: &Peer,
    id: &str,
    headers: &HeaderMap,
    show: impl FnOnce(&Payment) -> Response,
) -> Response {
    if let Err(refused) = admit(bank, door, headers, peer, NEEDED) {
        return *refused;
    }
    bank.payments.find(id).map_or_else(|| Problem::unknown_id().into_response(), |payment| show(&payment))
}

/// `POST /my/payments/balanceCheck`: whether the account holds so much.
pub(super) async fn balance_check(
    State(bank): Shared,
    Extension(door): Extension<Door>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(refused) = admit(&bank, door, &headers, &peer, NEEDED) {
        return *refused;
    }
    match check(&bank, &body) {
        Ok(answer) => wire::reply(StatusCode::OK, answer),
        Err(problem) => problem.into_response(),
    }
}

fn check(bank: &BankState, body: &Bytes) -> Result<Value, Problem> {
    let asked: Value = serde_json::from_slice(body).map_err(|_| Problem::parameter("the body is not JSON"))?;
    let details = &asked["transactionDetails"];
    let wanted = details["totalAmount"].as_f64().filter(|amount| *amount > 0.0);
    let wanted = wanted.ok_or(Problem(StatusCode::BAD_REQUEST, "AM12", "totalAmount is missing or not positive"))?;
    let iban = asked["debtorAccount"]["identification"]["iban"].as_str();
    let account = bank.accounts.iter().find(|account| iban == Some(&account.iban));
    let account = account.ok_or(Problem::unknown_id())?;
    let enough = details["currency"] == account.currency && value(account.available(bank.today())) >= wanted;
    Ok(json!({
        "responseIdentification": u32::from_le_bytes(bank.random.bytes()),
        "exchangeIdentification": asked["exchangeIdentification"],
        "response": if enough { "APPR" } else { "DECL" },
    }))
}
