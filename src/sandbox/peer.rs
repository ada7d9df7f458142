//! What a bank sees of the client certificate with which a connection was opened.

use std::sync::Arc;

use der::Decode;
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;

use super::record::{hex, sha256};
use super::statements::{self, QC_STATEMENTS, Role};

/// The client certificate of a request's connection; `None` on a listener that asks for none.
#[derive(Clone, Debug)]
pub(super) struct Peer(pub(super) Option<Arc<PeerCertificate>>);

impl Peer {
    /// Whether the certificate states the role.
    pub(super) fn has(&self, role: Role) -> bool {
        self.0.as_ref().is_some_and(|certificate| certificate.roles.contains(&role))
    }

    /// The certificate's serial number.
    pub(super) fn serial(&self) -> Option<&str> {
        self.0.as_ref().map(|certificate| certificate.serial.as_str())
    }

    /// What a JWT of the certificate's holder is verified with.
    pub(super) fn key(&self) -> Option<&HolderKey> {
        self.0.as_ref().map(|certificate| &certificate.key)
    }

    /// Who the certificate was issued to.
    pub(super) fn subject(&self) -> &str {
        self.0.as_ref().map_or("", |certificate| &certificate.subject)
    }
}

/// The facts of a certificate that count here.
#[derive(Debug)]
pub(super) struct PeerCertificate {
    /// In lower-case hexadecimal digits.
    pub(super) serial: String,
    /// The roles of its PSD2 statement.
    pub(super) roles: Vec<Role>,
    /// The subject's name (RFC 4514).
    pub(super) subject: String,
    /// What a JWT that the holder signs is verified with.
    pub(super) key: HolderKey,
}

/// The public key of a certificate.
#[derive(Clone, Debug)]
pub(super) struct HolderKey {
    /// Its bits, without the algorithm.
    pub(super) bits: Vec<u8>,
    /// SHA-256 of the certificate.
    pub(super) fingerprint: [u8; 32],
}

impl PeerCertificate {
    /// Reads a certificate that TLS has verified already.
    pub(super) fn read(der: &CertificateDer<'_>) -> der::Result<Self> {
        let certificate = Certificate::from_der(der)?;
        let facts = certificate.tbs_certificate();
        let statement = facts.extensions().into_iter().flatten().find(|extension| extension.extn_id == QC_STATEMENTS);
        Ok(Self {
            serial: hex(facts.serial_number().as_bytes()),
            roles: statement.map(|extension| statements::roles(extension.extn_value.as_bytes())).unwrap_or_default(),
            subject: facts.subject().to_string(),
            key: HolderKey {
                bits: facts.subject_public_key_info().subject_public_key.raw_bytes().to_vec(),
                fingerprint: sha256(der),
            },
        })
    }
}
