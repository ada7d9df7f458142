//! How the client authenticates at the token endpoint, by the names of the OAuth registry (RFC 7591, section 4.2).

use super::Place;

/// How the client authenticates at the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Id and secret in the form.
    ClientSecretPost,
    /// Id and secret in `Authorization: Basic`.
    ClientSecretBasic(BasicEncoding),
    /// The id in the form, and the certificate (RFC 8705, section 2).
    TlsClientAuth,
    /// The id in the form, and a JWT that the identity's private key signs (RFC 7523, sections 2.2 and 3; `OpenID` Connect
    /// Core 1.0, section 9).
    PrivateKeyJwt(Box<ClientAssertion>),
    /// The id in the form, and nothing else.
    None,
}

impl ClientAuth {
    /// Whether a client proves itself with a secret.
    pub fn needs_secret(&self) -> bool {
        matches!(self, Self::ClientSecretPost | Self::ClientSecretBasic(_))
    }
}

/// What happens to id and secret before base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasicEncoding {
    /// They are form-encoded, as RFC 6749 section 2.3.1 says.
    Form,
    /// They stay as they are, as many banks expect.
    Raw,
}

/// What a client assertion says that its maker cannot know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAssertion {
    /// The key that asks for it, or for the algorithm.
    pub place: Place,
    /// Its `aud`: the issuer where one is configured, else the token endpoint. RFC 7523, section 3, allows both; FAPI 2.0
    /// and draft-ietf-oauth-rfc7523bis want the issuer, since another server may have the endpoint's URL in its metadata.
    pub audience: String,
    /// Its `alg`; else the first in [`SigningAlgorithm::ALL`] that the key can do.
    pub algorithm: Option<SigningAlgorithm>,
    /// Its `kid`; else the key's thumbprint (RFC 7638).
    pub key_id: Option<String>,
}

/// A signature algorithm of JWS (RFC 7518, section 3.1; RFC 8037, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl SigningAlgorithm {
    /// All of them. An RSA key can do two: PS256 comes first, since FAPI 1.0 and 2.0, which banks build on, take no RS256.
    pub const ALL: [Self; 6] = [Self::Es256, Self::Es384, Self::Es512, Self::EdDsa, Self::Ps256, Self::Rs256];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }
}
