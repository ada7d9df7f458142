//! How tokens are come by: grant types, the token endpoint, registration.

use std::collections::BTreeMap;

use http::Method;

use crate::words::{GrantName, Secret};

use super::bank::HeaderTemplate;
use super::{ClientAuth, HttpsUrl, Place};

/// A grant type (RFC 6749, section 1.3), or a token that is given.
#[derive(Clone, Debug)]
pub enum GrantType {
    /// RFC 6749, section 4.1: a person consents in a browser.
    AuthorizationCode(Box<AuthorizationCode>),
    /// RFC 6749, section 4.4.
    ClientCredentials(Box<ClientCredentials>),
    /// Tokens by grant; `default` is the bank's `token`.
    Fixed(BTreeMap<GrantName, Secret>),
}

impl GrantType {
    /// The token endpoint, where there is one.
    pub fn token_endpoint(&self) -> Option<&TokenEndpoint> {
        match self {
            Self::AuthorizationCode(code) => Some(&code.token),
            Self::ClientCredentials(credentials) => Some(&credentials.token),
            Self::Fixed(_) => None,
        }
    }

    /// The authorization code grant, where a person's consent gives the bank's grants.
    pub fn authorization_code(&self) -> Option<&AuthorizationCode> {
        match self {
            Self::AuthorizationCode(code) => Some(code),
            Self::ClientCredentials(_) | Self::Fixed(_) => None,
        }
    }

    /// Whether the bank can be told that a grant is not wanted any more.
    pub fn is_revocable(&self) -> bool {
        self.token_endpoint().is_some_and(|endpoint| endpoint.revocation.is_some())
    }

    /// The name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AuthorizationCode(_) => "authorization_code",
            Self::ClientCredentials(_) => "client_credentials",
            Self::Fixed(_) => "fixed",
        }
    }
}

/// The authorization code grant (RFC 6749, section 4.1).
#[derive(Clone, Debug)]
pub struct AuthorizationCode {
    /// Where the person's browser goes.
    pub authorize_url: HttpsUrl,
    /// Where it comes back to: sent as written, since it must match exactly.
    pub redirect_uri: String,
    /// What is asked for where the grant has no scopes of its own.
    pub scopes: Vec<String>,
    /// Whether PKCE (RFC 7636, S256) is used.
    pub pkce: bool,
    /// The `iss` that a callback must have if it has one (RFC 9207).
    pub issuer: Option<String>,
    /// More query parameters of the authorization URL.
    pub authorize_params: BTreeMap<String, String>,
    /// The step before the authorization.
    pub session: Option<Session>,
    /// Where codes and refresh tokens are exchanged.
    pub token: TokenEndpoint,
}

/// The client credentials grant (RFC 6749, section 4.4).
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// What is asked for where the grant has no scopes of its own.
    pub scopes: Vec<String>,
    /// Where tokens come from.
    pub token: TokenEndpoint,
}

/// A request that must precede each authorization and gives it a parameter.
#[derive(Clone, Debug)]
pub struct Session {
    /// Where it is posted, as a form, over mutual TLS.
    pub url: HttpsUrl,
    /// The form's fields; `{client_id}` is filled in.
    pub params: BTreeMap<String, String>,
    /// The names under which the JSON answer may hold the value; the first that is there counts.
    pub field: Vec<String>,
    /// The authorization URL's parameter that carries it.
    pub send_as: String,
}

/// The token endpoint (RFC 6749, section 3.2) and how to speak to it.
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    /// The `[oauth]` table, or the bank's.
    pub place: Place,
    /// The endpoint.
    pub url: HttpsUrl,
    /// The configured client id; else the one that `register` stored.
    pub client_id: Option<String>,
    /// The configured client secret; else the one that `register` stored.
    pub client_secret: Option<Secret>,
    /// How the client authenticates (RFC 6749, section 2.3; RFC 8705; RFC 7523).
    pub client_auth: ClientAuth,
    /// More form fields of every token request.
    pub token_params: BTreeMap<String, String>,
    /// More form fields of a refresh.
    pub refresh_params: BTreeMap<String, String>,
    /// More field lines of every token request, and of the session step.
    pub token_headers: Vec<(String, HeaderTemplate)>,
    /// How a grant is revoked.
    pub revocation: Option<Revocation>,
}

/// How a grant is revoked.
#[derive(Clone, Debug)]
pub enum Revocation {
    /// RFC 7009: the refresh token is posted to this URL.
    Rfc7009(HttpsUrl),
    /// `DELETE` on this URL with the access token as Bearer.
    Delete(HttpsUrl),
}

/// How the app is registered at the bank.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The `[registration]` table.
    pub place: Place,
    /// Where it is posted.
    pub url: HttpsUrl,
    /// Whether the body is JSON or a form.
    pub format: RegistrationFormat,
    /// The body's fields, with `{name}`, `{redirect_uri}`, `{scopes}` to be filled in. `{scopes}` are those of the bank
    /// and of its named grants: with spaces between; where it is all of a list's item, an item each.
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// The answer's field that is the client id.
    pub take_client_id: Vec<String>,
    /// The answer's field that is the client secret.
    pub take_client_secret: Vec<String>,
    /// How the secret is renewed; `{client_id}` in the path is filled in.
    pub renew: Option<(Method, HttpsUrl)>,
    /// How registrations are listed.
    pub list: Option<HttpsUrl>,
    /// How a registration is deleted; `{client_id}` in the path is filled in.
    pub delete: Option<HttpsUrl>,
}

/// The format of a registration's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationFormat {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}
