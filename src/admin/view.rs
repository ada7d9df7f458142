//! What there is to tell of the banks at one moment, for the page, the API and the metrics alike.

use std::time::Duration;

use serde_json::{Value, json};

use crate::config::{Bank, GrantType, Listen};
use crate::oauth::{GrantReport, GrantState};
use crate::telemetry::{Reach, Standing};
use crate::words::{BankName, GrantName, Timestamp, with_causes};

use super::server::{AdminBank, AdminState};
use super::{callback, health};

/// One bank.
pub(super) struct BankView {
    pub(super) name: BankName,
    pub(super) title: String,
    /// Where apps reach it.
    pub(super) listens: Vec<String>,
    pub(super) base_url: String,
    pub(super) grant_type: &'static str,
    /// Whether the browser comes back to this listener after a login.
    pub(super) ends_here: bool,
    /// Whether the bank is told when a grant is removed.
    pub(super) revokes: bool,
    /// What keeps it from being ready, and what to do about it.
    pub(super) missing: Vec<String>,
    pub(super) reach: Reach,
    /// By how many seconds this machine's clock is ahead of the bank's, as far as a token endpoint's answer told.
    pub(super) clock_ahead: Option<i64>,
    /// How many connections to its API are open.
    pub(super) connections: u64,
    pub(super) certificate: Option<CertificateView>,
    /// Why they cannot be told, where the store fails.
    pub(super) grants: Result<Vec<GrantReport>, String>,
}

/// The certificate that a bank is shown.
pub(super) struct CertificateView {
    pub(super) facts: crate::certificate::Facts,
    pub(super) days_left: i64,
    /// What a bank may not like about it at this time, with what to do.
    pub(super) findings: Vec<String>,
}

/// All banks, in the order of the configuration.
pub(super) async fn banks(state: &AdminState) -> Vec<BankView> {
    let mut views = Vec::new();
    for bank in state.banks() {
        views.push(view(&bank, state).await);
    }
    views
}

/// All banks as the metrics have them: nobody looks at each grant for these.
pub(super) async fn standings(state: &AdminState) -> Vec<Standing> {
    let mut standings = Vec::new();
    for admin in state.banks() {
        let counted = admin.tokens.count().await.ok();
        let (counts, consent_end) = counted.map_or((Vec::new(), None), |(counts, consent_end)| {
            (counts.into_iter().map(|(state, count)| (state.name(), count)).collect(), consent_end)
        });
        standings.push(Standing {
            bank: admin.bank.name.clone(),
            ready: health::missing(&admin, state).await.is_empty(),
            grants: counts,
            consent_end: consent_end.map(Timestamp::seconds),
            certificate_end: admin.tls.identity().map(|identity| identity.facts().not_after.seconds()),
        });
    }
    standings
}

async fn view(admin: &AdminBank, state: &AdminState) -> BankView {
    let (bank, metrics) = (&admin.bank, state.metrics.bank(&admin.bank.name));
    BankView {
        name: bank.name.clone(),
        title: bank.title.clone(),
        listens: admin.listens.clone(),
        base_url: bank.base_url.to_string(),
        grant_type: grant_type(bank),
        ends_here: ends_here(bank, &state.listen),
        revokes: bank.grant_type.is_revocable(),
        missing: health::missing(admin, state).await,
        reach: metrics.reach(),
        clock_ahead: metrics.clock_ahead(),
        connections: metrics.open_connections(),
        certificate: certificate(admin, state.clock.now()),
        grants: admin
            .tokens
            .list()
            .await
            .map(|grants| with_required(bank, grants))
            .map_err(|error| with_causes(&error)),
    }
}

/// With the grants that somebody has to authorize yet, since the configuration speaks of them.
fn with_required(bank: &Bank, mut grants: Vec<GrantReport>) -> Vec<GrantReport> {
    if !matches!(bank.grant_type, GrantType::AuthorizationCode(_)) {
        return grants;
    }
    let mut wanted = bank.required_grants();
    wanted.extend(bank.grants.keys().cloned());
    for grant in wanted {
        if !grants.iter().any(|known| known.grant == grant) {
            grants.push(not_there_yet(bank, grant));
        }
    }
    grants.sort_by(|one, other| one.grant.cmp(&other.grant));
    grants
}

fn not_there_yet(bank: &Bank, grant: GrantName) -> GrantReport {
    GrantReport {
        bank: bank.name.clone(),
        state: GrantState::NeedsAuthorization,
        refreshable: false,
        scopes: bank.scopes(&grant).to_vec(),
        issued_at: None,
        expires_at: None,
        consent_until: None,
        last_failure: None,
        grant,
    }
}

fn grant_type(bank: &Bank) -> &'static str {
    match bank.grant_type {
        GrantType::AuthorizationCode(_) => "authorization_code",
        GrantType::ClientCredentials(_) => "client_credentials",
        GrantType::Fixed(_) => "fixed",
    }
}

fn ends_here(bank: &Bank, listen: &Listen) -> bool {
    matches!(&bank.grant_type, GrantType::AuthorizationCode(code) if callback::leads_to(&code.redirect_uri, listen))
}

fn certificate(admin: &AdminBank, now: Timestamp) -> Option<CertificateView> {
    let identity = admin.tls.identity()?;
    let findings = identity.problems_at(now).into_iter().chain(admin.tls.missing_roles(&admin.bank));
    Some(CertificateView {
        facts: identity.facts().clone(),
        days_left: identity.facts().days_left(now),
        findings: findings.map(|problem| format!("{}; {}", problem.reason, problem.remedy)).collect(),
    })
}

impl BankView {
    /// The API's form.
    pub(super) fn json(&self) -> Value {
        json!({
            "bank": self.name.as_str(),
            "title": self.title,
            "ready": self.missing.is_empty(),
            "missing": self.missing,
            "listen": self.listens,
            "base_url": self.base_url,
            "grant_type": self.grant_type,
            "callback_ends_here": self.ends_here,
            "reachability": reach(&self.reach, self.connections),
            "clock_ahead_seconds": self.clock_ahead,
            "certificate": self.certificate.as_ref().map(CertificateView::json),
            "grants": self.grants.as_ref().map(|grants| grants.iter().map(GrantReport::json).collect::<Vec<_>>()).ok(),
        })
    }
}

fn reach(reach: &Reach, connections: u64) -> Value {
    let (state, ago, reason) = match reach {
        Reach::Untried => ("untried", None, None),
        Reach::Reached(ago) => ("reached", Some(ago), None),
        Reach::Failed { ago, reason } => ("failed", Some(ago), Some(reason)),
    };
    json!({
        "last": state,
        "seconds_ago": ago.map(Duration::as_secs),
        "reason": reason,
        "connections": connections,
    })
}

impl CertificateView {
    fn json(&self) -> Value {
        let facts = &self.facts;
        json!({
            "subject": facts.subject,
            "organization": facts.organization,
            "organization_identifier": facts.organization_identifier,
            "roles": facts.roles.iter().map(|role| role.name()).collect::<Vec<_>>(),
            "nca_id": facts.nca_id,
            "nca_name": facts.nca_name,
            "issuer": facts.issuer,
            "not_before": facts.not_before.to_string(),
            "not_after": facts.not_after.to_string(),
            "days_left": self.days_left,
            "findings": self.findings,
        })
    }
}
