//! A chain with or without its key, from a file of any kind: what `bankside certificate` looks at.

use std::sync::Arc;

use rustls::sign::SigningKey;
use rustls_pki_types::CertificateDer;

use crate::words::{Secret, Timestamp};

use super::key::check_pair;
use super::{CertificateError, Facts, PrivateKey, Report, pem};

/// A chain, leaf first and never empty, and perhaps a key, which need not fit.
#[derive(Clone, Debug)]
pub struct Material {
    chain: Vec<Facts>,
    key: Option<Arc<dyn SigningKey>>,
}

impl Material {
    /// From PEM, one certificate in DER, or PKCS#12. A key beside the certificates is taken if it can be read.
    pub fn from_file(file: &[u8], passphrase: Option<&Secret>) -> Result<Self, CertificateError> {
        match pem::chain(file) {
            Ok(certificates) => {
                let key = PrivateKey::from_pem(file, passphrase).and_then(|key| key.signing_key());
                Ok(Self { chain: facts(&certificates)?, key: key.ok() })
            }
            Err(CertificateError::Binary("a certificate")) => Ok(Self { chain: vec![Facts::of(file)?], key: None }),
            #[cfg(feature = "pkcs12")]
            Err(CertificateError::Binary("a PKCS#12 file")) => {
                let (certificates, key) = super::pkcs12::read(file, passphrase)?;
                Ok(Self { chain: facts(&certificates)?, key: Some(key.signing_key()?) })
            }
            Err(error) => Err(error),
        }
    }

    /// With the key of another file, in PEM.
    pub fn with_key(self, file: &[u8], passphrase: Option<&Secret>) -> Result<Self, CertificateError> {
        let key = PrivateKey::from_pem(file, passphrase)?.signing_key()?;
        Ok(Self { key: Some(key), ..self })
    }

    /// What the certificates say, leaf first.
    pub fn chain(&self) -> &[Facts] {
        &self.chain
    }

    /// Whether the key belongs to the leaf; `None` without a key.
    pub fn key_matches(&self) -> Option<bool> {
        self.key.as_ref().map(|key| check_pair(&**key, &self.chain).is_ok())
    }

    /// All there is to say about it at this time.
    pub fn report(self, now: Timestamp) -> Report {
        let key_matches = self.key_matches();
        self.report_with(key_matches, now)
    }

    /// As [`Material::report`], where others know whether the key matches: it lies in an HSM.
    pub fn report_with(self, key_matches: Option<bool>, now: Timestamp) -> Report {
        Report::new(self.chain, key_matches, now)
    }
}

fn facts(certificates: &[CertificateDer<'static>]) -> Result<Vec<Facts>, CertificateError> {
    certificates.iter().map(|der| Facts::of(der)).collect()
}
