//! Grants as people handle them: listed, imported, renewed and removed, with or without a running sidecar.

use std::sync::Arc;

use crate::store::StoreError;
use crate::words::{GrantName, Secret};

use super::{GrantReport, TokenError, Tokens};

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
    /// The store failed.
    #[error("the store of grants failed")]
    Store(#[from] StoreError),
}

impl Tokens {
    /// The bank's grants in the order of their names, with those that the configuration names.
    pub async fn list(&self) -> Result<Vec<GrantReport>, GrantError> {
        todo!()
    }

    /// What is known of one grant.
    pub async fn show(&self, _grant: &GrantName) -> Result<GrantReport, GrantError> {
        todo!()
    }

    /// The grant's tokens themselves.
    pub async fn reveal(&self, _grant: &GrantName) -> Result<Revealed, GrantError> {
        todo!()
    }

    /// Takes a JSON token response (RFC 6749, section 5.1) over as a grant.
    pub async fn import(&self, _grant: &GrantName, _response: &[u8]) -> Result<GrantReport, GrantError> {
        todo!()
    }

    /// Renews the grant whether it is due or not.
    pub async fn renew(self: &Arc<Self>, _grant: &GrantName) -> Result<GrantReport, GrantError> {
        todo!()
    }

    /// Revokes the grant at the bank where the bank can do that (unless `local`), and forgets it.
    pub async fn remove(self: &Arc<Self>, _grant: &GrantName, _local: bool) -> Result<(), GrantError> {
        todo!()
    }
}
