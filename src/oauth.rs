//! Floor 4, token life: the cache that the data path reads, renewal, grants, the token endpoint, login.

use std::sync::Arc;
use std::time::Duration;

use crate::words::{GrantName, Token};

/// One bank's tokens. Shared by all workers; a valid token is had without waiting.
pub struct Tokens {}

impl Tokens {
    /// The grant's token: a snapshot where a valid one is there, else what a bounded wait for a renewal brings.
    pub async fn get(&self, _grant: &GrantName) -> Result<Arc<Token>, TokenError> {
        todo!()
    }

    /// After a 401 for `sent`: the token to try once more with, or `None` where there is no better one.
    ///
    /// A newer token than `sent`, or one that is being made, is taken. Else `sent` is renewed if the bank had accepted
    /// it before or it is older than 3 s, and the answer did not say `insufficient_scope`; at most 3 renewals for this
    /// cause per grant and minute, since banks answer 401 for faults of their own. Never for `fixed`.
    pub async fn after_unauthorized(
        &self,
        _grant: &GrantName,
        _sent: &Token,
        _insufficient_scope: bool,
    ) -> Option<Arc<Token>> {
        todo!()
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A `fixed` or `client_credentials` grant that is not configured.
    #[error("the grant is not configured")]
    UnknownGrant,
    /// No such grant yet, or the bank said that it is over.
    #[error("a person has to authorize the access")]
    NeedsAuthorization,
    /// The token endpoint fails for now.
    #[error("the bank's token endpoint gives no token for now")]
    Unavailable {
        /// When it is tried again.
        retry_after: Duration,
    },
    /// The store fails.
    #[error("the store of grants does not answer")]
    Store {
        /// When it is tried again.
        retry_after: Duration,
    },
}
