//! TLS towards the server, always verified, with what SCRAM needs to bind itself to the connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_lc_rs::digest;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as Encrypted;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::config::PostgresTls;
use crate::store::StoreError;

/// Makes TLS connections to the server.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// From the roots that count. Without TLS it is made and not used.
    pub(super) fn new(tls: Option<&PostgresTls>) -> Result<Self, StoreError> {
        let mut roots = RootCertStore::empty();
        match tls.map(|tls| tls.ca.as_ref()) {
            Some(Some(file)) => {
                for certificate in CertificateDer::pem_slice_iter(&file.bytes) {
                    let certificate = certificate.map_err(|error| StoreError::Tls(error.to_string()))?;
                    roots.add(certificate).map_err(|error| StoreError::Tls(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(StoreError::Tls(format!("{} has no certificate in it", file.path.display())));
                }
            }
            Some(None) => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                }
            }
            None => {}
        }
        let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| StoreError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Stream<S>;
    type TlsConnect = Connect;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, name: &str) -> Result<Connect, Self::Error> {
        // Without a name there is a unix socket, and no TLS.
        let name = if name.is_empty() { "localhost" } else { name };
        Ok(Connect { connector: TlsConnector::from(Arc::clone(&self.0)), name: name.to_owned().try_into()? })
    }
}

/// One connection to be.
pub(super) struct Connect {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Connect {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { Ok(Stream(self.connector.connect(self.name, stream).await?)) })
    }
}

/// An encrypted stream.
pub(super) struct Stream<S>(Encrypted<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let leaf = self.0.get_ref().1.peer_certificates().and_then(<[_]>::first);
        leaf.and_then(|leaf| end_point(leaf)).map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// The digest of the server's certificate (RFC 5929, section 4.1): by the hash of its signature, SHA-256 for weaker ones.
/// A signature without a hash of its own has none.
fn end_point(leaf: &[u8]) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(leaf).ok()?;
    let algorithm = match certificate.signature_algorithm().oid.to_string().as_str() {
        // RSA (RFC 8017) with MD5, SHA-1, SHA-256; ECDSA (RFC 5758) with SHA-1, SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => &digest::SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, leaf).as_ref().to_vec())
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
