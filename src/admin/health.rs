//! Whether the sidecar lives, and whether each bank can be used.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;

use crate::oauth::{GrantError, GrantState};

use super::server::{AdminBank, AdminState, ReloadReport};

/// What `/readyz` says.
#[derive(Serialize)]
pub(super) struct Readiness {
    ready: bool,
    /// Why not, where it concerns all banks.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    banks: Vec<BankReadiness>,
    /// How the last reload went. A failed one takes nothing away: what ran before runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    reload: Option<ReloadReport>,
}

#[derive(Serialize)]
struct BankReadiness {
    bank: String,
    ready: bool,
    /// What is missing, and what to do about it.
    missing: Vec<String>,
    /// Consents that end soon: nothing is missing yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consents_ending: Vec<ConsentEnding>,
}

#[derive(Serialize)]
struct ConsentEnding {
    grant: String,
    consent_until: String,
    days_left: u64,
    /// What to do about it.
    remedy: String,
}

/// How many consents are told of for each bank.
const MOST_CONSENTS: usize = 20;

/// It answers, so it lives.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// 200 where every bank has a usable certificate and the grants that requests use which name none.
pub(super) async fn ready(State(state): State<Arc<AdminState>>) -> (StatusCode, Json<Readiness>) {
    let mut banks = Vec::new();
    let view = state.view.load_full();
    for bank in &view.banks {
        let missing = missing(bank, &state).await;
        let consents_ending = consents_ending(bank).await;
        let name = bank.bank.name.to_string();
        banks.push(BankReadiness { bank: name, ready: missing.is_empty(), missing, consents_ending });
    }
    let draining = state.drain.is_cancelled();
    let ready = !draining && banks.iter().all(|bank| bank.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reason = draining.then_some("the sidecar is ending");
    (status, Json(Readiness { ready, reason, banks, reload: view.reload.clone() }))
}

/// Consents that end soon, the first one first. A store that fails shows in what is missing.
async fn consents_ending(bank: &AdminBank) -> Vec<ConsentEnding> {
    let ending = bank.tokens.ending_consents(MOST_CONSENTS).await.unwrap_or_default();
    let shown = ending.into_iter().map(|consent| ConsentEnding {
        remedy: format!("run `bankside login {} {}`", bank.bank.name, consent.grant),
        grant: consent.grant.to_string(),
        consent_until: consent.until.to_string(),
        days_left: consent.days_left,
    });
    shown.collect()
}

pub(super) async fn missing(bank: &AdminBank, state: &AdminState) -> Vec<String> {
    let now = state.clock.now();
    let identity = bank.tls.identity().into_iter();
    let findings = identity.flat_map(|identity| identity.problems_at(now));
    let is_fatal = |problem: &crate::config::Problem| problem.severity == crate::config::Severity::Error;
    let mut missing: Vec<String> = findings
        .filter(is_fatal)
        .map(|problem| format!("certificate: {}; {}", problem.reason, problem.remedy))
        .collect();
    for grant in bank.bank.required_grants() {
        match bank.tokens.show(&grant).await {
            Ok(report) => match (report.state, report.last_failure) {
                (GrantState::Active | GrantState::Renewing, _) => {}
                // There is no token, and none to be had for now.
                (GrantState::Expired, Some(failure)) if report.refreshable => missing.push(format!(
                    "grant {grant}: expired, and its renewal fails: {}; {}",
                    failure.reason, failure.remedy
                )),
                // It is renewed when somebody asks.
                (GrantState::Expired, None) if report.refreshable => {}
                (other, _) => {
                    missing.push(format!("grant {grant}: {other}; run `bankside login {} {grant}`", bank.bank.name));
                }
            },
            Err(GrantError::Missing) => {
                missing.push(format!("grant {grant}: not there yet; run `bankside login {} {grant}`", bank.bank.name));
            }
            Err(error) => missing.push(format!("grant {grant}: {error}")),
        }
    }
    missing
}
