//! Whether the sidecar lives, and whether each bank can be used.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;

use crate::oauth::{GrantError, GrantReport, GrantState};
use crate::words::Timestamp;

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
            Ok(report) => missing.extend(lack(&report, now)),
            Err(GrantError::Missing) => {
                missing.push(format!("grant {grant}: not there yet; run `bankside login {} {grant}`", bank.bank.name));
            }
            Err(error) => missing.push(format!("grant {grant}: {error}")),
        }
    }
    missing
}

/// What keeps a grant from being used, and what to do; `None` if it can be.
fn lack(report: &GrantReport, now: Timestamp) -> Option<String> {
    let (bank, grant, state) = (&report.bank, &report.grant, report.state);
    let is_valid = report.issued_at.is_some() && report.expires_at.is_none_or(|end| end > now);
    match (state, &report.last_failure) {
        // Whatever becomes of a renewal, the token that is here serves until its end.
        (GrantState::Active, _) => None,
        (GrantState::Renewing | GrantState::UnknownOutcome, _) if is_valid => None,
        // There is no token, and none to be had for now.
        (GrantState::Expired | GrantState::Renewing | GrantState::UnknownOutcome, Some(failure))
            if report.refreshable =>
        {
            Some(format!("grant {grant}: {state}, and its renewal fails: {}; {}", failure.reason, failure.remedy))
        }
        // It is renewed when somebody asks, or by now.
        (GrantState::Expired | GrantState::Renewing, None) if report.refreshable => None,
        (GrantState::UnknownOutcome, _) => {
            Some(format!("grant {grant}: {state}; the next renewal, within seconds, tells whether it lives"))
        }
        _ => Some(format!("grant {grant}: {state}; run `bankside login {bank} {grant}`")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::oauth::LastFailure;

    #[test]
    fn a_token_that_is_valid_serves_whatever_becomes_of_its_renewal() {
        let now = Timestamp::from_millis(1_000_000_000);
        let (later, before) = (now.plus(Duration::from_mins(1)), Timestamp::from_millis(1));
        let failure = LastFailure { reason: "it answered 500".into(), remedy: "Wait", retry_at: later };
        let lack = |state, end, failed: bool| {
            let report = GrantReport {
                bank: "examplebank".parse().unwrap(),
                grant: "default".parse().unwrap(),
                state,
                refreshable: true,
                scopes: Vec::new(),
                issued_at: Some(before),
                expires_at: Some(end),
                consent_until: None,
                last_failure: failed.then(|| failure.clone()),
            };
            lack(&report, now)
        };
        for state in [GrantState::Renewing, GrantState::UnknownOutcome] {
            assert_eq!(lack(state, later, true), None, "{state}");
            assert_eq!(lack(state, later, false), None, "{state}");
            assert!(lack(state, before, true).unwrap().contains("it answered 500"), "{state}");
        }
        assert_eq!(lack(GrantState::Renewing, before, false), None, "it is on its way");
        assert_eq!(lack(GrantState::Expired, before, false), None, "it is renewed on use");
        assert!(lack(GrantState::Expired, before, true).unwrap().contains("it answered 500"));
        assert!(lack(GrantState::UnknownOutcome, before, false).unwrap().contains("the next renewal"));
        assert!(lack(GrantState::NeedsAuthorization, later, false).unwrap().contains("bankside login examplebank"));
    }
}
