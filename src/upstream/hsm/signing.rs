//! A key in an HSM as rustls signs with it.

use std::sync::Arc;

use rustls::sign::{Signer, SigningKey};
use rustls::{Error, OtherError, SignatureAlgorithm, SignatureScheme};

use crate::certificate::Facts;
use crate::certificate::facts::KeyType;
use crate::config::Pkcs11;

use super::key::Key;
use super::scheme::{Way, candidates};
use super::{Handshakes, HsmError, trial};

/// A key that was proved to be that of a certificate.
#[derive(Debug)]
pub(crate) struct HsmSigningKey {
    key: Arc<Key>,
    algorithm: SignatureAlgorithm,
    /// What works, the preferred first.
    schemes: Vec<(SignatureScheme, Way)>,
}

/// Opens the key that the settings name, and proves that it is that of `chain`'s first certificate. It waits for the
/// HSM.
pub(in crate::upstream) fn open(settings: &Pkcs11, chain: &[Facts]) -> Result<HsmSigningKey, HsmError> {
    let leaf = chain.first().ok_or(HsmError::Mismatch)?;
    let unfit = || HsmError::Unfit(format!("the certificate's key is {}", leaf.key));
    let (algorithm, schemes) = candidates(&leaf.key).ok_or_else(unfit)?;
    let key = Key::open(settings, matches!(leaf.key, KeyType::Rsa(_)))?;
    let schemes = trial::working(&key, schemes, chain)?;
    Ok(HsmSigningKey { key, algorithm, schemes })
}

impl HsmSigningKey {
    /// Where handshakes that sign with it run.
    pub(in crate::upstream) fn handshakes(&self) -> &Arc<Handshakes> {
        self.key.handshakes()
    }
}

impl SigningKey for HsmSigningKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let (scheme, way) = self.schemes.iter().find(|(scheme, _)| offered.contains(scheme))?;
        Some(Box::new(HsmSigner { key: Arc::clone(&self.key), scheme: *scheme, way: *way }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

#[derive(Debug)]
struct HsmSigner {
    key: Arc<Key>,
    scheme: SignatureScheme,
    way: Way,
}

impl Signer for HsmSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.key.sign(&self.way.mechanism(), &self.way.input(message));
        let signature = signature.and_then(|signature| self.way.output(signature));
        signature.map_err(|error| Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
