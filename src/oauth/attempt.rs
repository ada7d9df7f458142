//! A login that was begun, as those see it who wait for it: of several who may end it, one does.

use std::sync::Arc;

use crate::store::{Attempt, StoreError};
use crate::words::{GrantName, Timestamp};

use super::callback::{Callback, hash};
use super::{Authorization, LoginError, Tokens};

impl Tokens {
    /// As [`finish_login`](Self::finish_login), for this grant only: a login for another one is left as it is.
    pub async fn finish_login_of(self: &Arc<Self>, grant: &GrantName, callback: &str) -> Result<GrantName, LoginError> {
        let state = Callback::parse(callback).map_err(LoginError::NotACallback)?.state;
        let attempt = match state {
            Some(state) => self.parts.store.attempt(&self.bank.name, &hash(&state)).await?,
            None => None,
        };
        match attempt {
            Some(Attempt { grant: other, .. }) if other != *grant => Err(LoginError::OfAnotherGrant { grant: other }),
            _ => self.finish_login(callback).await,
        }
    }

    /// Whether nobody has ended this login, and somebody still may.
    pub async fn is_open(&self, login: &Authorization) -> Result<bool, StoreError> {
        Ok(self.parts.store.attempt(&self.bank.name, &login.state_hash).await?.is_some())
    }

    /// When a person consented to what the grant is now, if there is one: another moment is another login's.
    pub async fn consented_at(&self, grant: &GrantName) -> Result<Option<Timestamp>, StoreError> {
        self.parts.store.consented_at(&self.key(grant)).await
    }
}
