//! Accounts, balances and transactions (Berlin Group implementation guidelines 1.3, section 6.6).

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use time::Date;

use crate::sandbox::ledger::{Account, Booking, decimal, parse_date};
use crate::sandbox::peer::Peer;
use crate::sandbox::state::Shared;
use crate::sandbox::wire;

use super::answer::{Message, admit_to_accounts, identified};

/// `GET /v1/accounts`.
pub(super) async fn list(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Query(asked): Query<AccountsQuery>,
    headers: HeaderMap,
) -> Response {
    let answer = admit_to_accounts(&bank, &headers, &peer).map(|()| {
        let accounts: Vec<Value> =
            bank.accounts.iter().map(|account| describe(account, bank.today(), asked.with_balance())).collect();
        wire::reply(StatusCode::OK, json!({ "accounts": accounts }))
    });
    identified(&headers, answer.unwrap_or_else(|refused| *refused))
}

/// `GET /v1/accounts/{id}`.
pub(super) async fn details(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Query(asked): Query<AccountsQuery>,
    headers: HeaderMap,
) -> Response {
    let answer = admit_to_accounts(&bank, &headers, &peer).map(|()| match bank.account(&id) {
        Some(account) => {
            let account = describe(account, bank.today(), asked.with_balance());
            wire::reply(StatusCode::OK, json!({ "account": account }))
        }
        None => Message::unknown_resource().into_response(),
    });
    identified(&headers, answer.unwrap_or_else(|refused| *refused))
}

/// `GET /v1/accounts/{id}/balances`.
pub(super) async fn balances(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let answer = admit_to_accounts(&bank, &headers, &peer).map(|()| match bank.account(&id) {
        Some(account) => {
            let body = json!({ "account": { "iban": account.iban }, "balances": of(account, bank.today()) });
            wire::reply(StatusCode::OK, body)
        }
        None => Message::unknown_resource().into_response(),
    });
    identified(&headers, answer.unwrap_or_else(|refused| *refused))
}

/// `GET /v1/accounts/{id}/transactions`.
pub(super) async fn transactions(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Query(asked): Query<TransactionsQuery>,
    headers: HeaderMap,
) -> Response {
    let answer = admit_to_accounts(&bank, &headers, &peer).map(|()| {
        let Some(account) = bank.account(&id) else { return Message::unknown_resource().into_response() };
        match asked.report(account, bank.today()) {
            Ok(report) => wire::reply(StatusCode::OK, report),
            Err(message) => message.into_response(),
        }
    });
    identified(&headers, answer.unwrap_or_else(|refused| *refused))
}

/// `GET /v1/accounts/{id}/transactions/{transaction}`.
pub(super) async fn transaction(
    State(bank): Shared,
    Extension(peer): Extension<Peer>,
    Path((id, transaction)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let answer = admit_to_accounts(&bank, &headers, &peer).map(|()| {
        let Some(account) = bank.account(&id) else { return Message::unknown_resource().into_response() };
        match account.booked(bank.today()).iter().find(|booking| booking.id == transaction) {
            Some(booking) => {
                wire::reply(StatusCode::OK, json!({ "transactionsDetails": entry(account, booking, true) }))
            }
            None => Message::unknown_resource().into_response(),
        }
    });
    identified(&headers, answer.unwrap_or_else(|refused| *refused))
}

/// The query of accounts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountsQuery {
    with_balance: Option<String>,
}

impl AccountsQuery {
    fn with_balance(&self) -> bool {
        self.with_balance.as_deref() == Some("true")
    }
}

/// The query of transactions.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TransactionsQuery {
    date_from: Option<String>,
    date_to: Option<String>,
    booking_status: Option<String>,
    with_balance: Option<String>,
}

