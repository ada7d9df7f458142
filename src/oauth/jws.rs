//! JSON Web Signatures in their compact form (RFC 7515, section 3.1), by the identity's key.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::UintRef;
use der::{Decode, Sequence};
use serde_json::Value;

use crate::config::SigningAlgorithm;
use crate::upstream::{Identity, SignatureError};
use crate::words::Secret;

use super::AssertionError;

/// Signs the claims. `header` has all but the algorithm.
pub(super) async fn sign(
    mut header: Value,
    claims: &Value,
    algorithm: SigningAlgorithm,
    identity: &Identity,
    patience: Duration,
) -> Result<Secret, AssertionError> {
    header["alg"] = algorithm.name().into();
    let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let mut text = format!("{header}.{claims}");
    let signed: Result<_, SignatureError> = identity.sign(algorithm, text.clone().into_bytes(), patience).await;
    let signature = as_jws_has_it(signed?, algorithm).ok_or(AssertionError::Malformed)?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Ok(Secret::from(text))
}

/// A signature of TLS as JWS has it: ECDSA's numbers side by side, each as long as the curve's (RFC 7518, section 3.4).
fn as_jws_has_it(signature: Vec<u8>, algorithm: SigningAlgorithm) -> Option<Vec<u8>> {
    match algorithm {
        SigningAlgorithm::Es256 => side_by_side(&signature, 32),
        SigningAlgorithm::Es384 => side_by_side(&signature, 48),
        SigningAlgorithm::Es512 => side_by_side(&signature, 66),
        SigningAlgorithm::EdDsa | SigningAlgorithm::Ps256 | SigningAlgorithm::Rs256 => Some(signature),
    }
}

/// RFC 3279, section 2.2.3.
#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

fn side_by_side(der: &[u8], length: usize) -> Option<Vec<u8>> {
    let EcdsaSignature { r, s } = EcdsaSignature::from_der(der).ok()?;
    let mut both = vec![0; 2 * length];
    for (number, end) in [(r.as_bytes(), length), (s.as_bytes(), 2 * length)] {
        // Without leading zeros it may be shorter than the curve's numbers; a longer one is none of the curve's.
        let start = end.checked_sub(number.len()).filter(|start| *start + length >= end)?;
        both[start..end].copy_from_slice(number);
    }
    Some(both)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_ASN1_SIGNING, ECDSA_P521_SHA512_FIXED, EcdsaKeyPair, KeyPair,
        UnparsedPublicKey,
    };
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_any_length_have_their_place() {
        let der = |r: &[u8], s: &[u8]| {
            let number = |bytes: &[u8]| [&[2, u8::try_from(bytes.len()).expect("short")][..], bytes].concat();
            let both = [number(r), number(s)].concat();
            [&[0x30, u8::try_from(both.len()).expect("short")][..], &both].concat()
        };
        assert_eq!(side_by_side(&der(&[1], &[0, 0x80]), 4).expect("a signature"), [0, 0, 0, 1, 0, 0, 0, 0x80]);
        assert_eq!(side_by_side(&der(&[1, 2], &[3, 4]), 2).expect("a signature"), [1, 2, 3, 4]);
        assert_eq!(side_by_side(&der(&[1, 2, 3], &[1]), 2), None, "a number too long");
        assert_eq!(side_by_side(&der(&[1], &[1, 2, 3]), 2), None, "a number too long");
        assert_eq!(side_by_side(&[1, 2, 3, 4], 2), None, "no DER");
    }

    proptest! {
        /// Whatever was signed, the verifier of fixed-length signatures takes what came of the DER.
        #[test]
        fn each_curves_signature_verifies(message: Vec<u8>) {
            let curves = [
                (SigningAlgorithm::Es256, &ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_FIXED),
                (SigningAlgorithm::Es384, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P384_SHA384_FIXED),
                (SigningAlgorithm::Es512, &ECDSA_P521_SHA512_ASN1_SIGNING, &ECDSA_P521_SHA512_FIXED),
            ];
            for (algorithm, signs, verifies) in curves {
                let key = EcdsaKeyPair::generate(signs).expect("a key");
                let der = key.sign(&SystemRandom::new(), &message).expect("a signature");
                let fixed = as_jws_has_it(der.as_ref().to_vec(), algorithm).expect("a signature");
                let public = UnparsedPublicKey::new(verifies, key.public_key().as_ref());
                prop_assert!(public.verify(&message, &fixed).is_ok());
            }
        }

        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>) {
            let _ = side_by_side(&bytes, 32);
        }
    }
}
