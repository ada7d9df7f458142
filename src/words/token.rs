//! An access token as the data path needs it: ready to be put on the wire.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Secret, Timestamp};

/// A snapshot of a grant's access token (RFC 6749, section 1.4). Immutable but for one flag, and shared by all workers.
pub struct Token {
    authorization: Secret,
    version: u64,
    issued_at: Timestamp,
    expires_at: Option<Timestamp>,
    accepted: AtomicBool,
}

impl Token {
    /// A Bearer token (RFC 6750) of the given version of its grant.
    pub fn bearer(access_token: &Secret, version: u64, issued_at: Timestamp, expires_at: Option<Timestamp>) -> Self {
        let mut authorization = Vec::with_capacity(b"Bearer ".len() + access_token.expose().len());
        authorization.extend_from_slice(b"Bearer ");
        authorization.extend_from_slice(access_token.expose());
        Self {
            authorization: Secret::new(authorization),
            version,
            issued_at,
            expires_at,
            accepted: AtomicBool::new(false),
        }
    }

    /// The value of the `Authorization` field that carries this token.
    pub fn authorization(&self) -> &Secret {
        &self.authorization
    }

    /// Which version of the grant this is; a newer token of the same grant has a higher one.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When the bank issued it.
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// When it ends; `None` where the bank did not say, and for a token that is given.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Whether it may be sent at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// Remembers that the bank has taken this token.
    pub fn mark_accepted(&self) {
        // Read first: the flag is shared by all workers, and a write would take the cache line from the others each time.
        if !self.accepted.load(Ordering::Relaxed) {
            self.accepted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the bank has ever taken this token: a 401 for it later means that it ended, not that it never was good.
    pub fn was_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
