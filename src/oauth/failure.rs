//! The three kinds of failure of a token call: over, not now, unknown.

use std::time::Duration;

use http::StatusCode;

use crate::config::ClientAuth;
use crate::upstream::SendError;
use crate::words::{Timestamp, with_causes};

use super::answer::{self, Given, Refusal};
use super::client::Lack;
use super::{AssertionError, CallAnswer, CallError};

const LATER: &str = "Try again later; if it stays so, ask the bank";

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
    pub(super) fn of_code(status: StatusCode, code: &str, auth: &ClientAuth) -> Self {
        let remedy = match code {
            "invalid_client" => client_remedy(auth),
            "unauthorized_client" | "unsupported_grant_type" => {
                "Check grant_type and client_id: this client may not have tokens in this way"
            }
            "invalid_scope" => "Compare scopes with those that the app is registered for",
            _ if is_about_client(status, code) => client_remedy(auth),
            _ => "Check the [oauth] table; the bank's documentation says what the code means",
        };
        Self { reason: format!("{}: {code}", status.as_u16()), remedy }
    }

    /// For an answer of this status without such a code.
    pub(super) fn of_status(status: StatusCode, auth: &ClientAuth) -> Self {
        let remedy = match status {
            StatusCode::UNAUTHORIZED => client_remedy(auth),
            StatusCode::TOO_MANY_REQUESTS => LATER,
            status if status.is_server_error() => LATER,
            _ => "Check oauth.token_url: what answers there does not speak as a token endpoint does",
        };
        Self { reason: status.to_string(), remedy }
    }

    fn of_call(error: &CallError) -> Self {
        let failure = error.source.downcast_ref::<SendError>().map(|error| error.failure.remedy());
        let unsigned = error.source.is::<AssertionError>().then_some(AssertionError::REMEDY);
        let remedy = failure.or(unsigned).unwrap_or(LATER);
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

/// Whether a refusal says that the client is wrong, not the grant (RFC 6749, section 5.2): a 401 does by itself, but for what
/// ends a grant there. Some servers have words of their own with it.
pub(super) fn is_about_client(status: StatusCode, code: &str) -> bool {
    matches!(code, "invalid_client" | "unauthorized_client" | "unsupported_grant_type")
        || (status == StatusCode::UNAUTHORIZED && !matches!(code, "invalid_grant" | "invalid_request"))
}

fn client_remedy(auth: &ClientAuth) -> &'static str {
    match auth {
        ClientAuth::PrivateKeyJwt(_) => {
            "Check client_id, the key that the bank knows (`bankside check` names ours), oauth.issuer, and the clocks: \
             the bank does not take the assertion of private_key_jwt"
        }
        ClientAuth::TlsClientAuth => "Check client_id, and which certificate the bank knows: it does not take them",
        _ => "Check client_id, client_secret and oauth.client_auth: the bank does not take them",
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
        Refusal::NotNow { status, retry_after } => later(false, retry_after, Cause::of_status(status, auth)),
        Refusal::Unreadable { status } => {
            let reason = format!("{status}, but no token response");
            later(true, None, Cause { reason, ..Cause::of_status(status, auth) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_about_a_client_that_is_not_taken_depends_on_how_it_proves_itself() {
        let remedy = |auth| Cause::of_code(StatusCode::UNAUTHORIZED, "invalid_client", &auth).remedy;
        let by_secret = remedy(ClientAuth::ClientSecretPost);
        assert!(by_secret.contains("client_secret") && !by_secret.contains("private_key_jwt"), "{by_secret}");
        let by_certificate = remedy(ClientAuth::TlsClientAuth);
        assert!(by_certificate.contains("certificate") && !by_certificate.contains("secret"), "{by_certificate}");
    }

    #[test]
    fn a_401_is_about_the_client_whatever_words_come_with_it() {
        let cause = |body: &str| {
            let body = zeroize::Zeroizing::new(body.as_bytes().to_vec());
            let answer = CallAnswer { status: StatusCode::UNAUTHORIZED, fields: crate::message::Fields::new(), body };
            match judge(Ok(answer), &ClientAuth::ClientSecretPost, true, Timestamp::default()) {
                Err(Failure::Later { cause, .. }) => cause.remedy,
                _ => panic!("it is a refusal that does not end a grant"),
            }
        };
        for spring in [
            r#"{"status":401,"error":"Unauthorized"}"#,
            r#"{"error":"unauthorized"}"#,
            r#"{"error":"invalid_client"}"#,
            "",
        ] {
            assert!(cause(spring).contains("client_secret"), "{spring}");
        }
    }

    #[test]
    fn a_401_for_an_invented_code_is_about_the_client_but_where_it_refuses_the_code() {
        let by = |code| is_about_client(StatusCode::UNAUTHORIZED, code);
        assert!(by("unauthorized") && by("invalid_client") && !by("invalid_grant") && !by("invalid_request"));
        assert!(!is_about_client(StatusCode::BAD_REQUEST, "unauthorized"));
    }
}
