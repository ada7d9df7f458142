//! Client assertions: a JWT, signed by the identity's key, that proves who calls (RFC 7523, sections 2.2 and 3; `OpenID`
//! Connect Core 1.0, section 9).

use std::time::Duration;

use serde_json::json;

use crate::config::ClientAssertion;
use crate::upstream::SignatureError;
use crate::words::Secret;

use super::jws;
use super::request::Means;

/// The value of `client_assertion_type` (RFC 7523, section 2.2).
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion is good, from `iat` to `exp`: servers refuse lives above a minute.
const LIFE: Duration = Duration::from_mins(1);
/// How much earlier `iat` is than the clock says. Clocks are seconds apart, and a server that allows for nothing refuses
/// an assertion that seems to come from the future.
const EARLIER: Duration = Duration::from_secs(5);

/// Why there is no client assertion. No secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum AssertionError {
    /// There is no key to sign with.
    #[error("there is no identity whose key could sign the client assertion")]
    NoIdentity,
    /// The key did not sign.
    #[error("the client assertion was not signed")]
    NotSigned(#[from] SignatureError),
    /// What the key gave is no signature.
    #[error("the client assertion's signature is malformed")]
    Malformed,
}

impl AssertionError {
    /// What to do about it, without a full stop.
    pub(super) const REMEDY: &str =
        "Look at [identity] and its HSM, if it has one: `bankside check` tries the token, the PIN and the key";
}

/// An assertion that is good for one call: its `jti` is its own.
pub(super) async fn make(what: &ClientAssertion, client_id: &str, means: &Means<'_>) -> Result<Secret, AssertionError> {
    let identity = means.identity.ok_or(AssertionError::NoIdentity)?;
    let (algorithm, leaf) = (identity.signing_algorithm(what.algorithm)?, identity.facts());
    let mut header = json!({ "typ": "JWT", "x5t#S256": leaf.x5t_s256() });
    if let Some(key_id) = what.key_id.clone().or_else(|| leaf.jwk_thumbprint()) {
        header["kid"] = key_id.into();
    }
    let issued_at = means.clock.now().seconds() - seconds(EARLIER);
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": what.audience,
        "jti": means.random.token(),
        "iat": issued_at,
        "exp": issued_at + seconds(LIFE),
    });
    jws::sign(header, &claims, algorithm, identity, means.patience).await
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
