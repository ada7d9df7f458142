//! Card accounts (Berlin Group implementation guidelines 1.3, section 6.7).

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::sandbox::ledger::{Account, decimal};
use crate::sandbox::peer::Peer;
use crate::sandbox::state::{BankState, Shared};
use crate::sandbox::wire;

use super::answer::{Message, admit_to_accounts, identified};

/// The only card's id and masked number.
const ID: &str = "9c2f4a10-7d3e-4b6a-8f1c-2a5b6c7d8e9f";
const MASKED: &str = "516360******4821";

/// The account that the card draws on.
fn card_account(bank: &BankState) -> Option<&Account> {
    bank.accounts.first()
}

fn describe() -> Value {
    let own = format!("/v1/card-accounts/{ID}");
    json!({
        "resourceId": ID,
        "maskedPan": MASKED,
        "currency": "EUR",
        "name": "Main card",
        "product": "iCard Visa",
        "status": "enabled",
        "usage": "PRIV",
        "_links": {
            "balances": { "href": format!("{own}/balances") },
            "transactions": { "href": format!("{own}/transactions") },
        },
    })
}

fn balances_of(bank: &BankState, account: &Account) -> Value {
    json!([{ "balanceType": "interimAvailable", "referenceDate": bank.today().to_string(),
             "balanceAmount": { "currency": account.currency, "amount": decimal(account.available(bank.today())) } }])
}

fn transactions_of(bank: &BankState, account: &Account) -> Value {
    let spent = account.booked(bank.today()).into_iter().filter(|booking| booking.amount < 0);
    let entry = |booking: crate::sandbox::ledger::Booking| {
        json!({
            "cardTransactionId": booking.id,
            "transactionDate": booking.date.to_string(),
            "bookingDate": booking.date.to_string(),
            "transactionAmount": { "currency": account.currency, "amount": decimal(booking.amount) },
            "cardAcceptorId": booking.reference,
            "transactionDetails": booking.counterparty,
            "invoiced": true,
        })
    };
    Value::Array(spent.map(entry).collect())
}

/// `GET /v1/card-accounts`.
pub(super) async fn list(State(bank): Shared, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    let answer = admit_to_accounts(&bank, &headers, &peer)
        .map(|()| wire::reply(StatusCode::OK, json!({ "cardAccounts": [describe()] })));
    identified(&headers, answer.unwrap_or_else(|refused| *refused))
}

/// `GET /v1/card-accounts/{id}`.
pub(super) async fn details(bank: Shared, peer: Extension<Peer>, id: Path<String>, headers: HeaderMap) -> Response {
    one(&bank, &peer, &id, &headers, |_, _| json!({ "cardAccount": describe() }))
}

/// `GET /v1/card-accounts/{id}/balances`.
pub(super) async fn balances(bank: Shared, peer: Extension<Peer>, id: Path<String>, headers: HeaderMap) -> Response {
    one(
        &bank,
        &peer,
        &id,
        &headers,
        |bank, account| json!({ "cardAccount": { "maskedPan": MASKED }, "balances": balances_of(bank, account) }),
    )
}

/// `GET /v1/card-accounts/{id}/transactions`.
pub(super) async fn transactions(
    bank: Shared,
    peer: Extension<Peer>,
    id: Path<String>,
    headers: HeaderMap,
) -> Response {
    one(&bank, &peer, &id, &headers, |bank, account| {
        let links = json!({ "cardAccount": { "href": format!("/v1/card-accounts/{ID}") } });
        json!({ "cardAccount": { "maskedPan": MASKED },
                "cardTransactions": { "booked": transactions_of(bank, account), "_links": links } })
    })
}

fn one(
    bank: &BankState,
    peer: &Peer,
    id: &str,
    headers: &HeaderMap,
    show: fn(&BankState, &Account) -> Value,
) -> Response {
    let answer = admit_to_accounts(bank, headers, peer).map(|()| match card_account(bank) {
        Some(account) if id == ID => wire::reply(StatusCode::OK, show(bank, account)),
        _ => Message::unknown_resource().into_response(),
    });
    identified(headers, answer.unwrap_or_else(|refused| *refused))
}
