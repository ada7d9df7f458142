//! The way of a token: look, claim, ask the bank, keep, publish. It runs on the control thread, one attempt per grant.
//!
//! What must hold whatever fails: the intent is durable before the request leaves; the answer is durable before anyone
//! uses it; and a grant is over only when the bank said so to the newest refresh token that there is.

mod lease;
mod settle;

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::config::{GrantType, TokenEndpoint};
use crate::store::{Claim, Claimant, Grant, NewTokens, Standing, StoreError};
use crate::telemetry::RenewalOutcome;
use crate::words::{Timestamp, with_causes};

use super::answer::Given;
use super::backoff;
use super::client;
use super::failure::{Cause, Failure, judge};
use super::request::Exchange;
use super::slot::Slot;
use super::tokens::{Aim, Errand};
use super::{TokenError, Tokens};
use lease::Lease;

/// How long a lease lasts unless it is extended: after that, and a time of grace, a leader that died is replaced. One beat may
/// hang in the store and fail, and the next still comes in time.
pub(super) const HOLD: Duration = Duration::from_secs(8);
/// How often it is looked whether another leader is done.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long another process' attempt is waited for.
const OTHERS_PATIENCE: Duration = Duration::from_secs(30);
/// The longest that somebody who waits for a token is kept waiting for the turn to ask the bank.
const LONGEST_TURN: Duration = Duration::from_secs(5);
/// After a store's failure.
const STORE_WAIT: Duration = Duration::from_secs(1);
/// Two renewals of a grant ahead of its token's end are at least this far apart; a token that lasts no longer is renewed on
/// use.
const BETWEEN: Duration = Duration::from_secs(1);
/// After an answer without a token that can be used.
const USELESS_WAIT: Duration = Duration::from_secs(5);

impl Tokens {
    /// Sees to it that the slot has a valid token of a version above `older_than`.
    pub(super) async fn obtain(&self, slot: &Slot, errand: Errand) -> Result<(), TokenError> {
        let store = &self.parts.store;
        let (mut waited, mut paced) = (Duration::ZERO, errand.paced);
        loop {
            let grant = self.look_up(slot).await.map_err(|error| self.store_failed(slot, &error))?;
            if slot.newer(errand.older_than, self.parts.clock.now()).is_some() {
                return Ok(());
            }
            if errand.aim == Aim::Look {
                if waited > OTHERS_PATIENCE || grant.is_none_or(|grant| !grant.facts.leased) {
                    return Ok(());
                }
                sleep(LOOK_AGAIN).await;
                waited += LOOK_AGAIN;
                continue;
            }
            let version = self.renewable(slot, grant.as_ref(), errand.aim)?;
            let request = self.prepare(slot).await?;
            if !paced {
                // Before the claim, which is made only when the request can leave at once.
                let wait = self.pace.take(LONGEST_TURN);
                sleep(wait.map_err(TokenError::unavailable)?).await;
                paced = true;
            }
            let (claimant, asked) = (self.claimant(errand.aim == Aim::RenewNow), Instant::now());
            let claim = store.claim(&slot.key, version, &claimant).await;
            match claim.map_err(|error| self.store_failed(slot, &error))? {
                Claim::Led(grant) => {
                    if errand.aim == Aim::Replace {
                        slot.count_forced(self.parts.clock.now());
                    }
                    return self.lead(slot, *grant, &request, Lease::claimed(asked)).await;
                }
                Claim::Held { .. } if waited > OTHERS_PATIENCE => {
                    return Err(TokenError::unavailable(LOOK_AGAIN));
                }
                Claim::Held { remaining } => {
                    sleep(remaining.min(LOOK_AGAIN)).await;
                    waited += LOOK_AGAIN;
                }
                Claim::Waiting { remaining } => return Err(TokenError::unavailable(remaining)),
                // Another process was faster: the next look shows what it left.
                Claim::Newer(_) | Claim::Over | Claim::Missing => {}
            }
        }
    }

