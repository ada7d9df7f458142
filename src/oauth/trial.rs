//! What a person wants to know before the first login: whether the bank knows the client, its scopes and its redirect
//! URI. Nothing that a bank counts as a login is begun, and nothing is kept.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{AuthorizationCode, Bank, TokenEndpoint};
use crate::store::{Attempt, Store, StoreError};
use crate::upstream::Identity;
use crate::words::{Clock, GrantName, Random, Secret};

use super::answer::{self, Refusal};
use super::callback::hash;
use super::client::{self, Client};
use super::failure::{Cause, Failure, is_about_client, judge};
use super::login::{LoginError, authorization_url, session};
use super::request::{Exchange, Means, token_request};
use super::{BankCall, CallError};

/// One bank, as somebody tries it who has no grant there.
pub struct Trial {
    bank: Arc<Bank>,
    call: Arc<dyn BankCall>,
    clock: Clock,
    random: Random,
    identity: Option<Identity>,
    store: Option<Arc<dyn Store>>,
}

/// What the bank does not take. No secret is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// It gave no token, or does not know the client.
    #[error("{}", .0.reason)]
    Refused(Cause),
    /// The step before the authorization failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The endpoint was not reached.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The store, which may have the registered client, failed.
    #[error("the store of grants failed")]
    Store(#[from] StoreError),
}

impl Trial {
    /// Over this way to the bank, as whoever the bank is shown. A client that was registered, and not configured, is in
    /// the store.
    pub fn new(
        bank: Arc<Bank>,
        call: Arc<dyn BankCall>,
        identity: Option<Identity>,
        store: Option<Arc<dyn Store>>,
    ) -> Self {
        Self { bank, call, clock: Clock::system(), random: Random::system(), identity, store }
    }

    /// Asks for a token with a code that nobody was given, which a bank refuses after it has looked at the client (RFC
    /// 6749, section 5.2). What it refuses the code with: then it knows the client.
    pub async fn client(&self, code: &AuthorizationCode) -> Result<String, TrialError> {
        let client = self.find(&code.token).await?;
        let invented = Secret::from(self.random.token());
        let verifier = code.pkce.then(|| Secret::from(self.random.token()));
        let exchange =
            Exchange::Code { code: &invented, redirect_uri: &code.redirect_uri, verifier: verifier.as_ref() };
        let request = token_request(&code.token, &client, &exchange, &self.means()).await?;
        let answer = self.call.call(&code.token.url, request, self.limit(), &|_| ()).await?;
        match answer::read(&answer, self.clock.now()) {
            Ok(_) => Ok("a token, for a code that it never gave".into()),
            Err(Refusal::Error { status, code: error }) if is_about_client(status, &error) => {
                Err(TrialError::Refused(Cause::of_code(status, &error, &code.token.client_auth)))
            }
            Err(Refusal::Error { code: error, .. }) => Ok(error),
            Err(Refusal::NotNow { status, .. } | Refusal::Unreadable { status }) => {
                Err(TrialError::Refused(Cause::of_status(status, &code.token.client_auth)))
            }
        }
    }

    /// Asks for a token by client credentials, and lets it go.
    pub async fn token(&self, endpoint: &TokenEndpoint, grant: &GrantName) -> Result<(), TrialError> {
        let client = self.find(endpoint).await?;
        let exchange = Exchange::ClientCredentials(self.bank.scopes(grant));
        let request = token_request(endpoint, &client, &exchange, &self.means()).await?;
        let called = self.call.call(&endpoint.url, request, self.limit(), &|_| ()).await;
        match judge(called, &endpoint.client_auth, false, self.clock.now()) {
            Ok(_) | Err(Failure::Over) => Ok(()),
            Err(Failure::Later { cause, .. }) => Err(TrialError::Refused(cause)),
        }
    }

    /// An authorization URL as a login has it, which no login is kept for.
    pub async fn authorization_url(&self, code: &AuthorizationCode, grant: &GrantName) -> Result<String, TrialError> {
        let client = self.find(&code.token).await?;
        let session = match &code.session {
            Some(step) => {
                let headers = &code.token.token_headers;
                Some(session(step, &client, headers, &self.random, &*self.call, self.limit()).await?)
            }
            None => None,
        };
        let state = self.random.token();
        let attempt = Attempt {
            bank: self.bank.name.clone(),
            state_hash: hash(&state),
            verifier: code.pkce.then(|| Secret::from(self.random.token())),
            session,
            client_id: client.id,
            redirect_uri: code.redirect_uri.clone(),
            scopes: self.bank.scopes(grant).to_vec(),
            grant: grant.clone(),
        };
        Ok(authorization_url(code, &attempt, &state))
    }

    async fn find(&self, endpoint: &TokenEndpoint) -> Result<Client, TrialError> {
        let found = match &self.store {
            Some(store) => client::find(endpoint, &**store, &self.bank.name).await?,
            None => client::configured(endpoint),
        };
        found.map_err(|lack| TrialError::Refused(Cause::no_client(lack)))
    }

    fn means(&self) -> Means<'_> {
        let Self { clock, random, identity, .. } = self;
        Means { clock, random, identity: identity.as_ref(), patience: self.bank.timeouts.connect }
    }

    fn limit(&self) -> Duration {
        self.bank.timeouts.token
    }
}

impl TrialError {
    /// What to do, without a full stop.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Refused(cause) => cause.remedy,
            Self::Login(LoginError::Session(_)) => "Check client_id and oauth.session.url",
            Self::Login(_) | Self::Call(_) => "Try again later; if it stays so, ask the bank",
            Self::Store(_) => "See [store]",
        }
    }
}
