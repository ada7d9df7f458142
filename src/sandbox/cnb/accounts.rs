//! Accounts, balances and transactions (Czech Open Banking Standard, account information services).

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use time::Date;

use crate::sandbox::ledger::{Account, Booking, parse_date};
use crate::sandbox::peer::Peer;
use crate::sandbox::state::Shared;
use crate::sandbox::statements::Role;
use crate::sandbox::wire;

use super::answer::{Door, Problem, admit};

const NEEDED: (Role, &str) = (Role::Accounts, "aisp");

/// How a list is cut into pages.
#[derive(Deserialize)]
pub(super) struct Paging {
    page: Option<usize>,
    size: Option<usize>,
}

impl Paging {
    /// The page that is asked for, as the standard's lists show it.
    fn cut(&self, name: &str, items: Vec<Value>) -> Result<Value, Problem> {
        let size = self.size.unwrap_or(50);
        if !(1..=1_000).contains(&size) {
            return Err(Problem::parameter("size must be from 1 to 1000"));
        }
        let (page, count) = (self.page.unwrap_or(0), items.len().div_ceil(size).max(1));
        if page >= count {
            return Err(Problem(StatusCode::NOT_FOUND, "PAGE_NOT_FOUND", "There is no such page"));
        }
        let items: Vec<Value> = items.into_iter().skip(page * size).take(size).collect();
        let mut shown = json!({ "pageNumber": page, "pageCount": count, "pageSize": size });
        if page + 1 < count {
            shown["nextPage"] = (page + 1).into();
        }
        shown[name] = items.into();
        Ok(shown)
    }
}

/// `GET /my/accounts`.
pub(super) async fn list(
    State(bank): Shared,
    Extension(door): Extension<Door>,
    Extension(peer): Extension<Peer>,
    Query(paging): Query<Paging>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = admit(&bank, door, &headers, &peer, NEEDED) {
        return *refused;
    }
    answer(paging.cut("accounts", bank.accounts.iter().map(describe).collect()))
}

/// `GET /my/accounts/{id}/balance`.
pub(super) async fn balance(
    State(bank): Shared,
    Extension(door): Extension<Door>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = admit(&bank, door, &headers, &peer, NEEDED) {
        return *refused;
    }
    let account = bank.account(&id).ok_or(Problem::unknown_id());
    answer(account.map(|account| balances(account, bank.today())))
}

/// `GET /my/accounts/{id}/transactions`.
pub(super) async fn transactions(
    State(bank): Shared,
    Extension(door): Extension<Door>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Query(period): Query<Period>,
    Query(paging): Query<Paging>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = admit(&bank, door, &headers, &peer, NEEDED) {
        return *refused;
    }
    let account = bank.account(&id).ok_or(Problem::unknown_id());
    answer(account.and_then(|account| paging.cut("transactions", period.entries(account, bank.today())?)))
}

fn answer(body: Result<Value, Problem>) -> Response {
    match body {
        Ok(body) => wire::reply(StatusCode::OK, body),
        Err(problem) => problem.into_response(),
    }
}

/// The period of a list of transactions.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Period {
    from_date: Option<String>,
    to_date: Option<String>,
}

impl Period {
    fn entries(&self, account: &Account, today: Date) -> Result<Vec<Value>, Problem> {
        let wrong = Problem(StatusCode::BAD_REQUEST, "DT01", "A date is not one, or the period ends before it begins");
        let read = |text: &Option<String>| {
            // A date and time is cut down to its date.
            text.as_deref().map(|text| parse_date(text.get(..10).unwrap_or(text)).ok_or(wrong.clone())).transpose()
        };
        let (from, to) = (read(&self.from_date)?, read(&self.to_date)?);
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(wrong);
        }
        let within =
            |booking: &&Booking| from.is_none_or(|from| booking.date >= from) && to.is_none_or(|to| booking.date <= to);
        let (pending, booked) = (account.pending(today), account.booked(today));
        let pending = pending.iter().filter(within).map(|booking| entry(account, booking, "PDNG"));
        Ok(pending.chain(booked.iter().filter(within).map(|booking| entry(account, booking, "BOOK"))).collect())
    }
}

fn describe(account: &Account) -> Value {
    json!({
        "id": account.id,
        "identification": { "iban": account.iban, "other": national(&account.iban) },
        "currency": account.currency,
        "servicer": { "bankCode": "0710", "countryCode": "CZ", "bic": "CNBACZPP" },
        "nameI18N": account.name,
        "productI18N": "Účet v systému ABO-K",
        "ownersNames": [account.owner],
        "relationship": { "isOwner": true },
    })
}

/// `number/bank code`, as people in Czechia write an account.
fn national(iban: &str) -> String {
    format!("{}/{}", iban[14..].trim_start_matches('0'), &iban[4..8])
}

fn balances(account: &Account, today: Date) -> Value {
    let balance = |code: &str, hundredths: i64| {
        json!({
            "type": { "codeOrProprietary": { "code": code } },
            "amount": { "value": value(hundredths.abs()), "currency": account.currency },
            "creditDebitIndicator": if hundredths < 0 { "DBIT" } else { "CRDT" },
            "date": { "dateTime": format!("{today}T06:00:00.000Z") },
        })
    };
    json!({ "balances": [balance("PRCD", account.balance(today)), balance("CLAV", account.available(today))] })
}

fn entry(account: &Account, booking: &Booking, status: &str) -> Value {
    let amount = json!({ "value": value(booking.amount.abs()), "currency": account.currency });
    let party = if booking.amount < 0 { "creditor" } else { "debtor" };
    let mut parties = json!({});
    parties[party] = json!({ "name": booking.counterparty });
    parties[format!("{party}Account")] = json!({ "identification": { "iban": booking.counterparty_iban } });
    let symbols = json!([format!("VS:{}", booking.reference), "KS:0308", "SS:0"]);
    let mut entry = json!({
        "entryReference": booking.id,
        "amount": amount,
        "creditDebitIndicator": if booking.amount < 0 { "DBIT" } else { "CRDT" },
        "reversalIndicator": false,
        "status": status,
        "bankTransactionCode": { "proprietary": { "code": 10_000_107_000_i64, "issuer": "CBA" } },
        "entryDetails": { "transactionDetails": {
            "references": { "endToEndIdentification": booking.reference },
            "amountDetails": { "instructedAmount": { "amount": amount } },
            "relatedParties": parties,
            "remittanceInformation": {
                "unstructured": booking.text,
                "structured": { "creditorReferenceInformation": { "reference": symbols } },
            },
        } },
    });
    if status == "BOOK" {
        entry["bookingDate"] = json!({ "date": booking.date.to_string() });
        entry["valueDate"] = json!({ "date": booking.date.to_string() });
    }
    entry
}

/// Hundredths as the number that the standard's JSON carries.
#[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52 hundredths")]
pub(super) fn value(hundredths: i64) -> f64 {
    hundredths as f64 / 100.0
}
