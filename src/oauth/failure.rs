//! The three kinds of failure of a token call: over, not now, unknown.

use std::time::Duration;

use crate::config::ClientAuth;
use crate::upstream::SendError;
use crate::words::{Timestamp, with_causes};

use super::answer::{self, Given, Refusal};
use super::client::Lack;
use super::{AssertionError, CallAnswer, CallError};

/// Why the token endpoint gave no token, and what to do about it. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The endpoint's error code, or what happened to the request, in one line without a full stop.
    pub reason: String,
    /// What to do, without a full stop.
    pub remedy: &'static str,
}

impl Cause {
    /// For this error code (RFC 6749, section 5.2), which the endpoint answers with this status to a client that
    /// authenticates so.
    pub(super) fn of_code(status: http::StatusCode, code: &str, auth: &ClientAuth) -> Self {
        let remedy = match (code, auth) {
            ("invalid_client", ClientAuth::PrivateKeyJwt(_)) => {
                "Check client_id, the key that the bank knows (`bankside check` names ours), oauth.issuer, and the clocks: \
                 the bank does not take the assertion of private_key_jwt"
            }
            ("invalid_client", ClientAuth::TlsClientAuth) => {
                "Check client_id, and which certificate the bank knows: it does not take them"
            }
            ("invalid_client", _) => {
                "Check client_id, client_secret and oauth.client_auth: the bank does not take them"
            }
            ("unauthorized_client" | "unsupported_grant_type", _) => {
                "Check grant_type and client_id: this client may not have tokens in this way"
            }
            ("invalid_scope", _) => "Compare scopes with those that the app is registered for",
            _ => "Check the [oauth] table; the bank's documentation says what the code means",
        };
        Self { reason: format!("{}: {code}", status.as_u16()), remedy }
    }

    pub(super) fn of_status(status: http::StatusCode) -> Self {
        let remedy = if status.is_server_error() || status.as_u16() == 429 {
            "Try again later; if it stays so, ask the bank"
        } else {
            "Check oauth.token_url: what answers there does not speak as a token endpoint does"
        };
        Self { reason: status.to_string(), remedy }
    }

    fn of_call(error: &CallError) -> Self {
        let failure = error.source.downcast_ref::<SendError>().map(|error| error.failure.remedy());
        let unsigned = error.source.is::<AssertionError>().then_some(AssertionError::REMEDY);
        let remedy = failure.or(unsigned).unwrap_or("Try again later; if it stays so, ask the bank");
        Self { reason: with_causes(error), remedy }
    }

    /// There is nobody to be at the bank.
    pub(super) fn no_client(lack: Lack) -> Self {
        let (reason, remedy) = match lack {
            Lack::Id => ("no client id is configured or registered", "Set client_id, or run `bankside register BANK`"),
            Lack::Secret => (
                "no client secret is configured or registered",
                "Set client_secret, or get one by `bankside register BANK --renew-secret`",
            ),
        };
        Self { reason: reason.to_owned(), remedy }
    }
}

/// What came of a call that gave no token.
pub(super) enum Failure {
    /// The grant is over.
    Over,
    /// It is tried again later. With `unanswered`, the bank may have acted on the request.
    Later { unanswered: bool, retry_after: Option<Duration>, cause: Cause },
}

/// Tells the three kinds of failure apart.
pub(super) fn judge(
    called: Result<CallAnswer, CallError>,
    auth: &ClientAuth,
    by_refresh: bool,
    now: Timestamp,
) -> Result<Given, Failure> {
    let later = |unanswered, retry_after, cause| Err(Failure::Later { unanswered, retry_after, cause });
    let refusal = match called.map(|answer| answer::read(&answer, now)) {
        Ok(Ok(given)) => return Ok(given),
        Ok(Err(refusal)) => refusal,
        Err(error) => {
            // A head that says failure is an answer, whatever became of its content.
            let unanswered = error.sent && error.status.is_none_or(|status| status.is_success());
            return later(unanswered, None, Cause::of_call(&error));
        }
    };
    match refusal {
        refusal if by_refresh && refusal.ends_a_grant() => Err(Failure::Over),
        Refusal::Error { status, code } => later(false, None, Cause::of_code(status, &code, auth)),
        Refusal::NotNow { status, retry_after } => later(false, retry_after, Cause::of_status(status)),
        Refusal::Unreadable { status } => {
            let reason = format!("{status}, but no token response");
            later(true, None, Cause { reason, ..Cause::of_status(status) })
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn what_to_do_about_a_client_that_is_not_taken_depends_on_how_it_proves_itself() {
        let remedy = |auth| Cause::of_code(StatusCode::UNAUTHORIZED, "invalid_client", &auth).remedy;
        let by_secret = remedy(ClientAuth::ClientSecretPost);
        assert!(by_secret.contains("client_secret") && !by_secret.contains("private_key_jwt"), "{by_secret}");
        let by_certificate = remedy(ClientAuth::TlsClientAuth);
        assert!(by_certificate.contains("certificate") && !by_certificate.contains("secret"), "{by_certificate}");
    }
}
