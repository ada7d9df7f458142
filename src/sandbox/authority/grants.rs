//! Grants after their making: what a token allows, and how grants end.

use serde::Serialize;

use crate::sandbox::record::lock;

use super::Authority;

/// What a valid access token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Access {
    pub(in crate::sandbox) client_id: String,
    pub(in crate::sandbox) scopes: Vec<String>,
}

impl Access {
    pub(in crate::sandbox) fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }
}

/// Why an access token allows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum AccessError {
    /// There is none.
    Missing,
    /// It is not known, was revoked, or belongs to another certificate.
    Invalid,
    /// Its time is over.
    Expired,
}

/// A grant as a tester sees it. It holds no token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantView {
    /// Its number; they are given in order.
    pub number: u64,
    /// The client that it was given to.
    pub client_id: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// How often it was refreshed.
    pub refreshes: u64,
    /// Whether it has ended.
    pub revoked: bool,
}

impl Authority {
    /// What the token of a request allows; `certificate` is the connection's serial number.
    pub(in crate::sandbox) fn access(
        &self,
        token: Option<&str>,
        certificate: Option<&str>,
    ) -> Result<Access, AccessError> {
        let token = token.ok_or(AccessError::Missing)?;
        let bound = lock(&self.rules).certificate_bound;
        let state = lock(&self.state);
        let grant = state.access_tokens.get(token).and_then(|number| state.grants.get(number));
        let grant = grant.filter(|grant| !grant.revoked).ok_or(AccessError::Invalid)?;
        let access = grant.access.as_ref().filter(|access| access.value == token).ok_or(AccessError::Invalid)?;
        if bound && access.certificate.as_deref() != certificate {
            return Err(AccessError::Invalid);
        }
        if access.expires <= self.clock.now() {
            return Err(AccessError::Expired);
        }
        Ok(Access { client_id: grant.client_id.clone(), scopes: grant.scopes.clone() })
    }

    pub(in crate::sandbox) fn expire_access_tokens(&self) {
        let now = self.clock.now();
        for access in lock(&self.state).grants.values_mut().filter_map(|grant| grant.access.as_mut()) {
            access.expires = access.expires.min(now);
        }
    }

    pub(in crate::sandbox) fn revoke_grants(&self, which: impl Fn(u64) -> bool) {
        for (_, grant) in lock(&self.state).grants.iter_mut().filter(|(number, _)| which(**number)) {
            grant.revoked = true;
        }
    }

    /// Ends the grant that a token is of, whichever of its tokens that is; whether there was one.
    pub(in crate::sandbox) fn revoke_by_token(&self, token: &str) -> bool {
        let mut state = lock(&self.state);
        let number = state.access_tokens.get(token).or_else(|| state.refresh_tokens.get(token)).copied();
        let grant = number.and_then(|number| state.grants.get_mut(&number)).filter(|grant| !grant.revoked);
        grant.map(|grant| grant.revoked = true).is_some()
    }

    pub(in crate::sandbox) fn grants(&self) -> Vec<GrantView> {
        let view = |(number, grant): (&u64, &super::state::Grant)| GrantView {
            number: *number,
            client_id: grant.client_id.clone(),
            scopes: grant.scopes.clone(),
            refreshes: grant.refreshes,
            revoked: grant.revoked,
        };
        lock(&self.state).grants.iter().map(view).collect()
    }
}