    /// What the store says of the grant, published here. Where no person is needed, one that does not open is like one
    /// without tokens.
    async fn look_up(&self, slot: &Slot) -> Result<Option<Grant>, StoreError> {
        let found = match self.parts.store.load(&slot.key).await {
            Err(error) if error.is_of_one_row() && self.needs_no_person() => {
                let facts = self.parts.store.facts(&slot.key).await?;
                return Ok(facts.map(|facts| Grant { facts, access: None, refresh: None }));
            }
            found => found?,
        };
        if let Some(grant) = &found {
            self.adopt(slot, grant);
        }
        Ok(found)
    }

    /// The version that a renewal starts from, if one is possible. For a grant that is over it is only if a person asks, or
    /// the configuration has changed: the bank may have refused the client, not the grant.
    fn renewable(&self, slot: &Slot, grant: Option<&Grant>, aim: Aim) -> Result<u64, TokenError> {
        match (&self.bank.grant_type, grant) {
            (GrantType::ClientCredentials(_), grant) => Ok(grant.map_or(0, |grant| grant.facts.version)),
            (GrantType::AuthorizationCode(_), Some(grant))
                if grant.refresh.is_some() && (grant.facts.standing == Standing::Active || aim == Aim::RenewNow) =>
            {
                Ok(grant.facts.version)
            }
            (_, Some(_)) => Err(TokenError::NeedsAuthorization),
            (_, None) => {
                slot.forget();
                Err(TokenError::NeedsAuthorization)
            }
        }
    }

    fn claimant(&self, despite_wait: bool) -> Claimant {
        Claimant { holder: self.holder.clone(), hold: HOLD, create: self.needs_no_person(), despite_wait }
    }

    /// Whether tokens are had without anybody's consent.
    pub(super) fn needs_no_person(&self) -> bool {
        matches!(self.bank.grant_type, GrantType::ClientCredentials(_))
    }

