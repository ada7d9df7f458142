//! TLS signature schemes as PKCS#11 mechanisms: what the HSM is given, and what its answer becomes.

use aws_lc_rs::digest::{self, Algorithm};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use der::asn1::UintRef;
use der::{Encode, Sequence};
use rustls::{SignatureAlgorithm, SignatureScheme};

use crate::certificate::facts::KeyType;

use super::HsmError;

/// The schemes for a kind of key, the preferred first: SHA-256 is what every HSM knows.
pub(super) fn candidates(key: &KeyType) -> Option<(SignatureAlgorithm, &'static [SignatureScheme])> {
    use SignatureScheme as S;
    const RSA: &[SignatureScheme] = &[
        S::RSA_PSS_SHA256,
        S::RSA_PSS_SHA384,
        S::RSA_PSS_SHA512,
        S::RSA_PKCS1_SHA256,
        S::RSA_PKCS1_SHA384,
        S::RSA_PKCS1_SHA512,
    ];
    match key {
        KeyType::Rsa(_) => Some((SignatureAlgorithm::RSA, RSA)),
        KeyType::Curve("P-256") => Some((SignatureAlgorithm::ECDSA, &[S::ECDSA_NISTP256_SHA256])),
        KeyType::Curve("P-384") => Some((SignatureAlgorithm::ECDSA, &[S::ECDSA_NISTP384_SHA384])),
        KeyType::Curve("P-521") => Some((SignatureAlgorithm::ECDSA, &[S::ECDSA_NISTP521_SHA512])),
        _ => None,
    }
}

/// How a scheme is done with a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    family: Family,
    input: Input,
    hash: Hash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    RsaPss,
    RsaPkcs1,
    Ecdsa,
}

/// What the mechanism takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Digest,
    Message,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Way {
    /// The way of `scheme` with a token that has these mechanisms. Where there is a choice, the digest is made here: a
    /// message would cross the wire to the HSM.
    pub(super) fn of(scheme: SignatureScheme, mechanisms: &[MechanismType]) -> Option<Self> {
        use SignatureScheme as S;
        let (family, hash) = match scheme {
            S::RSA_PSS_SHA256 => (Family::RsaPss, Hash::Sha256),
            S::RSA_PSS_SHA384 => (Family::RsaPss, Hash::Sha384),
            S::RSA_PSS_SHA512 => (Family::RsaPss, Hash::Sha512),
            S::RSA_PKCS1_SHA256 => (Family::RsaPkcs1, Hash::Sha256),
            S::RSA_PKCS1_SHA384 => (Family::RsaPkcs1, Hash::Sha384),
            S::RSA_PKCS1_SHA512 => (Family::RsaPkcs1, Hash::Sha512),
            S::ECDSA_NISTP256_SHA256 => (Family::Ecdsa, Hash::Sha256),
            S::ECDSA_NISTP384_SHA384 => (Family::Ecdsa, Hash::Sha384),
            S::ECDSA_NISTP521_SHA512 => (Family::Ecdsa, Hash::Sha512),
            _ => return None,
        };
        let ways = [Input::Digest, Input::Message].map(|input| Self { family, input, hash });
        ways.into_iter().find(|way| mechanisms.contains(&way.mechanism().mechanism_type()))
    }

    /// What the HSM is asked for.
    pub(super) fn mechanism(self) -> Mechanism<'static> {
        use Hash::{Sha256, Sha384, Sha512};
        let pss = self.hash.pss();
        match (self.family, self.input, self.hash) {
            (Family::RsaPss, Input::Digest, _) => Mechanism::RsaPkcsPss(pss),
            (Family::RsaPss, Input::Message, Sha256) => Mechanism::Sha256RsaPkcsPss(pss),
            (Family::RsaPss, Input::Message, Sha384) => Mechanism::Sha384RsaPkcsPss(pss),
            (Family::RsaPss, Input::Message, Sha512) => Mechanism::Sha512RsaPkcsPss(pss),
            (Family::RsaPkcs1, Input::Digest, _) => Mechanism::RsaPkcs,
            (Family::RsaPkcs1, Input::Message, Sha256) => Mechanism::Sha256RsaPkcs,
            (Family::RsaPkcs1, Input::Message, Sha384) => Mechanism::Sha384RsaPkcs,
            (Family::RsaPkcs1, Input::Message, Sha512) => Mechanism::Sha512RsaPkcs,
            (Family::Ecdsa, Input::Digest, _) => Mechanism::Ecdsa,
            (Family::Ecdsa, Input::Message, Sha256) => Mechanism::EcdsaSha256,
            (Family::Ecdsa, Input::Message, Sha384) => Mechanism::EcdsaSha384,
            (Family::Ecdsa, Input::Message, Sha512) => Mechanism::EcdsaSha512,
        }
    }

    /// What the HSM is given for a message. The digest of PKCS#1 v1.5 has its algorithm before it (RFC 8017, section 9.2).
    pub(super) fn input(self, message: &[u8]) -> Vec<u8> {
        if self.input == Input::Message {
            return message.to_vec();
        }
        let prefix = if self.family == Family::RsaPkcs1 { self.hash.digest_info() } else { &[] };
        [prefix, digest::digest(self.hash.algorithm(), message).as_ref()].concat()
    }

    /// The signature as TLS writes it: PKCS#11's ECDSA gives two numbers side by side, TLS wants them in DER
    /// (RFC 3279, section 2.2.3).
    pub(super) fn output(self, signature: Vec<u8>) -> Result<Vec<u8>, HsmError> {
        if self.family == Family::Ecdsa { ecdsa_der(&signature) } else { Ok(signature) }
    }
}

