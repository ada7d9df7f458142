//! Floor 4, token life: the cache that the data path reads, renewal, grants, the token endpoint, login.
//!
//! A [`Tokens`] is made for each bank. A worker that asks it for a token gets a snapshot without waiting while a valid
//! one is there. Everything else happens in tasks of the control thread, which no caller's hang-up can cut: see
//! `renewal` for the way of a token, `schedule` for what happens unasked, `login` for how a person consents.

mod answer;
mod ask;
mod asked;
mod assertion;
mod attempt;
mod backoff;
mod callback;
mod client;
mod clocks;
pub mod edge;
mod failure;
mod foretell;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grants;
mod json;
mod jws;
mod keep;
mod login;
mod pace;
mod registration;
mod registration_outcome;
mod registration_wire;
mod renewal;
mod request;
mod revocation;
mod salvage;
mod schedule;
mod slot;
mod slots;
mod state;
#[cfg(test)]
mod tests;
mod tokens;
mod trial;
mod unauthorized;

pub use assertion::AssertionError;
pub use edge::{BankCall, CallAnswer, CallError, Departs, Edge};
pub use failure::Cause;
pub use foretell::EndingConsent;
pub use grants::{GrantError, Revealed};
pub use login::{Authorization, LoginError, bank_of_callback};
pub use registration::Tell;
pub use registration_outcome::{RegistrationError, RegistrationReport};
pub use revocation::Removal;
pub use state::{GrantReport, GrantState, LastFailure};
pub use tokens::{Parts, Tokens};
pub use trial::{Trial, TrialError};

use std::time::Duration;

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// A `fixed` or `client_credentials` grant that is not configured.
    #[error("the grant is not configured")]
    UnknownGrant,
    /// No such grant yet, or the bank said that it is over.
    #[error("a person has to authorize the access")]
    NeedsAuthorization,
    /// The token endpoint fails for now.
    #[error("the bank's token endpoint gives no token for now{}", .cause.as_ref().map(|cause| format!(": {}", cause.reason)).unwrap_or_default())]
    Unavailable {
        /// When it is tried again.
        retry_after: Duration,
        /// Why, as far as this process knows.
        cause: Option<Cause>,
    },
    /// The store fails.
    #[error("the store of grants does not answer")]
    Store {
        /// When it is tried again.
        retry_after: Duration,
    },
}

impl TokenError {
    /// What to do where the store fails, without a full stop.
    pub const STORE_REMEDY: &str = "Look at the store's database and disk; the log says what failed";

    /// For a reason that is not known here, or passes by itself.
    fn unavailable(retry_after: Duration) -> Self {
        Self::Unavailable { retry_after, cause: None }
    }

    /// Why the token endpoint gives none, where that is so and known.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Unavailable { cause, .. } => cause.as_ref(),
            _ => None,
        }
    }

    /// When there is use in asking again.
    fn retry_after(&self) -> Duration {
        match self {
            Self::Unavailable { retry_after, .. } | Self::Store { retry_after } => *retry_after,
            // A person may do it at any moment, perhaps in another process.
            Self::UnknownGrant | Self::NeedsAuthorization => Duration::from_secs(1),
        }
    }

    /// The same, for this reason where it has none of its own: who only waits for the next try has no other one.
    fn or_because(self, former: Option<Cause>) -> Self {
        match self {
            Self::Unavailable { retry_after, cause: None } => Self::Unavailable { retry_after, cause: former },
            other => other,
        }
    }

    /// The same, with another time where it has one.
    fn after(self, wait: Duration) -> Self {
        match self {
            Self::Unavailable { cause, .. } => Self::Unavailable { retry_after: wait, cause },
            Self::Store { .. } => Self::Store { retry_after: wait },
            other => other,
        }
    }
}
