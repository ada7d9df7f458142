//! The end of a login: what is looked up before anything is spent, the exchange of the code, and what is kept of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::AuthorizationCode;
use crate::oauth::answer::{self, Refusal};
use crate::oauth::callback::{Callback, hash};
use crate::oauth::client::Client;
use crate::oauth::keep::keep;
use crate::oauth::request::Exchange;
use crate::oauth::{CallAnswer, Tokens};
use crate::store::{Answer, Attempt, Grant, NewTokens, StoreError};
use crate::words::{GrantName, Secret, Timestamp, with_causes};

use super::LoginError;

/// How often a code is sent that nobody has looked at, and an attempt taken whose answer did not come.
const TRIES: u32 = 4;
/// Between such tries.
const AGAIN: Duration = Duration::from_millis(500);
/// Between tries where the endpoint has no time: what it asks for, within these. A code lasts a minute or so.
const BUSY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// What the exchange of a code needs of the store.
struct Ready {
    client: Client,
    /// When a person consented to the grant that the new one replaces.
    former: Option<Timestamp>,
}

impl Tokens {
    pub(super) async fn finish(&self, callback: Callback) -> Result<GrantName, LoginError> {
        let code = self.by_code()?;
        let state_hash = match (&callback.state, &callback.outcome) {
            (None, Err(error)) => return Err(LoginError::DeniedWithoutState { error: error.clone() }),
            (None, Ok(_)) => return Err(LoginError::UnknownState),
            (Some(state), _) => hash(state),
        };
        let store = &self.parts.store;
        let attempt = store.attempt(&self.bank.name, &state_hash).await?.ok_or(LoginError::UnknownState)?;
        let (bank, grant) = (&self.bank.name, &attempt.grant);
        let failed = |error: &LoginError| {
            self.parts.metrics.login(false);
            warn!(%bank, %grant, outcome = "not_authorized", reason = with_causes(error), "token");
        };
        let is_mixed_up =
            code.issuer.as_ref().zip(callback.iss.as_ref()).is_some_and(|(expected, iss)| expected != iss);
        let outcome = match callback.outcome {
            _ if is_mixed_up => Err(LoginError::WrongIssuer),
            Ok(authorization) => Ok((authorization, self.ready(code, &attempt).await.inspect_err(failed)?)),
            Err(error) => Err(LoginError::Denied { error }),
        };
        self.take(&state_hash).await?;
        let result = match outcome {
            Ok((authorization, ready)) => self.exchange(code, &attempt, &authorization, ready).await,
            Err(error) => Err(error),
        };
        result.inspect_err(failed)?;
        self.parts.metrics.login(true);
        info!(%bank, %grant, outcome = "authorized", "token");
        Ok(attempt.grant)
    }

    /// Takes the attempt. The store may have given it without a word of it, and it is good for nobody else then.
    async fn take(&self, state_hash: &str) -> Result<(), LoginError> {
        let (taker, mut tried) = (u64::from_le_bytes(self.parts.random.bytes()), 1);
        loop {
            match self.parts.store.take_attempt(&self.bank.name, state_hash, taker).await {
                Err(error) if !error.is_of_one_row() && tried < TRIES => {
                    tried += 1;
                    sleep(AGAIN).await;
                }
                answer => return answer?.map(drop).ok_or(LoginError::UnknownState),
            }
        }
    }

    /// Looks up all that the exchange needs of the store: where this fails, nothing is spent.
    async fn ready(&self, code: &AuthorizationCode, attempt: &Attempt) -> Result<Ready, LoginError> {
        let client = self.client(code).await?;
        // The bank renews a grant for the client only that it was given to.
        if client.id != attempt.client_id {
            return Err(LoginError::OfAnotherClient { begun_as: attempt.client_id.clone(), in_use: client.id });
        }
        Ok(Ready { client, former: self.consented_at(&attempt.grant).await? })
    }

    /// Exchanges the code for tokens, keeps them, and only then gives them out.
    async fn exchange(
        &self,
        code: &AuthorizationCode,
        attempt: &Attempt,
        given: &Secret,
        Ready { client, former }: Ready,
    ) -> Result<(), LoginError> {
        let exchange =
            Exchange::Code { code: given, redirect_uri: &attempt.redirect_uri, verifier: attempt.verifier.as_ref() };
        let mut tried = 1;
        let (started, called) = loop {
            let started = self.parts.clock.now();
            match self.ask_for_token(&code.token, &client, &exchange, &|_| ()).await {
                // What did not leave can be sent again; a code that may have arrived is spent.
                Err(error) if !error.sent && tried < TRIES => {
                    tried += 1;
                    sleep(AGAIN).await;
                }
                Ok(answer) if is_busy(&answer) && tried < TRIES => {
                    tried += 1;
                    let asked = answer::retry_after(&answer.fields, self.parts.clock.now());
                    sleep(asked.unwrap_or(BUSY.0).clamp(BUSY.0, BUSY.1)).await;
                }
                called => break (started, called),
            }
        };
        let answer = called.map_err(|error| LoginError::Exchange(with_causes(&error)))?;
        let mut given = answer::read(&answer, self.parts.clock.now()).map_err(refused)?;
        given.scopes = given.scopes.or_else(|| Some(attempt.scopes.clone()));
        let refreshable = given.refresh.is_some();
        let tokens = self.new_tokens(given, started, refreshable);
        Ok(self.keep_given(&attempt.grant, tokens, former).await.map(drop)?)
    }

    /// Keeps tokens that a person gave, in the place of the `former` consent, however long the store takes; and gives them
    /// out. What stands then, if that can be read here.
    pub(in crate::oauth) async fn keep_given(
        &self,
        grant: &GrantName,
        tokens: NewTokens,
        former: Option<Timestamp>,
    ) -> Result<Option<Grant>, StoreError> {
        let (bank, key, store) = (&self.bank.name, self.key(grant), &self.parts.store);
        let failed = |error: &StoreError| warn!(%bank, %grant, outcome = "store", reason = with_causes(error), "token");
        let was_offered = AtomicBool::new(false);
        let put = || -> Answer<'_, Option<Grant>> {
            if was_offered.swap(true, Ordering::Relaxed) {
                // The first time may have counted without a word of it, and the tokens have been renewed since.
                return store.put_again(&key, tokens.clone(), former);
            }
            let put = store.put(&key, tokens.clone());
            Box::pin(async move { put.await.map(Some) })
        };
        let kept = keep(put, failed).await?;
        if let Some(kept) = &kept {
            self.publish_new(kept);
        }
        Ok(kept)
    }

    /// Gives a grant out that a person gave, and that is in the store by now.
    fn publish_new(&self, grant: &Grant) {
        if let Some(slot) = self.slots.get(&grant.facts.key.grant) {
            slot.adopt_stored(grant);
        }
        self.wake.notify_one();
    }
}

/// Whether it says that the request was not dealt with, and the code is as good as before: no other failure does.
fn is_busy(answer: &CallAnswer) -> bool {
    matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

fn refused(refusal: Refusal) -> LoginError {
    LoginError::Exchange(match refusal {
        Refusal::Error { code, .. } => code,
        Refusal::NotNow { status, .. } => format!("it answers {status}"),
        Refusal::Unreadable { .. } => "its answer is no token response".into(),
    })
}
