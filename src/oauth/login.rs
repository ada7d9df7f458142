//! How a person consents: the authorization URL, and what comes back (RFC 6749, section 4.1).

use std::sync::Arc;
use std::time::Duration;

use crate::store::{Store, StoreError};
use crate::words::{BankName, GrantName};

use super::Tokens;

/// Where the person's browser goes.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// The address. It holds no secret but is good for one login.
    pub url: String,
    /// How long the callback is waited for.
    pub expires_in: Duration,
}

/// Why a login did not work. No secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The bank's grants are not given by persons.
    #[error("grants of this bank need no login: its `grant_type` is not authorization_code")]
    NotByPersons,
    /// There is no client id.
    #[error("no client is known: set `client_id`, or run `bankside register`")]
    NoClient,
    /// The step before the authorization failed.
    #[error("the bank gave no session for the login: {0}")]
    Session(String),
    /// What was given is no callback address.
    #[error("this is not the address that the bank sent the browser to: {0}")]
    NotACallback(&'static str),
    /// The bank, or the person, said no.
    #[error("the bank says: {error}")]
    Denied {
        /// The error code (RFC 6749, section 4.1.2.1).
        error: String,
    },
    /// The attempt is unknown, was used, or is too old.
    #[error("this login was not begun here, was finished before, or is too old; begin again")]
    UnknownState,
    /// The answer comes from another authorization server (RFC 9207).
    #[error("the answer comes from another issuer than the bank's")]
    WrongIssuer,
    /// The bank did not give tokens for the code.
    #[error("the bank gave no token for the authorization: {0}")]
    Exchange(String),
    /// The store failed.
    #[error("the store of grants failed")]
    Store(#[from] StoreError),
}

/// The bank that a callback belongs to, by its `state` alone. Nothing is used up.
pub async fn bank_of_callback(_store: &dyn Store, _callback: &str) -> Result<BankName, LoginError> {
    todo!()
}

impl Tokens {
    /// Begins a login: the session step where the bank has one, and an attempt in the store.
    pub async fn begin_login(self: &Arc<Self>, _grant: &GrantName) -> Result<Authorization, LoginError> {
        todo!()
    }

    /// Ends a login with the address that the browser came back to, or its query alone: the grant's name.
    pub async fn finish_login(self: &Arc<Self>, _callback: &str) -> Result<GrantName, LoginError> {
        todo!()
    }
}
