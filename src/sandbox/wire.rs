//! Reading requests and writing answers: what the handlers of both banks need alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use super::authority::{Access, AccessError, Authority, OAuthError, TokenCall};
use super::peer::Peer;

/// What follows a scheme in the Authorization field.
pub(super) fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (given, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// What the request's Bearer token allows.
pub(super) fn access(authority: &Authority, headers: &HeaderMap, peer: &Peer) -> Result<Access, AccessError> {
    authority.access(credentials(headers, "Bearer"), peer.serial())
}

/// A body of `application/x-www-form-urlencoded`; no field twice (RFC 6749, section 3.2).
pub(super) fn form(headers: &HeaderMap, body: &Bytes) -> Result<BTreeMap<String, String>, &'static str> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media_type.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
    {
        return Err("the body must be application/x-www-form-urlencoded");
    }
    let mut form = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err("a parameter must not come twice");
        }
    }
    Ok(form)
}

/// The token endpoint of both banks.
pub(super) fn token(authority: &Arc<Authority>, headers: &HeaderMap, peer: &Peer, body: &Bytes) -> Response {
    let answer = form(headers, body).map_err(|reason| OAuthError::bad("invalid_request", reason)).and_then(|form| {
        let basic = credentials(headers, "Basic");
        authority.token(&TokenCall { form: &form, basic, peer })
    });
    let not_stored = [(CACHE_CONTROL, "no-store"), (http::header::PRAGMA, "no-cache")];
    match answer {
        Ok(answer) => (not_stored, Json(answer)).into_response(),
        Err(error) => (not_stored, error).into_response(),
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.error, "error_description": self.description }));
        let mut response = (self.status, body).into_response();
        if self.error == "invalid_client" {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="OAuth""#));
        }
        response
    }
}

/// Adds `WWW-Authenticate: Bearer` (RFC 6750, section 3) to an answer about the token.
pub(super) fn challenge(mut response: Response, error: Option<&str>) -> Response {
    let value = error.map_or_else(|| "Bearer".to_owned(), |error| format!(r#"Bearer error="{error}""#));
    if let Ok(value) = HeaderValue::from_str(&value) {
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    response
}

/// A JSON answer with a status.
pub(super) fn reply(status: StatusCode, body: serde_json::Value) -> Response {
    (status, Json(body)).into_response()
}
