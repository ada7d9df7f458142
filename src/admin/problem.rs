//! What the operator's side cannot do, as a problem (RFC 9457) that says what to do about it.

use std::error::Error;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;

use crate::oauth::{GrantError, LoginError, TokenError};
use crate::words::{Kind, with_causes};

/// A problem. There is no secret in it.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    remedy: String,
}

impl Problem {
    /// One of the kinds that apps are told, too.
    pub(super) fn new(kind: Kind, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (detail, remedy) = (detail.into(), remedy.into());
        Self { status: kind.status(), kind: kind.name(), title: kind.title(), detail, remedy }
    }

    /// One of a kind that only this side has.
    fn own(status: StatusCode, kind: &'static str, title: &'static str, error: &dyn Error, remedy: &str) -> Self {
        Self { status, kind, title, detail: with_causes(error), remedy: remedy.into() }
    }

    /// There is nothing at this address.
    pub(super) fn not_found(what: &str, remedy: &str) -> Self {
        let (kind, title) = ("not-found", "There is no such thing");
        Self { status: StatusCode::NOT_FOUND, kind, title, detail: what.into(), remedy: remedy.into() }
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": format!("urn:bankside:{}", self.kind),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "remedy": self.remedy,
        });
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], Json(body).0.to_string()).into_response()
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        let own = |status, kind, title, remedy| Self::own(status, kind, title, &error, remedy);
        let again = "Begin the login again, and use the address that the browser ends on";
        match &error {
            LoginError::NotByPersons => {
                let title = "Grants of this bank need no login";
                own(StatusCode::CONFLICT, "no-login", title, "See grant_type of the bank in the configuration")
            }
            LoginError::NoClient => {
                let remedy = "Set client_id of the bank, or run `bankside register BANK`";
                own(StatusCode::CONFLICT, "no-client", "The app is not registered at the bank", remedy)
            }
            LoginError::NoSecret => {
                let remedy = "Set client_secret of the bank, or run `bankside register BANK --renew-secret`";
                own(StatusCode::CONFLICT, "no-client", "The app has no client secret", remedy)
            }
            LoginError::Session(_) => {
                let remedy = "Try again; if it stays so, ask the bank, with the time of this attempt";
                own(StatusCode::BAD_GATEWAY, "no-session", "The bank does not begin a login", remedy)
            }
            LoginError::NotACallback(_) => own(StatusCode::BAD_REQUEST, "not-a-callback", "This is no callback", again),
            LoginError::UnknownState => own(StatusCode::BAD_REQUEST, "unknown-login", "There is no such login", again),
            LoginError::OfAnotherGrant { .. } => {
                own(StatusCode::BAD_REQUEST, "unknown-login", "This login is for another grant", again)
            }
            LoginError::OfAnotherClient { .. } => {
                own(StatusCode::CONFLICT, "unknown-login", "This login is for another client", again)
            }
            LoginError::WrongIssuer => {
                let remedy = "Begin again; if it stays so, check oauth.issuer of the bank";
                own(StatusCode::BAD_REQUEST, "wrong-issuer", "Somebody else than the bank answers", remedy)
            }
            LoginError::Denied { error: code } | LoginError::DeniedWithoutState { error: code }
                if code == "invalid_scope" =>
            {
                let remedy = "Compare scopes of the bank with those that the app is registered for, and begin again";
                own(StatusCode::BAD_REQUEST, "denied", "The bank does not give these scopes", remedy)
            }
            LoginError::Denied { .. } | LoginError::DeniedWithoutState { .. } => {
                let remedy = "Begin again, and let the account's owner approve the access at the bank";
                own(StatusCode::BAD_REQUEST, "denied", "The access was not approved", remedy)
            }
            LoginError::Exchange(_) => {
                let remedy = "Begin again; if it stays so, check client_id, client_secret and redirect_uri of the bank";
                own(StatusCode::BAD_GATEWAY, "no-token", "The bank gives no token for the login", remedy)
            }
            LoginError::Store(_) => store(&error),
        }
    }
}

impl From<GrantError> for Problem {
    fn from(error: GrantError) -> Self {
        let missing = || Self {
            status: StatusCode::NOT_FOUND,
            kind: Kind::UnknownGrant.name(),
            title: Kind::UnknownGrant.title(),
            detail: with_causes(&error),
            remedy: "See `GET /api/banks` for the grants that there are, or authorize this one".into(),
        };
        match &error {
            GrantError::Missing | GrantError::Token(TokenError::UnknownGrant) => missing(),
            GrantError::Fixed => {
                let remedy = "Change the bank's token in the configuration";
                Self::own(
                    StatusCode::CONFLICT,
                    "fixed",
                    "The bank's tokens are given by the configuration",
                    &error,
                    remedy,
                )
            }
            GrantError::Import(_) => Self::new(Kind::BadRequest, with_causes(&error), "Send the bank's token response"),
            GrantError::Token(TokenError::NeedsAuthorization) => {
                Self::new(Kind::NeedsAuthorization, with_causes(&error), "Authorize the grant")
            }
            GrantError::Token(TokenError::Unavailable { cause, .. }) => {
                let remedy = "Try again later; if it stays so, the log says how the bank's token endpoint answers";
                let remedy = cause.as_ref().map_or(remedy, |cause| cause.remedy);
                Self::new(Kind::TokenUnavailable, with_causes(&error), remedy)
            }
            GrantError::NotRevoked(_) => {
                let remedy = "Try again later, or add `?local=true` to forget the grant without asking the bank";
                Self::own(StatusCode::BAD_GATEWAY, "not-revoked", "The bank did not revoke the grant", &error, remedy)
            }
            GrantError::GivenAnew => {
                let remedy = "Remove it once more if the new one is not wanted either";
                Self::own(StatusCode::CONFLICT, "given-anew", "The grant was given anew meanwhile", &error, remedy)
            }
            GrantError::Token(TokenError::Store { .. }) | GrantError::Store(_) => store(&error),
        }
    }
}

fn store(error: &dyn Error) -> Problem {
    Problem::new(Kind::StoreUnavailable, with_causes(error), TokenError::STORE_REMEDY)
}
