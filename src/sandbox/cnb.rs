//! CNB, simulated: OAuth as Wultra `PowerAuth` does it, one scope a token, the registration of applications, and the API
//! of the Czech Open Banking Standard (COBS). And CNB's own sandbox, which takes fixed tokens instead.

mod accounts;
mod answer;
mod applications;
mod entry;
mod payments;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};

use super::authority::{RefreshTokens, Rules, Style};
use super::consent::{self, Look};
use super::fault::Endpoint;
use super::iban::{czech_account, iban};
use super::ledger::Account;
use super::state::BankState;

pub(super) use answer::Door;

/// Where its API begins.
pub(super) const BASE: &str = "/psd2-cobs";
/// Where its OAuth begins.
pub(super) const OAUTH: &str = "/powerauth-webflow/oauth";

/// What is fixed about its authorization server.
pub(super) const STYLE: Style = Style { scopes: &["aisp", "pisp"], one_scope: true, session: false, php_league: false };

const LOOK: Look = Look {
    bank: "Czech National Bank",
    colour: "#1f4e8c",
    choice: None,
    explain: |scope| match scope {
        "aisp" => "see your accounts, balances and transactions",
        _ => "prepare payments from your accounts",
    },
};

pub(super) fn rules() -> Rules {
    Rules { access_lifetime: Duration::from_mins(5), refresh_tokens: RefreshTokens::Reuse, ..Rules::default() }
}

/// What a path is for.
pub(super) fn classify(path: &str) -> Endpoint {
    match path.strip_prefix(OAUTH) {
        Some("/authorize") => Endpoint::Authorize,
        Some(_) => Endpoint::Token,
        None if path.contains("/applications") => Endpoint::Registration,
        None if path.starts_with("/psd2-cobs/_test/") => Endpoint::Test,
        None => Endpoint::Api,
    }
}

/// What a browser reaches.
pub(super) fn pages(bank: &Arc<BankState>) -> Router {
    Router::new().route(&format!("{OAUTH}/authorize"), consent::routes(&bank.authority, LOOK))
}

/// What a QWAC opens.
pub(super) fn api(bank: &Arc<BankState>) -> Router {
    let entry = Router::new()
        .route(&format!("{OAUTH}/token"), post(entry::token).delete(entry::end))
        .route("/powerauth-webflow/oauth2/revoke", post(entry::revoke))
        .with_state(Arc::clone(bank));
    let applications = Router::new()
        .route("/applications", get(applications::list).post(applications::create))
        .route("/applications/{id}", get(applications::read).put(applications::change).delete(applications::delete))
        .route("/applications/{id}/renewSecret", post(applications::renew_secret))
        .with_state(Arc::clone(bank));
    let cobs = applications.merge(cobs(bank, Door::Licensed));
    entry.merge(versions(cobs)).merge(pages(bank)).fallback(answer::unknown_path)
}

/// The API of the bank's own sandbox: no client certificate, no OAuth, no registration.
pub(super) fn sandbox_api(bank: &Arc<BankState>) -> Router {
    versions(cobs(bank, Door::Prepared)).fallback(answer::unknown_path)
}

fn versions(cobs: Router) -> Router {
    Router::new().nest("/psd2-cobs/cobs/2.0", cobs.clone()).nest("/psd2-cobs/cobs/5.0", cobs)
}

fn cobs(bank: &Arc<BankState>, door: Door) -> Router {
    Router::new()
        .route("/my/accounts", get(accounts::list))
        .route("/my/accounts/{id}/balance", get(accounts::balance))
        .route("/my/accounts/{id}/transactions", get(accounts::transactions))
        .route("/my/payments", post(payments::initiate))
        .route("/my/payments/balanceCheck", post(payments::balance_check))
        .route("/my/payments/{id}", get(payments::read).delete(payments::cancel))
        .route("/my/payments/{id}/status", get(payments::status))
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(axum::Extension(door))
        .with_state(Arc::clone(bank))
}

/// The customer's accounts; the bank code of the Czech National Bank is 0710.
pub(super) fn customer() -> Vec<Account> {
    let own = |first: &str| {
        let number = czech_account(first).unwrap_or_default();
        iban("CZ", &format!("0710000000{number:0>10}"))
    };
    let account =
        |id, first, currency, name, opening| Account::new(id, own(first), currency, name, "Město Příklad", opening);
    vec![
        account("A1F0C2D4E6", "200014539", "CZK", "Hlavní účet", 185_000_000),
        account("B7D3A9105C", "200014540", "CZK", "Rezervní fond", 940_000_000),
        account("C52E88F17A", "200014541", "EUR", "Účet v eurech", 21_000_000),
    ]
}
