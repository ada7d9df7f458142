//! Kinds of public keys, in the words that people use for them.

use std::fmt;

use der::asn1::{Any, ObjectIdentifier, UintRef};
use der::{Decode, Sequence};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// The kind and size of a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// RSA, with the modulus' length in bits.
    Rsa(usize),
    /// An elliptic curve by its usual name: `P-256`.
    Curve(&'static str),
    /// Something else, by the number of its algorithm.
    Other(ObjectIdentifier),
}

/// `RSA 2048`, `P-256`.
impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Curve(name) => f.write_str(name),
            Self::Other(oid) => write!(f, "key type {oid}"),
        }
    }
}

const CURVES: [(&str, &str); 9] = [
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
];

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// RFC 8017, appendix A.1.1.
#[derive(Sequence)]
pub(super) struct RsaPublicKey<'a> {
    pub(super) modulus: UintRef<'a>,
    pub(super) exponent: UintRef<'a>,
}

impl KeyType {
    /// What kind of key it is.
    pub(super) fn of(key: &SubjectPublicKeyInfoOwned) -> Self {
        let oid = key.algorithm.oid;
        match oid {
            RSA | RSA_PSS => match RsaPublicKey::from_der(key.subject_public_key.raw_bytes()) {
                Ok(key) => Self::Rsa(bit_length(key.modulus.as_bytes())),
                Err(_) => Self::Other(oid),
            },
            EC => match key.algorithm.parameters.as_ref().map(Any::decode_as) {
                Some(Ok(parameters)) => curve(parameters),
                _ => Self::Other(oid),
            },
            _ => curve(oid),
        }
    }
}

fn curve(oid: ObjectIdentifier) -> KeyType {
    let dotted = oid.to_string();
    CURVES.iter().find(|(known, _)| *known == dotted).map_or(KeyType::Other(oid), |(_, name)| KeyType::Curve(name))
}

/// The length of a big-endian number without leading zero bits.
fn bit_length(bytes: &[u8]) -> usize {
    let significant = bytes.iter().position(|byte| *byte != 0).map_or(&[][..], |first| &bytes[first..]);
    significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize)
}
