//! Identities for tests, and what a JWT of theirs says to somebody who has the certificate alone.

use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::KeyPair;
use serde_json::Value;
use zeroize::Zeroizing;

use super::support::place;
use crate::certificate::pki;
use crate::config::{self, FileContent, IdentitySource};
use crate::upstream::Identity;

fn file(name: &str, content: String) -> FileContent {
    FileContent { place: place(), path: name.into(), bytes: Arc::new(Zeroizing::new(content.into_bytes())) }
}

/// An identity with this key.
pub(in crate::oauth) fn identity_of(key: &KeyPair) -> Identity {
    let certificate = pki::qwac().self_signed(key).expect("a certificate");
    let source = IdentitySource::Pem {
        certificate: file("qwac.pem", certificate.pem()),
        private_key: file("qwac-key.pem", key.serialize_pem()),
        passphrase: None,
    };
    let identity = config::Identity { place: place(), source, next: None };
    Identity::load(&identity, &mut Vec::new()).expect("an identity")
}

pub(in crate::oauth) fn identity(kind: pki::Kind) -> Identity {
    identity_of(&pki::key(kind))
}

/// Header and claims of a JWT that this identity signed; panics where it did not.
pub(in crate::oauth) fn verified(jwt: &str, by: &Identity) -> (Value, Value) {
    let (signed, signature) = jwt.rsplit_once('.').expect("three parts");
    let (header, claims) = signed.split_once('.').expect("three parts");
    let [header, claims]: [Value; 2] = [header, claims].map(|part| {
        let decoded = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&decoded).expect("JSON")
    });
    let algorithm: &'static dyn VerificationAlgorithm = match header["alg"].as_str().expect("an algorithm") {
        "ES256" => &ECDSA_P256_SHA256_FIXED,
        "ES384" => &ECDSA_P384_SHA384_FIXED,
        "ES512" => &ECDSA_P521_SHA512_FIXED,
        "EdDSA" => &ED25519,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        other => panic!("{other}"),
    };
    let key = UnparsedPublicKey::new(algorithm, by.facts().public_key());
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    key.verify(signed.as_bytes(), &signature).expect("it was signed by this key");
    (header, claims)
}
