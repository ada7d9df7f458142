//! Somebody who notes what a bank shows and asks for in a handshake. What counts is decided by others, as ever.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

/// What was noted, of the last handshake.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Witness {
    chain: Mutex<Vec<Vec<u8>>>,
    asked_for: Mutex<Option<Vec<Vec<u8>>>>,
}

impl Witness {
    /// The bank's certificates in DER, leaf first.
    pub(super) fn chain(&self) -> Vec<Vec<u8>> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The names in DER of the CAs that the bank accepts; `None` where it asked for no certificate.
    pub(super) fn asked_for(&self) -> Option<Vec<Vec<u8>>> {
        self.asked_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Verifies as `inner` does.
#[derive(Debug)]
pub(in crate::upstream) struct Verifier {
    pub(in crate::upstream) inner: Arc<dyn ServerCertVerifier>,
    pub(in crate::upstream) witness: Arc<Witness>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(leaf).chain(intermediates).map(|der| der.to_vec()).collect();
        *self.witness.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        self.inner.verify_server_cert(leaf, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.inner.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.inner.root_hint_subjects()
    }
}

/// Shows what `inner` does.
pub(in crate::upstream) struct Resolver {
    pub(in crate::upstream) inner: Arc<dyn ResolvesClientCert>,
    pub(in crate::upstream) witness: Arc<Witness>,
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, root_hint_subjects: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let names = root_hint_subjects.iter().map(|name| name.to_vec()).collect();
        *self.witness.asked_for.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
        self.inner.resolve(root_hint_subjects, schemes)
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
