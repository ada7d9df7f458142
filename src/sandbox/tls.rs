//! The banks' side of TLS: versions, protocols, and which client certificates are taken.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion, version,
};

use crate::words::Clock;

use super::Error;
use super::control::Control;
use super::peer::PeerCertificate;
use super::pki::{Pki, ServerIdentity};

/// The versions of TLS that a bank speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// TLS 1.2 and 1.3.
    #[default]
    Both,
    /// TLS 1.2 only.
    Only12,
    /// TLS 1.3 only.
    Only13,
}

impl TlsVersions {
    fn list(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Both => vec![&version::TLS13, &version::TLS12],
            Self::Only12 => vec![&version::TLS12],
            Self::Only13 => vec![&version::TLS13],
        }
    }
}

/// The protocols that a bank speaks, as ALPN (RFC 7301) tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
    /// Both; HTTP/2 where the client offers it.
    #[default]
    Both,
}

impl Protocols {
    fn alpn(self) -> Vec<Vec<u8>> {
        let (h2, http1) = (b"h2".to_vec(), b"http/1.1".to_vec());
        match self {
            Self::Http1 => vec![http1],
            Self::Http2 => vec![h2],
            Self::Both => vec![h2, http1],
        }
    }
}

/// Who may open a connection.
pub(super) enum Clients {
    /// Anybody: a browser, or an app at the sandbox of the bank.
    Anyone,
    /// Those who present a QWAC that is valid and not refused by the control.
    Qwac(Control),
}

/// The TLS configuration of a listener.
pub(super) fn server(
    pki: &Pki,
    clock: &Clock,
    identity: ServerIdentity,
    versions: TlsVersions,
    protocols: Protocols,
    clients: Clients,
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(BankTime(clock.clone())))
        .with_protocol_versions(&versions.list())?;
    let builder = match clients {
        Clients::Anyone => builder.with_no_client_auth(),
        Clients::Qwac(control) => builder.with_client_cert_verifier(qwac_verifier(pki, provider, control)?),
    };
    let mut config = builder.with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = protocols.alpn();
    Ok(config)
}

fn qwac_verifier(
    pki: &Pki,
    provider: Arc<CryptoProvider>,
    control: Control,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(pki.qwac_root())?;
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    Ok(Arc::new(QwacVerifier { chain, control }))
}

/// The bank's time, as TLS asks for it.
#[derive(Debug)]
struct BankTime(Clock);

impl TimeProvider for BankTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Takes a client certificate that leads to the trust service's root, is for clients, in time, and not refused.
struct QwacVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    control: Control,
}

impl fmt::Debug for QwacVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QwacVerifier")
    }
}

impl ClientCertVerifier for QwacVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.chain.verify_client_cert(leaf, intermediates, now)?;
        let certificate = PeerCertificate::read(leaf).map_err(|_| CertificateError::BadEncoding)?;
        if self.control.refuses(&certificate.serial) {
            return Err(CertificateError::Revoked.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
