//! How an authorization server behaves: what is fixed for a bank, and what can be changed while it runs.

use std::time::Duration;

use serde::Deserialize;

/// What is fixed for a bank.
#[derive(Clone, Copy)]
pub(in crate::sandbox) struct Style {
    /// The scopes that there are.
    pub(in crate::sandbox) scopes: &'static [&'static str],
    /// Whether a token has one scope only.
    pub(in crate::sandbox) one_scope: bool,
    /// Whether an authorization needs an `auth_id` that was fetched before.
    pub(in crate::sandbox) session: bool,
    /// Whether access tokens look like JWTs, and refresh tokens like those of thephpleague/oauth2-server.
    pub(in crate::sandbox) php_league: bool,
}

/// What can be changed while the bank runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, each of one behaviour")]
pub struct Rules {
    /// How long an access token lasts from its issue.
    pub access_lifetime: Duration,
    /// How long a code lasts.
    pub code_lifetime: Duration,
    /// What a refresh does to the refresh token.
    pub refresh_tokens: RefreshTokens,
    /// How a used refresh token is answered.
    pub used_refresh_token: UsedRefreshToken,
    /// Whether a used refresh token ends its grant, tokens of other hands included.
    pub reuse_ends_grant: bool,
    /// Where the client's secret is looked for.
    pub secret_at: SecretAt,
    /// What Basic credentials are like.
    pub basic_form: BasicForm,
    /// Whether a token works with the certificate only with which it was fetched (RFC 8705, section 3).
    pub certificate_bound: bool,
    /// Whether an authorization while a token lives gives the same token, with what is left of its life.
    pub same_token_while_valid: bool,
    /// Whether the client credentials grant is served.
    pub client_credentials: bool,
    /// Whether the certificate stands for the secret (RFC 8705, section 2).
    pub tls_client_auth: bool,
    /// Whether nothing but an assertion that the client signs stands for it (RFC 7523, section 2.2). Its key is that of
    /// the connection's certificate, or the one that a tester says.
    pub private_key_jwt: bool,
}

/// What a refresh does to the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshTokens {
    /// It is replaced, and the access token revoked with it.
    Rotate,
    /// It stays; the answer does not repeat it.
    Reuse,
    /// There are none.
    None,
}

/// How a used refresh token is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedRefreshToken {
    /// 400 `invalid_grant`.
    InvalidGrant,
    /// 401 `invalid_request`, as thephpleague/oauth2-server does before version 9.
    InvalidRequest,
}

/// Where the client's secret is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretAt {
    /// In the form, and where it is not there in `Authorization: Basic`.
    FormThenBasic,
    /// In `Authorization: Basic` only.
    BasicOnly,
}

/// What Basic credentials are like before base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasicForm {
    /// Either is taken.
    Either,
    /// Form-encoded (RFC 6749, section 2.3.1).
    Encoded,
    /// As they are.
    Raw,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            access_lifetime: Duration::from_mins(5),
            code_lifetime: Duration::from_mins(10),
            refresh_tokens: RefreshTokens::Rotate,
            used_refresh_token: UsedRefreshToken::InvalidGrant,
            reuse_ends_grant: false,
            secret_at: SecretAt::FormThenBasic,
            basic_form: BasicForm::Either,
            certificate_bound: false,
            same_token_while_valid: false,
            client_credentials: false,
            tls_client_auth: false,
            private_key_jwt: false,
        }
    }
}
