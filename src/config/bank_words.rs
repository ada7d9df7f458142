//! The words that a bank's table may hold: choices, and small values that are written as strings.

use http::Method;

use super::client_auth::{BasicEncoding, SigningAlgorithm};
use super::grants::RegistrationFormat;
use super::table::{choice, text};
use super::url::{RedirectUri, UrlTemplate};
use super::{Alpn, BaseUrl, HttpsUrl, Invalid, PathPattern, TlsVersion};
use crate::words::GrantName;

/// How tokens are come by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RawGrantType {
    AuthorizationCode,
    ClientCredentials,
    Fixed,
}

/// A PSD2 role by its name in ETSI TS 119 495, section 5.1.
#[derive(Clone, Copy)]
pub(super) struct RoleName(pub(super) &'static str);

choice!(RoleName {
    "PSP_AS" => Self("PSP_AS"),
    "PSP_PI" => Self("PSP_PI"),
    "PSP_AI" => Self("PSP_AI"),
    "PSP_IC" => Self("PSP_IC"),
});

/// How the client authenticates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RawClientAuth {
    Post,
    Basic,
    Tls,
    PrivateKeyJwt,
    None,
}

/// How a grant is revoked.
#[derive(Clone, Copy)]
pub(super) enum RawRevocation {
    Rfc7009,
    Delete,
}

choice!(RawGrantType {
    "authorization_code" => Self::AuthorizationCode,
    "client_credentials" => Self::ClientCredentials,
    "fixed" => Self::Fixed,
});
choice!(RawClientAuth {
    "client_secret_post" => Self::Post,
    "client_secret_basic" => Self::Basic,
    "tls_client_auth" => Self::Tls,
    "private_key_jwt" => Self::PrivateKeyJwt,
    "none" => Self::None,
});
choice!(RawRevocation { "rfc7009" => Self::Rfc7009, "delete" => Self::Delete });
choice!(BasicEncoding { "form" => Self::Form, "raw" => Self::Raw });
choice!(SigningAlgorithm {
    "ES256" => Self::Es256,
    "ES384" => Self::Es384,
    "ES512" => Self::Es512,
    "EdDSA" => Self::EdDsa,
    "PS256" => Self::Ps256,
    "RS256" => Self::Rs256,
});
choice!(RegistrationFormat { "json" => Self::Json, "form" => Self::Form });
choice!(TlsVersion { "1.2" => Self::Tls12, "1.3" => Self::Tls13 });
choice!(Alpn { "h2" => Self::H2, "http/1.1" => Self::Http11 });

text! {
    HttpsUrl, "https://bank.example/path";
    BaseUrl, "https://bank.example/api";
    UrlTemplate, "https://bank.example/applications/{client_id}";
    RedirectUri, "https://example.com/callback";
    PathPattern, "/accounts/**";
    MethodName, "GET";
    HostName, "bank.internal";
    ServerName, "bank.example";
    Grant, "default";
}

/// A method (RFC 9110, section 9.1) in upper case.
pub(super) struct MethodName(pub(super) Method);

impl std::str::FromStr for MethodName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rule = || Invalid::new("not a method", "write a method in capitals, such as \"GET\"");
        // Methods are case-sensitive: one in lower case would match no request that anybody sends.
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(rule());
        }
        Method::from_bytes(text.as_bytes()).map(Self).map_err(|_| rule())
    }
}

/// A name for the Host field, in lower case; IPv6 in brackets.
pub(super) struct HostName(pub(super) String);

impl std::str::FromStr for HostName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match super::url::parse_host(text) {
            Some(host) if host.contains(':') => Ok(Self(format!("[{host}]"))),
            Some(host) => Ok(Self(host)),
            None => {
                Err(Invalid::new("not a host", "write a name or an address without port, such as \"bank.internal\""))
            }
        }
    }
}

/// The name in a certificate.
pub(super) struct ServerName(pub(super) String);

impl std::str::FromStr for ServerName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match rustls_pki_types::ServerName::try_from(text) {
            Ok(_) => Ok(Self(text.to_ascii_lowercase())),
            Err(_) => Err(Invalid::new("not a name that a certificate can have", "write a host name")),
        }
    }
}

/// The name of a grant.
pub(super) struct Grant(pub(super) GrantName);

impl std::str::FromStr for Grant {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .map(Self)
            .map_err(|why: crate::words::InvalidName| Invalid::new("not a grant's name", why.to_string()))
    }
}