#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

fn ecdsa_der(signature: &[u8]) -> Result<Vec<u8>, HsmError> {
    let odd = || HsmError::Unfit("its ECDSA signature is malformed".to_owned());
    if signature.is_empty() || !signature.len().is_multiple_of(2) {
        return Err(odd());
    }
    let (r, s) = signature.split_at(signature.len() / 2);
    let signature = EcdsaSignature { r: UintRef::new(r).map_err(|_| odd())?, s: UintRef::new(s).map_err(|_| odd())? };
    signature.to_der().map_err(|_| odd())
}

impl Hash {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// A salt as long as the hash (RFC 8446, section 4.2.3).
    fn pss(self) -> PkcsPssParams {
        let (hash_alg, mgf, salt) = match self {
            Self::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32_u8),
            Self::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
            Self::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
        };
        PkcsPssParams { hash_alg, mgf, s_len: std::ffi::c_ulong::from(salt).into() }
    }

    /// What stands before the digest (RFC 8017, section 9.2, note 1).
    fn digest_info(self) -> &'static [u8] {
        const SHA256: &[u8] = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
        const SHA384: &[u8] = b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30";
        const SHA512: &[u8] = b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40";
        match self {
            Self::Sha256 => SHA256,
            Self::Sha384 => SHA384,
            Self::Sha512 => SHA512,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_become_der_with_signs_and_without_leading_zeros() {
        assert_eq!(ecdsa_der(&[0x00, 0x01, 0x80, 0x00]).expect("DER"), [0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 0]);
        for odd in [&[][..], &[1], &[1, 2, 3]] {
            assert!(ecdsa_der(odd).is_err());
        }
    }

    #[test]
    fn the_digest_is_made_here_where_the_token_leaves_the_choice() {
        let both = [MechanismType::RSA_PKCS_PSS, MechanismType::SHA256_RSA_PKCS_PSS];
        let way = Way::of(SignatureScheme::RSA_PSS_SHA256, &both).expect("a way");
        assert_eq!((way.input, way.input(b"message").len()), (Input::Digest, 32));
        let way = Way::of(SignatureScheme::RSA_PSS_SHA256, &both[1..]).expect("a way");
        assert_eq!(way.input(b"message"), b"message");
        let way = Way::of(SignatureScheme::RSA_PKCS1_SHA384, &[MechanismType::RSA_PKCS]).expect("a way");
        assert_eq!(way.input(b"message").len(), 19 + 48);
        assert!(Way::of(SignatureScheme::RSA_PKCS1_SHA256, &both).is_none());
        assert!(Way::of(SignatureScheme::ED25519, &[MechanismType::EDDSA]).is_none());
    }

    #[test]
    fn every_candidate_has_a_way_with_a_token_that_can_do_all() {
        let all = [MechanismType::RSA_PKCS, MechanismType::RSA_PKCS_PSS, MechanismType::ECDSA];
        for key in [KeyType::Rsa(2048), KeyType::Curve("P-256"), KeyType::Curve("P-384"), KeyType::Curve("P-521")] {
            let (algorithm, schemes) = candidates(&key).expect("schemes");
            for scheme in schemes {
                let way = Way::of(*scheme, &all).expect("a way");
                assert_eq!(way.family == Family::Ecdsa, algorithm == SignatureAlgorithm::ECDSA);
            }
        }
        assert!(candidates(&KeyType::Curve("Ed25519")).is_none());
    }
}