    /// What a request needs beside the grant, found before anything is claimed.
    async fn prepare(&self, slot: &Slot) -> Result<Prepared<'_>, TokenError> {
        let endpoint = self.bank.grant_type.token_endpoint().ok_or(TokenError::UnknownGrant)?;
        let client = client::find(endpoint, &*self.parts.store, &self.bank.name).await;
        let client = client.map_err(|error| self.store_failed(slot, &error))?.map_err(|lack| {
            let cause = Cause::no_client(lack);
            self.warn(slot, RenewalOutcome::NoClient, &cause.reason, STORE_WAIT);
            TokenError::Unavailable { retry_after: STORE_WAIT, cause: Some(cause) }
        })?;
        Ok(Prepared { endpoint, client })
    }

    /// Leads, and holds the lease until all is said and stored: what is at hand and cannot be stored yet is no reason for
    /// others to ask, too.
    async fn lead(&self, slot: &Slot, grant: Grant, prepared: &Prepared<'_>, lease: Lease) -> Result<(), TokenError> {
        tokio::select! {
            result = self.renew_under(&lease, slot, &grant, prepared) => result,
            () = self.hold_lease(slot, grant.facts.version, &lease) => Err(TokenError::unavailable(STORE_WAIT)),
        }
    }

    /// Asks the bank. This process leads, and the intent is durable.
    async fn renew_under(
        &self,
        lease: &Lease,
        slot: &Slot,
        grant: &Grant,
        prepared: &Prepared<'_>,
    ) -> Result<(), TokenError> {
        let (version, started) = (grant.facts.version, self.parts.clock.now());
        let exchange = match (&self.bank.grant_type, &grant.refresh) {
            (GrantType::ClientCredentials(_), _) => Exchange::ClientCredentials(self.bank.scopes(&slot.key.grant)),
            (_, Some(refresh)) => Exchange::Refresh(refresh),
            (_, None) => return Err(TokenError::NeedsAuthorization),
        };
        let by_refresh = matches!(exchange, Exchange::Refresh(_));
        let departs = |departs| lease.departs(departs);
        let called = tokio::select! {
            biased;
            () = lease.lost_before_departure() => return self.step_back(slot, grant).await,
            called = self.ask_for_token(prepared.endpoint, &prepared.client, &exchange, &departs) => called,
        };
        lease.note_answer();
        match judge(called, &prepared.endpoint.client_auth, by_refresh, self.parts.clock.now()) {
            Ok(mut given) => {
                // The one that was sent stays good. What stands in the row may be another one by now.
                given.refresh = given.refresh.or_else(|| grant.refresh.clone());
                let refreshable = !by_refresh || given.refresh.is_some();
                let tokens = self.new_tokens(given, started, refreshable);
                self.keep(slot, &grant.facts, tokens).await
            }
            Err(Failure::Over) => self.end(slot, &grant.facts).await,
            Err(Failure::Later { unanswered, retry_after, cause }) => {
                let took = self.parts.clock.now().since(started);
                let chance = self.parts.random.fraction();
                let wait = backoff::wait(grant.facts.failures, took, retry_after, chance);
                let undecided = unanswered || grant.facts.sent_at.is_some();
                let outcome = if undecided { RenewalOutcome::UnknownOutcome } else { RenewalOutcome::NotNow };
                self.warn(slot, outcome, &cause.reason, wait);
                let postponed = self.parts.store.postpone(&slot.key, version, &self.holder, wait, undecided).await;
                postponed.map_err(|error| self.store_failed(slot, &error).after(wait.max(STORE_WAIT)))?;
                Err(TokenError::Unavailable { retry_after: wait, cause: Some(cause) })
            }
        }
    }

    /// Leaves the renewal to whoever leads by now, or to the next try: nothing has left.
    async fn step_back(&self, slot: &Slot, grant: &Grant) -> Result<(), TokenError> {
        let (version, undecided) = (grant.facts.version, grant.facts.sent_at.is_some());
        let postponed = self.parts.store.postpone(&slot.key, version, &self.holder, STORE_WAIT, undecided).await;
        postponed.map_err(|error| self.store_failed(slot, &error))?;
        Err(TokenError::unavailable(STORE_WAIT))
    }

    /// Tokens as they are kept. Their life is counted from before the request left, so that none is thought to live
    /// longer than it does.
    pub(super) fn new_tokens(&self, given: Given, started: Timestamp, refreshable: bool) -> NewTokens {
        // A refresh token without an access token is worth keeping, and is used at once.
        let life = if given.access.is_some() { given.life } else { Some(Duration::ZERO) };
        let expires_at = life.map(|life| started.plus(life));
        let chance = self.parts.random.fraction();
        let renew_at = expires_at.map(|end| backoff::renew_at(started, end, self.bank.renewal.at, chance));
        // Tokens that are of no use, or do not live as long as the call for them, must not make a storm of calls.
        let renew_at = renew_at.map(|at| at.max(started.plus(BETWEEN)));
        NewTokens {
            access: given.access,
            refresh: given.refresh,
            scopes: given.scopes,
            issued_at: started,
            expires_at,
            renew_at: renew_at.filter(|_| refreshable),
            certificate: self.parts.certificate.clone(),
        }
    }

    fn warn(&self, slot: &Slot, outcome: RenewalOutcome, reason: &str, retry_after: Duration) {
        self.parts.metrics.renewal(outcome);
        let (bank, grant) = (&self.bank.name, &slot.key.grant);
        let retry_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        warn!(%bank, %grant, outcome = outcome.name(), reason, retry_ms, "token");
    }

    fn store_failed(&self, slot: &Slot, error: &StoreError) -> TokenError {
        self.warn(slot, RenewalOutcome::Store, &with_causes(error), STORE_WAIT);
        TokenError::Store { retry_after: STORE_WAIT }
    }
}

/// What a request is made of, beside the grant.
struct Prepared<'a> {
    endpoint: &'a TokenEndpoint,
    client: client::Client,
}
