//! A configuration that is ready to be served: its identities are read, fit, and are those of this time.

use std::path::Path;
use std::sync::Arc;

use crate::config::{Bank, BankConnection, ClientAuth, Config, NextIdentity, Problem, Problems, Reading, Severity};
use crate::upstream::TlsClient;
use crate::words::Timestamp;

/// A valid configuration with what connects to its banks.
#[derive(Clone)]
pub(super) struct Checked {
    /// An identity whose successor's time has come is replaced in it.
    pub(super) config: Arc<Config>,
    /// In the order of the configuration's banks.
    pub(super) tls: Vec<Arc<TlsClient>>,
    /// What somebody should know although it works.
    pub(super) findings: Vec<Problem>,
}

impl Checked {
    /// Makes a reading ready to serve. If the configuration has problems, those of its identities come with them; what would
    /// keep nothing from running, as warnings.
    pub(super) fn of(reading: Reading, now: Timestamp, file: &Path) -> Result<Self, Problems> {
        reading.outcome.and_then(|config| Self::new(config, now)).map_err(|Problems(mut problems)| {
            problems.extend(reading.connections.iter().flat_map(|connection| problems_with(connection, now)));
            Problems::in_order(problems, file)
        })
    }

    /// Reads the identities of this time, and those that follow: one that cannot follow is a problem today.
    pub(super) fn new(mut config: Config, now: Timestamp) -> Result<Self, Problems> {
        let (mut problems, mut warnings, mut tls) = (Vec::new(), config.warnings.clone(), Vec::new());
        for bank in &mut config.banks {
            take_due_identity(bank, now);
            let client = TlsClient::build(bank, &mut warnings).map(Arc::new);
            if let Some(next) = next_identity(bank) {
                problems.extend(check_next(bank, next, client.as_deref().ok(), &mut warnings));
            }
            match client {
                Ok(client) => tls.push(client),
                Err(found) => problems.extend(found),
            }
        }
        let identities = tls.iter().filter_map(|client| client.identity());
        warnings.extend(identities.flat_map(|identity| identity.problems_at(now)));
        if !problems.is_empty() {
            problems.extend(as_warnings(warnings));
            return Err(Problems::each_once(problems));
        }
        Ok(Self { config: Arc::new(config), tls, findings: Problems::each_once(warnings).0 })
    }

    /// The banks with what connects to them.
    pub(super) fn banks(&self) -> impl Iterator<Item = (&Arc<Bank>, &Arc<TlsClient>)> {
        self.config.banks.iter().zip(&self.tls)
    }

    /// When the first of the identities that follow is to be used.
    pub(super) fn next_switch(&self) -> Option<Timestamp> {
        self.config.banks.iter().filter_map(|bank| next_identity(bank)).map(|next| next.from).min()
    }

    /// Why banks would be worse off with this in the place of `former`: a certificate that is over, or not valid yet,
    /// where there is one that the bank takes. At the start there is no better one, and the bank decides.
    pub(super) fn worsens(&self, former: &Self, now: Timestamp) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (bank, tls) in self.banks() {
            let (Some(identity), Some(had)) = (tls.identity(), former.tls_of(bank).and_then(|tls| tls.identity()))
            else {
                continue;
            };
            let is_other = identity.leaf_fingerprint() != had.leaf_fingerprint();
            if is_other && errors(had.problems_at(now)).is_empty() {
                problems.extend(errors(identity.problems_at(now)));
            }
        }
        Problems::each_once(problems).0
    }

    /// Takes over what connects to banks that `former` reaches in the same way: their connections need not be made anew.
    pub(super) fn keep(&mut self, former: &Self) {
        for (bank, tls) in self.config.banks.iter().zip(&mut self.tls) {
            if let Some(kept) = former.tls_of(bank).filter(|kept| kept.is_like(tls)) {
                *tls = Arc::clone(kept);
            }
        }
    }

    fn tls_of(&self, bank: &Bank) -> Option<&Arc<TlsClient>> {
        self.banks().find(|(other, _)| other.name == bank.name).map(|(_, tls)| tls)
    }
}

/// Why no connection could be made, and, as warnings, what `check` takes for errors of the identities of this time and the
/// next one.
fn problems_with(BankConnection { tls, identity }: &BankConnection, now: Timestamp) -> Vec<Problem> {
    let identity = identity.as_ref().filter(|_| tls.client_certificate).map(|identity| identity.at(now));
    let next = identity.and_then(|identity| identity.next.as_deref());
    let of = |identity, at| match TlsClient::new(tls, identity, &mut Vec::new()) {
        Ok(client) => client.identity().map(|identity| as_warnings(identity.problems_at(at))).unwrap_or_default(),
        Err(problems) => problems,
    };
    let of_next = next.map(|next| of(Some(&next.identity), next.from)).unwrap_or_default();
    of(identity, now).into_iter().chain(of_next).collect()
}

/// Replaces the bank's identity if its successor's time has come.
fn take_due_identity(bank: &mut Arc<Bank>, now: Timestamp) {
    let due = bank.identity.as_ref().filter(|identity| !std::ptr::eq(identity.at(now), *identity));
    if let Some(identity) = due.map(|identity| identity.at(now).clone()) {
        *bank = Arc::new(Bank { identity: Some(identity), ..Bank::clone(bank) });
    }
}

/// What follows the identity that the bank is shown.
fn next_identity(bank: &Bank) -> Option<&NextIdentity> {
    bank.identity.as_ref().filter(|_| bank.tls.client_certificate)?.next.as_deref()
}

/// Why it cannot be used, or will not be valid when its time comes.
fn check_next(
    bank: &Bank,
    next: &NextIdentity,
    present: Option<&TlsClient>,
    warnings: &mut Vec<Problem>,
) -> Vec<Problem> {
    let client = match TlsClient::new(&bank.tls, Some(&next.identity), warnings) {
        Ok(client) => client,
        Err(problems) => return problems,
    };
    warnings.extend(present.and_then(|present| key_id_that_stays(bank, next, present, &client)));
    let then = client.identity().map(|identity| identity.problems_at(next.from)).unwrap_or_default();
    errors(then).into_iter().chain(client.assertion_problem(bank)).collect()
}

/// A warning where `oauth.kid`, which is set for the present key, would name the next one too.
fn key_id_that_stays(bank: &Bank, next: &NextIdentity, present: &TlsClient, then: &TlsClient) -> Option<Problem> {
    let ClientAuth::PrivateKeyJwt(assertion) = &bank.grant_type.token_endpoint()?.client_auth else { return None };
    let key_id = assertion.key_id.as_deref()?;
    let key = |client: &TlsClient| client.identity().and_then(|identity| identity.facts().jwk_thumbprint());
    if key(present) == key(then) {
        return None;
    }
    let reason = format!("its key is another one, and {} would still be told oauth.kid = {key_id:?}", bank.name);
    let remedy = "leave oauth.kid out, so that the thumbprint names the key, or change it when this identity comes";
    Some(Problem::warning(&next.identity.place, reason, remedy))
}

fn errors(problems: Vec<Problem>) -> Vec<Problem> {
    problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect()
}

/// The errors among them, as warnings.
fn as_warnings(problems: Vec<Problem>) -> Vec<Problem> {
    errors(problems).into_iter().map(|problem| Problem { severity: Severity::Warning, ..problem }).collect()
}
