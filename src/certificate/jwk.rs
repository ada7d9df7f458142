//! A certificate's public key as a JSON Web Key (RFC 7517), and the name that is made of it.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::Decode;
use serde_json::{Map, Value};

use super::Facts;
use super::algorithm::{KeyType, RsaPublicKey};

impl Facts {
    /// The key's thumbprint (RFC 7638, with SHA-256; RFC 8037, section 2), which is also how tools that make key sets
    /// name keys that have no other name. `None` where the key is of a kind that JWK has no form for here.
    pub fn jwk_thumbprint(&self) -> Option<String> {
        let members: Vec<_> =
            members(self)?.into_iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
        let canonical = format!("{{{}}}", members.join(","));
        Some(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes())))
    }

    /// The public key as a JWK, with its thumbprint as `kid`: what a bank is told to know the key by.
    pub fn jwk(&self) -> Option<Map<String, Value>> {
        let mut jwk: Map<String, Value> =
            members(self)?.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        jwk.insert("kid".to_owned(), self.jwk_thumbprint()?.into());
        jwk.insert("use".to_owned(), "sig".into());
        Some(jwk)
    }

    /// The certificate's `x5t#S256` (RFC 7515, section 4.1.8).
    pub fn x5t_s256(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.fingerprint)
    }
}

/// The members that make the key what it is (RFC 7638, section 3.2), in the order of their names. Their values have no
/// characters that JSON escapes.
fn members(facts: &Facts) -> Option<Vec<(&'static str, String)>> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match facts.key {
        KeyType::Rsa(_) => {
            let key = RsaPublicKey::from_der(facts.public_key()).ok()?;
            let (e, n) = (encode(key.exponent.as_bytes()), encode(key.modulus.as_bytes()));
            Some(vec![("e", e), ("kty", "RSA".to_owned()), ("n", n)])
        }
        KeyType::Curve(curve @ ("P-256" | "P-384" | "P-521")) => {
            // An uncompressed point (SEC 1, section 2.3.3): two numbers of one length.
            let (4, point) = facts.public_key().split_first()? else { return None };
            let (x, y) = point.split_at(point.len() / 2);
            let of_curve = [("crv", curve.to_owned()), ("kty", "EC".to_owned()), ("x", encode(x)), ("y", encode(y))];
            Some(of_curve.to_vec())
        }
        KeyType::Curve(curve @ "Ed25519") => {
            let x = encode(facts.public_key());
            Some(vec![("crv", curve.to_owned()), ("kty", "OKP".to_owned()), ("x", x)])
        }
        KeyType::Curve(_) | KeyType::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::pki::{self, Authority, Kind};

    /// A certificate's facts with another key in them.
    fn with_key(key: KeyType, public_key: Vec<u8>) -> Facts {
        let issued = Authority::new("QWACs").issue(&pki::qwac(), Kind::P256);
        Facts { key, public_key, ..Facts::of(&issued.der).expect("a certificate") }
    }

    #[test]
    fn the_thumbprints_of_the_rfcs_come_out() {
        // RFC 7638, section 3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3\
                 oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu\
                 6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let n = URL_SAFE_NO_PAD.decode(n).expect("base64url");
        let der = [&[0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0][..], &n, &[2, 3, 1, 0, 1]].concat();
        let thumbprint = with_key(KeyType::Rsa(2048), der).jwk_thumbprint();
        assert_eq!(thumbprint.as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
        // RFC 8037, appendix A.3.
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").expect("base64url");
        let thumbprint = with_key(KeyType::Curve("Ed25519"), x).jwk_thumbprint();
        assert_eq!(thumbprint.as_deref(), Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
    }

    #[test]
    fn a_point_is_two_numbers_of_one_length_and_a_compressed_one_is_none() {
        let facts = with_key(KeyType::Curve("P-256"), [&[4][..], &[0; 32], &[1; 32]].concat());
        let jwk = facts.jwk().expect("a key");
        assert_eq!((&jwk["kty"], &jwk["crv"]), (&"EC".into(), &"P-256".into()));
        assert_eq!(jwk["x"], URL_SAFE_NO_PAD.encode([0; 32]));
        assert_eq!(jwk["y"], URL_SAFE_NO_PAD.encode([1; 32]));
        assert_eq!(jwk["kid"], facts.jwk_thumbprint().expect("a name"));
        assert_eq!(with_key(KeyType::Curve("P-256"), vec![2; 33]).jwk(), None);
        assert_eq!(with_key(KeyType::Curve("Ed448"), vec![2; 57]).jwk_thumbprint(), None);
    }
}
