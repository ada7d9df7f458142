//! Client assertions (RFC 7523, section 3): whether a JWT is the client's, meant for this bank, alive and seen once.

use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::sandbox::peer::HolderKey;
use crate::sandbox::record::lock;
use crate::words::Timestamp;

use super::state::State;
use super::{Authority, TokenCall};

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The longest that an assertion may live, as strict servers have it.
const LONGEST: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    #[serde(rename = "x5t#S256")]
    certificate: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    jti: String,
    iat: i64,
    exp: i64,
}

impl Authority {
    /// Says which key a client signs with.
    pub(in crate::sandbox) fn set_key(&self, client_id: &str, key: HolderKey) {
        lock(&self.state).keys.insert(client_id.to_owned(), key);
    }

    /// The client that proves itself by an assertion, or what is wrong with that.
    pub(super) fn check_assertion(&self, state: &mut State, call: &TokenCall<'_>) -> Result<String, &'static str> {
        if call.field("client_assertion_type") != Some(TYPE) {
            return Err("client_assertion_type is missing or unknown");
        }
        let assertion = call.field("client_assertion").ok_or("client_assertion is missing")?;
        state.seen.push(("client assertion", assertion.to_owned()));
        let (signed, signature) = assertion.rsplit_once('.').ok_or("the assertion is no JWT")?;
        let (header, claims) = signed.split_once('.').ok_or("the assertion is no JWT")?;
        let (header, claims): (Header, Claims) = (part(header)?, part(claims)?);
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "the assertion's signature is no base64url")?;
        let key = state.keys.get(&claims.sub).or(call.peer.key()).ok_or("the client's key is not known")?;
        if header.kid.is_empty() || header.certificate != URL_SAFE_NO_PAD.encode(key.fingerprint) {
            return Err("the assertion names another certificate");
        }
        verify(&header.alg, key, signed, &signature)?;
        self.check_claims(&claims, call.field("client_id"))?;
        let (now, end) = (self.clock.now(), Timestamp::default().plus(seconds(claims.exp)));
        state.assertions.retain(|_, end| *end > now);
        match state.assertions.insert((claims.sub.clone(), claims.jti), end) {
            None => Ok(claims.sub),
            Some(_) => Err("the assertion was used before"),
        }
    }

    fn check_claims(&self, claims: &Claims, client_id: Option<&str>) -> Result<(), &'static str> {
        let now = self.clock.now().seconds();
        match () {
            () if claims.iss != claims.sub => Err("iss and sub are not the same"),
            () if client_id.is_some_and(|id| id != claims.sub) => Err("client_id is not sub"),
            () if !self.audiences.contains(&claims.aud) => Err("the assertion is meant for another server"),
            () if claims.jti.len() < 16 => Err("jti can be guessed"),
            () if claims.exp <= now => Err("the assertion has ended"),
            () if claims.iat > now => Err("the assertion is from the future"),
            () if seconds(claims.exp - claims.iat) > LONGEST => Err("the assertion lives too long"),
            () => Ok(()),
        }
    }
}

fn part<T: DeserializeOwned>(encoded: &str) -> Result<T, &'static str> {
    let decoded = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| "a part of the assertion is no base64url")?;
    serde_json::from_slice(&decoded).map_err(|_| "a part of the assertion lacks what it needs")
}

fn verify(algorithm: &str, key: &HolderKey, signed: &str, signature: &[u8]) -> Result<(), &'static str> {
    let algorithm: &'static dyn VerificationAlgorithm = match algorithm {
        "ES256" => &ECDSA_P256_SHA256_FIXED,
        "ES384" => &ECDSA_P384_SHA384_FIXED,
        "ES512" => &ECDSA_P521_SHA512_FIXED,
        "EdDSA" => &ED25519,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        _ => return Err("the assertion's algorithm is not known"),
    };
    let key = UnparsedPublicKey::new(algorithm, &key.bits);
    key.verify(signed.as_bytes(), signature).map_err(|_| "the assertion was not signed by the client's key")
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}
