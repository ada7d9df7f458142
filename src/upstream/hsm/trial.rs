//! Trial signatures: what a key claims to be able to do is tried, and proved with the certificate.

use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs;

use crate::certificate::Facts;

use super::HsmError;
use super::key::Key;
use super::scheme::Way;

/// What is signed: a text that no handshake ever signs (RFC 8446, section 4.4.3).
const MESSAGE: &[u8] = b"bankside: does this key belong to this certificate?";

/// The schemes that work, each with its way. The key must be that of the first certificate.
pub(super) fn working(
    key: &Key,
    schemes: &[SignatureScheme],
    chain: &[Facts],
) -> Result<Vec<(SignatureScheme, Way)>, HsmError> {
    let mechanisms = key.mechanisms()?;
    let mut working = Vec::new();
    let why_none = if key.asks_each_time() {
        "it wants the PIN before each signature, and then the token has no mechanism for it"
    } else {
        "the token has no mechanism for it"
    };
    let mut reason = why_none.to_owned();
    for scheme in schemes {
        let Some(way) = Way::of(*scheme, &mechanisms) else { continue };
        let signature = key.sign(&way.mechanism(), &way.input(MESSAGE)).and_then(|signature| way.output(signature));
        match signature {
            Ok(signature) => match signer(*scheme, &signature, chain) {
                Some(0) => working.push((*scheme, way)),
                Some(index) => return Err(HsmError::LeafNotFirst(index + 1)),
                None => return Err(HsmError::Mismatch),
            },
            // One that the token lists but does not do with this key, such as PSS with some cards.
            Err(HsmError::Failed { call, code, lost: false }) => reason = format!("{call}: {code}"),
            Err(error) => return Err(error),
        }
    }
    if working.is_empty() { Err(HsmError::Unfit(reason)) } else { Ok(working) }
}

/// Which certificate's key made the signature.
fn signer(scheme: SignatureScheme, signature: &[u8], chain: &[Facts]) -> Option<usize> {
    let mapping = aws_lc_rs::default_provider().signature_verification_algorithms.mapping;
    let (_, algorithms) = mapping.iter().find(|(known, _)| *known == scheme)?;
    chain.iter().position(|facts| {
        algorithms.iter().any(|algorithm| algorithm.verify_signature(facts.public_key(), MESSAGE, signature).is_ok())
    })
}
