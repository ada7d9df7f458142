//! Grants as people handle them: listed, imported, renewed and removed, with or without a running sidecar.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;

use crate::config::GrantType;
use crate::store::{Facts, Grant, Standing, StoreError};
use crate::words::{GrantName, Secret, Timestamp};

use super::renewal::LOOK_AGAIN;
use super::revocation::Removal;
use super::tokens::{Aim, Errand};
use super::{GrantReport, GrantState, LastFailure, TokenError, Tokens, answer};

/// How long a person waits for a renewal: longer than any call takes, and than a dead leader's lease.
const PATIENCE: Duration = Duration::from_secs(30);

/// A grant's tokens, for a person who insists.
#[derive(Clone, Debug)]
pub struct Revealed {
    /// The access token.
    pub access_token: Option<Secret>,
    /// The refresh token.
    pub refresh_token: Option<Secret>,
}

/// Why a command about a grant did not work. No secret is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// There is no such grant.
    #[error("there is no such grant")]
    Missing,
    /// Tokens of this bank are given by the configuration.
    #[error("this bank's tokens stand in its configuration")]
    Fixed,
    /// What was to be imported is no token response.
    #[error("this is no token response (RFC 6749, section 5.1): {0}")]
    Import(&'static str),
    /// The bank did not give a token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The bank did not revoke the grant, so it was kept.
    #[error("the bank did not revoke the grant ({0}), so it was kept; `--local` forgets it without asking the bank")]
    NotRevoked(String),
    /// A person gave the grant anew while the former one was revoked.
    #[error("the grant was given anew meanwhile; the former one is gone, and the new one stays")]
    GivenAnew,
    /// The store failed.
    #[error("the store of grants failed")]
    Store(#[from] StoreError),
}

impl Tokens {
    /// The bank's grants in the order of their names, with those that the configuration names.
    pub async fn list(&self) -> Result<Vec<GrantReport>, GrantError> {
        let mut reports: BTreeMap<_, _> =
            self.configured().into_iter().map(|grant| (grant.clone(), self.unused(&grant))).collect();
        if !self.is_fixed() {
            for facts in self.parts.store.list(&self.bank.name).await? {
                reports.insert(facts.key.grant.clone(), self.report(facts));
            }
        }
        Ok(reports.into_values().collect())
    }

    /// How many grants are in each state, with those that the configuration names and nobody has yet; and when the first
    /// consent is foretold to end. However many there are, none is looked at by itself.
    pub async fn count(&self) -> Result<(BTreeMap<GrantState, u64>, Option<Timestamp>), GrantError> {
        let mut counts: BTreeMap<GrantState, u64> = GrantState::ALL.into_iter().map(|state| (state, 0)).collect();
        let mut add = |state, more| *counts.entry(state).or_default() += more;
        if let GrantType::Fixed(tokens) = &self.bank.grant_type {
            add(GrantState::Active, tokens.len() as u64);
            return Ok((counts, None));
        }
        let by_person = self.bank.grant_type.authorization_code().is_some();
        let tallies = self.parts.store.tally(&self.bank.name).await?;
        for tally in &tallies {
            add(GrantState::of_all(tally), tally.count);
        }
        let named = if by_person { self.bank.required_grants() } else { self.configured().into_iter().collect() };
        for grant in named.into_iter().chain(self.bank.grants.keys().cloned()).collect::<BTreeSet<_>>() {
            let is_there = match self.parts.store.facts(&self.key(&grant)).await {
                // It is counted as far as it is understood.
                Err(error) if error.is_of_one_row() => true,
                facts => facts?.is_some(),
            };
            if !is_there {
                add(if by_person { GrantState::NeedsAuthorization } else { GrantState::Expired }, 1);
            }
        }
        let first = tallies.iter().filter_map(|tally| tally.first_consent).min();
        Ok((counts, first.zip(self.bank.consent_life()).map(|(start, life)| start.plus(life))))
    }

    /// What is known of one grant.
    pub async fn show(&self, grant: &GrantName) -> Result<GrantReport, GrantError> {
        let stored = if self.is_fixed() { None } else { self.parts.store.load(&self.key(grant)).await? };
        match stored {
            Some(stored) => Ok(self.report(stored.facts)),
            None if self.configured().contains(grant) => Ok(self.unused(grant)),
            None => Err(GrantError::Missing),
        }
    }

    /// The grant's tokens themselves.
    pub async fn reveal(&self, grant: &GrantName) -> Result<Revealed, GrantError> {
        if let GrantType::Fixed(tokens) = &self.bank.grant_type {
            let token = tokens.get(grant).ok_or(GrantError::Missing)?;
            return Ok(Revealed { access_token: Some(token.clone()), refresh_token: None });
        }
        let stored = self.stored(grant).await?;
        Ok(Revealed { access_token: stored.access, refresh_token: stored.refresh })
    }

    /// Takes a JSON token response (RFC 6749, section 5.1) over as a grant. A refresh token alone will do.
    pub async fn import(&self, grant: &GrantName, response: &[u8]) -> Result<GrantReport, GrantError> {
        self.changeable(grant)?;
        let mut given = answer::given(response).map_err(GrantError::Import)?;
        let former = self.consented_at(grant).await?;
        given.scopes = given.scopes.or_else(|| Some(self.bank.scopes(grant).to_vec()));
        let refreshable = given.refresh.is_some();
        let tokens = self.marked(grant, self.new_tokens(given, self.parts.clock.now(), refreshable));
        // What is imported twice may be spent by then: so it is offered until the store has it.
        let kept = self.keep_given(grant, tokens, former).await?;
        info!(bank = %self.bank.name, %grant, outcome = "imported", "token");
        match kept {
            Some(kept) => Ok(self.report(kept.facts)),
            None => self.show(grant).await,
        }
    }

    /// Renews the grant whether it is due or not.
    pub async fn renew(self: &Arc<Self>, grant: &GrantName) -> Result<GrantReport, GrantError> {
        self.changeable(grant)?;
        let slot = self.slot(grant)?;
        let version = match self.stored(grant).await {
            Ok(stored) => stored.facts.version,
            Err(GrantError::Missing) if self.needs_no_person() => 0,
            Err(GrantError::Store(error)) if error.is_of_one_row() && self.needs_no_person() => {
                self.facts(grant).await?.version
            }
            Err(error) => return Err(error),
        };
        let errand = Errand { older_than: version, aim: Aim::RenewNow, paced: false };
        self.attempt(&slot, errand, Instant::now() + PATIENCE).await?;
        self.show(grant).await
    }

    /// Revokes the grant at the bank where the bank can do that (unless `local`), and forgets it. A renewal that is under way
    /// comes first. What has begun ends, even if this future is dropped.
    pub async fn remove(self: &Arc<Self>, grant: &GrantName, local: bool) -> Result<Removal, GrantError> {
        self.changeable(grant)?;
        let (tokens, grant) = (Arc::clone(self), grant.clone());
        self.parts.on_control(async move { tokens.revoke_and_forget(&grant, local).await }).await
    }

    async fn revoke_and_forget(self: &Arc<Self>, grant: &GrantName, local: bool) -> Result<Removal, GrantError> {
        let consent_at = self.facts(grant).await?.consent_at;
        let removal = loop {
            // What is only forgotten need not open.
            let stored = if local { None } else { Some(self.at_rest(grant).await?) };
            let facts = match &stored {
                Some(stored) => stored.facts.clone(),
                None => self.facts(grant).await?,
            };
            // What a person has given meanwhile is not what was to be removed, and nobody else has it.
            if facts.consent_at != consent_at {
                return Err(GrantError::GivenAnew);
            }
            let removal = if local { Removal::Local } else { self.removal(&facts) };
            let is_active = |stored: &Grant| removal == Removal::Ended && stored.facts.standing == Standing::Active;
            let version = match stored.filter(is_active) {
                Some(stored) => self.revoke(&stored).await?,
                None => facts.version,
            };
            if self.parts.store.remove(&self.key(grant), version).await? {
                break removal;
            }
        };
        if let Some(slot) = self.slots.get(grant) {
            slot.forget();
        }
        info!(bank = %self.bank.name, %grant, outcome = "removed", "token");
        Ok(removal)
    }

    /// The grant when nobody is renewing it: a refresh token that a renewal uses up cannot revoke what comes of it.
    async fn at_rest(&self, grant: &GrantName) -> Result<Grant, GrantError> {
        let begin = Instant::now();
        loop {
            let stored = self.stored(grant).await?;
            if !stored.facts.leased || begin.elapsed() > PATIENCE {
                return Ok(stored);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn stored(&self, grant: &GrantName) -> Result<Grant, GrantError> {
        self.parts.store.load(&self.key(grant)).await?.ok_or(GrantError::Missing)
    }

    async fn facts(&self, grant: &GrantName) -> Result<Facts, GrantError> {
        self.parts.store.facts(&self.key(grant)).await?.ok_or(GrantError::Missing)
    }

    fn changeable(&self, grant: &GrantName) -> Result<(), GrantError> {
        if self.is_fixed() {
            return Err(GrantError::Fixed);
        }
        if self.is_known(grant) { Ok(()) } else { Err(GrantError::Missing) }
    }

    /// The grants that are there without anybody's doing.
    fn configured(&self) -> Vec<GrantName> {
        match &self.bank.grant_type {
            GrantType::AuthorizationCode(_) => Vec::new(),
            GrantType::ClientCredentials(_) => {
                std::iter::once(GrantName::default()).chain(self.bank.grants.keys().cloned()).collect()
            }
            GrantType::Fixed(tokens) => tokens.keys().cloned().collect(),
        }
    }

    /// The report of a grant that the configuration gives and the store does not know.
    fn unused(&self, grant: &GrantName) -> GrantReport {
        GrantReport {
            bank: self.bank.name.clone(),
            grant: grant.clone(),
            state: if self.is_fixed() { GrantState::Active } else { GrantState::Expired },
            refreshable: !self.is_fixed(),
            scopes: self.bank.scopes(grant).to_vec(),
            issued_at: None,
            expires_at: None,
            consent_until: None,
            last_failure: self.last_failure(grant),
        }
    }

    /// What this process knows of a renewal that failed. Where a person is needed, the state says so.
    fn last_failure(&self, grant: &GrantName) -> Option<LastFailure> {
        let (retry_at, error) = self.slots.get(grant)?.last_failure()?;
        let (reason, remedy) = match &error {
            TokenError::Unavailable { cause: Some(cause), .. } => (cause.reason.clone(), cause.remedy),
            TokenError::Store { .. } => (error.to_string(), TokenError::STORE_REMEDY),
            _ => return None,
        };
        Some(LastFailure { reason, remedy, retry_at })
    }

    fn report(&self, facts: Facts) -> GrantReport {
        let by_person = self.bank.grant_type.authorization_code().is_some();
        GrantReport {
            state: GrantState::of(&facts, self.parts.clock.now()),
            refreshable: facts.refreshable || !by_person,
            issued_at: (facts.standing != Standing::Empty).then_some(facts.issued_at),
            expires_at: facts.expires_at,
            consent_until: facts.consent_at.zip(self.bank.consent_life()).map(|(start, life)| start.plus(life)),
            last_failure: self.last_failure(&facts.key.grant),
            scopes: facts.scopes,
            bank: facts.key.bank,
            grant: facts.key.grant,
        }
    }
}
