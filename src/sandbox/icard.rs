//! iCard, simulated: OAuth as thephpleague/oauth2-server does it behind a session step, and the API of the Berlin
//! Group's `NextGenPSD2` framework, version 1.3.

mod accounts;
mod answer;
mod cards;
mod consents;
mod entry;
mod payments;
mod register;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};

use super::authority::{RefreshTokens, Rules, Style};
use super::consent::{self, Look};
use super::fault::Endpoint;
use super::iban::iban;
use super::ledger::Account;
use super::state::BankState;

/// What is fixed about its authorization server.
pub(super) const STYLE: Style =
    Style { scopes: &["ais", "cof", "pis"], one_scope: false, session: true, php_league: true };

const LOOK: Look = Look {
    bank: "iCard",
    colour: "#0b6e4f",
    choice: Some(("Provider", &["iCard DW"])),
    explain: |scope| match scope {
        "ais" => "see your accounts, balances and transactions",
        "pis" => "prepare payments from your accounts",
        _ => "ask whether there is enough money for a payment",
    },
};

pub(super) fn rules() -> Rules {
    Rules { access_lifetime: Duration::from_hours(24), refresh_tokens: RefreshTokens::Rotate, ..Rules::default() }
}

/// What a path is for.
pub(super) fn classify(path: &str) -> Endpoint {
    match path {
        "/generate/auth-id" => Endpoint::Session,
        "/authorize" => Endpoint::Authorize,
        "/token" => Endpoint::Token,
        "/tpp/register" => Endpoint::Registration,
        _ if path.starts_with("/_test/") => Endpoint::Test,
        _ => Endpoint::Api,
    }
}

/// What a browser reaches.
pub(super) fn pages(bank: &Arc<BankState>) -> Router {
    Router::new().route("/authorize", consent::routes(&bank.authority, LOOK))
}

/// What a QWAC opens.
pub(super) fn api(bank: &Arc<BankState>) -> Router {
    let paths = Router::new()
        .route("/generate/auth-id", post(entry::auth_id))
        .route("/token", post(entry::token))
        .route("/tpp/register", post(register::register))
        .route("/v1/accounts", get(accounts::list))
        .route("/v1/accounts/{id}", get(accounts::details))
        .route("/v1/accounts/{id}/balances", get(accounts::balances))
        .route("/v1/accounts/{id}/transactions", get(accounts::transactions))
        .route("/v1/accounts/{id}/transactions/{transaction}", get(accounts::transaction))
        .route("/v1/card-accounts", get(cards::list))
        .route("/v1/card-accounts/{id}", get(cards::details))
        .route("/v1/card-accounts/{id}/balances", get(cards::balances))
        .route("/v1/card-accounts/{id}/transactions", get(cards::transactions))
        .route("/v1/consents", post(consents::create))
        .route("/v1/consents/{id}", get(consents::read).delete(consents::end))
        .route("/v1/consents/{id}/status", get(consents::status))
        .route("/v1/payments/{product}", post(payments::initiate))
        .route("/v1/payments/{product}/{id}", get(payments::read).delete(payments::cancel))
        .route("/v1/payments/{product}/{id}/status", get(payments::status))
        .route("/v1/funds-confirmations", post(payments::funds))
        .fallback(answer::unknown_path)
        .method_not_allowed_fallback(answer::wrong_method)
        .with_state(Arc::clone(bank));
    paths.merge(pages(bank))
}

/// The customer's accounts.
pub(super) fn customer() -> Vec<Account> {
    let own = |account: &str| iban("BG", &format!("INTF4001{account}"));
    let account =
        |id, number, currency, name, opening| Account::new(id, own(number), currency, name, "Anna Petrova", opening);
    vec![
        account("3dc3d5b3-7023-4848-9853-f5400a64e80f", "2038114501", "EUR", "Main account", 1_250_000),
        account("6f0b1c4e-52d1-4c0e-9a3d-1f8a1b2c3d4e", "2038114502", "EUR", "Savings", 8_400_000),
        account("b7a0f6a2-0c55-4b43-8f0e-6d5c4b3a2910", "2038114503", "GBP", "Travel", 640_000),
    ]
}
