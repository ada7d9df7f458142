//! Private keys from PEM: PKCS#8, PKCS#1 and SEC1, encrypted or not.

use std::fmt;
use std::sync::Arc;

use der::Decode;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::SigningKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use x509_cert::spki::SubjectPublicKeyInfoRef;
use zeroize::{Zeroize, Zeroizing};

use crate::words::Secret;

use super::encrypted;
use super::pem::{self, Section};
use super::{CertificateError, Facts};

/// A private key in memory that is wiped where it ends.
pub struct PrivateKey {
    form: Form,
    der: Zeroizing<Vec<u8>>,
    was_encrypted: bool,
}

/// How the key is encoded.
#[derive(Clone, Copy)]
enum Form {
    /// RFC 5958.
    Pkcs8,
    /// RFC 8017, appendix A.1.2.
    Pkcs1,
    /// RFC 5915.
    Sec1,
}

impl PrivateKey {
    /// The first private key of a PEM file. Certificates and parameters beside it do not matter.
    pub fn from_pem(file: &[u8], passphrase: Option<&Secret>) -> Result<Self, CertificateError> {
        let sections = pem::sections(file).map_err(|error| match error {
            CertificateError::NotPem => CertificateError::KeyNotPem,
            other => other,
        })?;
        let found = sections.iter().find_map(|section| match section.label {
            "ENCRYPTED PRIVATE KEY" | "PRIVATE KEY" => Some((Form::Pkcs8, section)),
            "RSA PRIVATE KEY" => Some((Form::Pkcs1, section)),
            "EC PRIVATE KEY" => Some((Form::Sec1, section)),
            _ => None,
        });
        let Some((form, section)) = found else { return Err(no_key(&sections)) };
        let (der, was_encrypted) = content(section, passphrase)?;
        Ok(Self { form, der, was_encrypted })
    }

    /// A key in PKCS#8.
    #[cfg(feature = "pkcs12")]
    pub(super) fn from_pkcs8(der: Zeroizing<Vec<u8>>) -> Self {
        Self { form: Form::Pkcs8, der, was_encrypted: true }
    }

    /// Whether it took a passphrase to read it.
    pub fn was_encrypted(&self) -> bool {
        self.was_encrypted
    }

    /// The key as TLS signs with it. RSA from 2048 bits, P-256, P-384, P-521 and Ed25519.
    pub fn signing_key(&self) -> Result<Arc<dyn SigningKey>, CertificateError> {
        let der = self.der.as_slice();
        let key = match self.form {
            Form::Pkcs8 => PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der)),
            Form::Pkcs1 => PrivateKeyDer::from(PrivatePkcs1KeyDer::from(der)),
            Form::Sec1 => PrivateKeyDer::from(PrivateSec1KeyDer::from(der)),
        };
        any_supported_type(&key).map_err(|error| match error {
            rustls::Error::General(words) => CertificateError::UnusableKey(words),
            other => CertificateError::UnusableKey(other.to_string()),
        })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

/// Whether `key` belongs to the first certificate of `chain`. A key that does not tell its public half passes.
pub fn check_pair(key: &dyn SigningKey, chain: &[Facts]) -> Result<(), CertificateError> {
    let Some(public) = key.public_key() else { return Ok(()) };
    let bits = SubjectPublicKeyInfoRef::from_der(&public)
        .map_err(|error| CertificateError::UnusableKey(error.to_string()))?
        .subject_public_key
        .raw_bytes();
    match chain.iter().position(|facts| facts.public_key() == bits) {
        Some(0) => Ok(()),
        Some(index) => Err(CertificateError::LeafNotFirst(index + 1)),
        None => Err(CertificateError::KeyMismatch),
    }
}

/// The key's DER, and whether it was encrypted.
fn content(section: &Section<'_>, passphrase: Option<&Secret>) -> Result<(Zeroizing<Vec<u8>>, bool), CertificateError> {
    if section.label == "ENCRYPTED PRIVATE KEY" {
        return Ok((encrypted::pkcs8(section, passphrase)?, true));
    }
    if let Some(dek) = encrypted::dek_info(section)? {
        return Ok((encrypted::traditional(&dek, passphrase)?, true));
    }
    let mut key = PrivateKeyDer::from_pem_slice(section.whole).map_err(|error| pem::damaged(&error))?;
    let der = Zeroizing::new(key.secret_der().to_vec());
    key.zeroize();
    Ok((der, false))
}

/// What is in the file instead of a private key.
fn no_key(sections: &[Section<'_>]) -> CertificateError {
    let holds = |end: &str| sections.iter().any(|section| section.label.ends_with(end));
    if holds("OPENSSH PRIVATE KEY") {
        CertificateError::OpenSsh
    } else if holds("PUBLIC KEY") {
        CertificateError::PublicKey
    } else {
        CertificateError::NoKey(pem::labels(sections))
    }
}
