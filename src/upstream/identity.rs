//! From the configuration's identity to the certificate and key that TLS shows and signs with.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::config::{self, IdentitySource, Problem};

use super::tls;

/// A certificate chain with its key.
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
}

impl Identity {
    /// Reads and checks an identity.
    pub fn load(identity: &config::Identity, _warnings: &mut Vec<Problem>) -> Result<Self, Vec<Problem>> {
        let IdentitySource::Pem { certificate, private_key, .. } = &identity.source else {
            return Err(vec![Problem::error(&identity.place, "PKCS#12 is not read yet", "use PEM")]);
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificate.bytes).collect();
        let key = PrivateKeyDer::from_pem_slice(&private_key.bytes);
        let wrong = |error: String| vec![Problem::error(&identity.place, error, "look at the files")];
        let chain = chain.map_err(|error| wrong(error.to_string()))?;
        let key = key.map_err(|error| wrong(error.to_string()))?;
        let key = CertifiedKey::from_der(chain, key, &tls::provider()).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { key: Arc::new(key) })
    }

    /// What TLS needs.
    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}
