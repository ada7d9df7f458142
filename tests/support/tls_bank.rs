//! A bank that demands a client certificate, and answers every request with the serial number that it saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::pki::{Authority, Issued};

/// A bank. It lives as long as the test's runtime.
pub struct TlsBank {
    pub address: SocketAddr,
    /// Handshakes that were completed.
    pub handshakes: Arc<AtomicUsize>,
}

impl TlsBank {
    /// Starts a bank at `127.0.0.1` whose own certificate is `root`'s, and that takes certificates of `clients` only.
    /// A request for a path with `close` in it is the last of its connection.
    pub async fn start(root: &Authority, clients: &Authority, version: &'static SupportedProtocolVersion) -> Self {
        Self::showing(&root.server("127.0.0.1"), clients, version).await
    }

    /// The same with any certificate.
    pub async fn showing(server: &Issued, clients: &Authority, version: &'static SupportedProtocolVersion) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let acceptor = TlsAcceptor::from(Arc::new(server_config(server, clients, version)));
        let handshakes = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&handshakes);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, counter) = (acceptor.clone(), Arc::clone(&counter));
                tokio::spawn(async move {
                    // A client that goes away, or is refused, is part of some tests.
                    let _ = serve(tcp, acceptor, &counter).await;
                });
            }
        });
        Self { address, handshakes }
    }
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, handshakes: &AtomicUsize) -> std::io::Result<()> {
    let mut stream = acceptor.accept(tcp).await?;
    handshakes.fetch_add(1, Ordering::SeqCst);
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let serial = certificates.first().map(|der| super::pki::serial(der)).unwrap_or_default();
    let mut head = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..read]);
        let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&head[..end]).into_owned();
        head.drain(..end + 4);
        let closes = text.lines().next().is_some_and(|line| line.contains("close"));
        let connection = if closes { "Connection: close\r\n" } else { "" };
        let body = if text.starts_with("HEAD") { "" } else { &serial };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{connection}\r\n{body}", serial.len());
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
        if closes {
            return stream.shutdown().await;
        }
    }
}

fn server_config(server: &Issued, clients: &Authority, version: &'static SupportedProtocolVersion) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(clients.der.clone())).expect("a root");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::from_pem_slice(server.key_pem.as_bytes()).expect("a key");
    let certificate = CertificateDer::from_pem_slice(server.pem.as_bytes()).expect("a certificate");
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version of TLS")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(vec![certificate], key)
        .expect("a certificate");
    // Every handshake is a whole one: a resumed session needs no signature.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}