impl TransactionsQuery {
    fn report(&self, account: &Account, today: Date) -> Result<Value, Message> {
        let (from, to) = self.period()?;
        let (booked, pending) = match self.booking_status.as_deref() {
            Some("booked") => (true, false),
            Some("pending") => (false, true),
            Some("both") => (true, true),
            Some(_) => return Err(Message::format("bookingStatus must be booked, pending or both")),
            None => return Err(Message::format("bookingStatus is missing")),
        };
        if booked && from.is_none() {
            return Err(Message::format("dateFrom is missing"));
        }
        let within =
            |booking: &Booking| from.is_none_or(|from| booking.date >= from) && to.is_none_or(|to| booking.date <= to);
        let entries = |bookings: Vec<Booking>, booked| -> Vec<Value> {
            bookings.iter().filter(|booking| within(booking)).map(|booking| entry(account, booking, booked)).collect()
        };
        let mut report = json!({ "_links": { "account": { "href": format!("/v1/accounts/{}", account.id) } } });
        if booked {
            report["booked"] = entries(account.booked(today), true).into();
        }
        if pending {
            report["pending"] = entries(account.pending(today), false).into();
        }
        let mut answer = json!({ "account": { "iban": account.iban }, "transactions": report });
        if self.with_balance.as_deref() == Some("true") {
            answer["balances"] = of(account, today);
        }
        Ok(answer)
    }

    fn period(&self) -> Result<(Option<Date>, Option<Date>), Message> {
        let read = |text: &Option<String>| {
            let date = text.as_deref().map(|text| parse_date(text).ok_or(Message::format("a date is not one")));
            date.transpose()
        };
        match (read(&self.date_from)?, read(&self.date_to)?) {
            (Some(from), Some(to)) if from > to => {
                Err(Message(StatusCode::BAD_REQUEST, "PERIOD_INVALID", "dateFrom is after dateTo"))
            }
            period => Ok(period),
        }
    }
}

/// An account as the lists show it.
fn describe(account: &Account, today: Date, with_balance: bool) -> Value {
    let own = format!("/v1/accounts/{}", account.id);
    let mut described = json!({
        "resourceId": account.id,
        "iban": account.iban,
        "currency": account.currency,
        "ownerName": account.owner,
        "name": account.name,
        "product": "iCard account",
        "cashAccountType": "CACC",
        "status": "enabled",
        "bic": "INTFBGSF",
        "usage": "PRIV",
        "_links": {
            "self": { "href": own },
            "balances": { "href": format!("{own}/balances") },
            "transactions": { "href": format!("{own}/transactions") },
        },
    });
    if with_balance {
        described["balances"] = of(account, today);
    }
    described
}

/// The balances of an account.
fn of(account: &Account, today: Date) -> Value {
    let amount = |value| json!({ "currency": account.currency, "amount": decimal(value) });
    json!([
        { "balanceType": "closingBooked", "balanceAmount": amount(account.balance(today)),
          "referenceDate": (today - time::Duration::DAY).to_string() },
        { "balanceType": "interimAvailable", "balanceAmount": amount(account.available(today)),
          "referenceDate": today.to_string() },
    ])
}

/// A transaction as the reports show it.
pub(super) fn entry(account: &Account, booking: &Booking, booked: bool) -> Value {
    let mut entry = json!({
        "transactionId": booking.id,
        "endToEndId": booking.reference,
        "transactionAmount": { "currency": account.currency, "amount": decimal(booking.amount) },
        "remittanceInformationUnstructured": booking.text,
        "bankTransactionCode": if booking.amount < 0 { "PMNT-ICDT-ESCT" } else { "PMNT-RCDT-ESCT" },
    });
    let other = if booking.amount < 0 { "creditor" } else { "debtor" };
    entry[format!("{other}Name")] = booking.counterparty.into();
    entry[format!("{other}Account")] = json!({ "iban": booking.counterparty_iban });
    if booked {
        entry["bookingDate"] = booking.date.to_string().into();
        entry["valueDate"] = booking.date.to_string().into();
    }
    entry
}
