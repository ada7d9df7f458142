//! The end of a renewal: what the bank said is kept, and then given out.

use tracing::info;

use crate::config::GrantType;
use crate::oauth::keep::keep;
use crate::oauth::slot::Slot;
use crate::oauth::{TokenError, Tokens};
use crate::store::{Facts, NewTokens, Settled, Standing};
use crate::telemetry::RenewalOutcome;

use super::{STORE_WAIT, USELESS_WAIT};

impl Tokens {
    /// Keeps the bank's answer, however long the store takes to recover: it exists nowhere else.
    pub(super) async fn keep(&self, slot: &Slot, renewed: &Facts, mut tokens: NewTokens) -> Result<(), TokenError> {
        if let GrantType::ClientCredentials(_) = self.bank.grant_type {
            tokens.scopes = tokens.scopes.or_else(|| Some(self.bank.scopes(&slot.key.grant).to_vec()));
        }
        let tokens = self.marked(&slot.key.grant, tokens);
        let (version, consent_at) = (renewed.version, renewed.consent_at);
        let put = || self.parts.store.complete(&slot.key, version, consent_at, tokens.clone());
        let settled = keep(put, |error| {
            self.store_failed(slot, error);
            slot.set_unstored();
        });
        let settled = settled.await.map_err(|_| TokenError::Store { retry_after: STORE_WAIT })?;
        self.publish(slot, settled, RenewalOutcome::Renewed)
    }

    /// The bank said that the grant is over: so it is, unless the row is newer than what we asked with, or another consent.
    pub(super) async fn end(&self, slot: &Slot, renewed: &Facts) -> Result<(), TokenError> {
        let settled = self.parts.store.end(&slot.key, renewed.version, renewed.consent_at).await;
        // The bank would say it again each time that it is asked.
        let settled = settled.map_err(|error| self.store_failed(slot, &error).after(USELESS_WAIT))?;
        self.publish(slot, settled, RenewalOutcome::Over)
    }

    fn publish(&self, slot: &Slot, settled: Settled, outcome: RenewalOutcome) -> Result<(), TokenError> {
        let (grant, outcome) = match settled {
            Settled::Stored(grant) => {
                slot.adopt_stored(&grant);
                (grant, outcome)
            }
            Settled::Newer(grant) => {
                self.adopt(slot, &grant);
                (grant, RenewalOutcome::Superseded)
            }
            Settled::Unopened => {
                let reason = "what has taken its place in the store does not open here";
                self.warn(slot, RenewalOutcome::Superseded, reason, STORE_WAIT);
                return Err(TokenError::Store { retry_after: STORE_WAIT });
            }
            Settled::Missing => {
                slot.forget();
                return Err(TokenError::NeedsAuthorization);
            }
        };
        self.parts.metrics.renewal(outcome);
        let (bank, name) = (&slot.key.bank, &slot.key.grant);
        let expires_at = grant.facts.expires_at.map(|end| end.to_string());
        info!(%bank, grant = %name, outcome = outcome.name(), version = grant.facts.version, expires_at, "token");
        match grant.facts.standing {
            Standing::Over => Err(TokenError::NeedsAuthorization),
            _ if slot.token(self.parts.clock.now()).is_some() => Ok(()),
            _ => Err(TokenError::unavailable(USELESS_WAIT)),
        }
    }
}
