//! A bank's TLS for tests: it demands client certificates on a loopback port, and says what it saw.

pub(super) mod odd;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, Tls12CipherSuite, Tls13CipherSuite,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use crate::certificate::pki::{Authority, Issued};
use crate::config::{self, Alpn, FileContent, IdentitySource, Place, TlsVersion};
use crate::words::Secret;

use super::tls;
use super::{Endpoint, TlsClient};

/// The name in the bank's certificate. It is no address, so clients here set it as `server_name`.
pub(super) const NAME: &str = "bank.example";

/// What a bank may be asked to be like.
pub(super) struct Setup {
    pub(super) version: &'static SupportedProtocolVersion,
    /// Whether it can send any record, as [`odd`] has it.
    pub(super) is_odd: bool,
    /// The only suite that it takes.
    pub(super) suite: Option<SupportedCipherSuite>,
    pub(super) alpn: Vec<&'static [u8]>,
    /// The root that clients' certificates must lead to.
    pub(super) clients: Option<Authority>,
    /// The names in its own certificate.
    pub(super) name: &'static str,
    /// How many session tickets it sends when the handshake is over (TLS 1.3).
    pub(super) tickets: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            version: &rustls::version::TLS13,
            is_odd: false,
            suite: None,
            alpn: vec![b"http/1.1"],
            clients: None,
            name: NAME,
            tickets: 2,
        }
    }
}

/// A bank that takes one connection after the other.
pub(super) struct Bank {
    pub(super) root: Authority,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Bank {
    pub(super) async fn start(setup: Setup) -> Self {
        let root = Authority::new("Bank Root");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&root, &setup)));
        Self { root, listener, acceptor }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        endpoint(self.listener.local_addr().expect("an address"))
    }

    /// Takes one connection, reads a byte of it and answers with one.
    pub(super) fn serve_one(self) -> JoinHandle<std::io::Result<Seen>> {
        tokio::spawn(async move {
            let mut stream = self.accept().await?;
            let mut byte = [0];
            stream.read_exact(&mut byte).await?;
            stream.write_all(&byte).await?;
            Ok(Seen::of(&stream))
        })
    }

    pub(super) async fn accept(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let (tcp, _) = self.listener.accept().await?;
        self.acceptor.accept(tcp).await
    }
}

/// What the bank saw of a client.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) server_name: Option<String>,
    pub(super) resumed: bool,
}

impl Seen {
    pub(super) fn of(stream: &TlsStream<TcpStream>) -> Self {
        let session = stream.get_ref().1;
        Self {
            certificates: session.peer_certificates().into_iter().flatten().map(|der| der.to_vec()).collect(),
            server_name: session.server_name().map(str::to_owned),
            resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        }
    }
}

fn server_config(root: &Authority, setup: &Setup) -> ServerConfig {
    let mut provider = if setup.is_odd { odd::provider() } else { CryptoProvider::clone(&tls::provider()) };
    provider.cipher_suites.retain(|suite| setup.suite.is_none_or(|only| only == *suite));
    let builder = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[setup.version])
        .expect("a version of TLS");
    let builder = match &setup.clients {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(authority.der.clone())).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider()).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
        None => builder.with_no_client_auth(),
    };
    let Issued { der, key_pem, .. } = root.server(setup.name);
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).expect("a key");
    let mut config = builder.with_single_cert(vec![CertificateDer::from(der)], key).expect("a certificate");
    config.send_tls13_tickets = setup.tickets;
    config.alpn_protocols = setup.alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// The suite, whose keys may protect so many records. It lives as long as the process.
pub(super) fn with_limit(suite: SupportedCipherSuite, records: u64) -> SupportedCipherSuite {
    match suite {
        SupportedCipherSuite::Tls12(suite) => SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
            common: CipherSuiteCommon { confidentiality_limit: records, ..suite.common },
            ..*suite
        }))),
        SupportedCipherSuite::Tls13(suite) => SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
            common: CipherSuiteCommon { confidentiality_limit: records, ..suite.common },
            ..*suite
        }))),
    }
}

pub(super) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint { host: address.ip().to_string(), port: address.port() }
}

pub(super) fn place(key: &str) -> Place {
    Place { file: Arc::new(PathBuf::from("bankside.toml")), line: 7, key: key.into() }
}

pub(super) fn file(name: &str, content: impl Into<Vec<u8>>) -> FileContent {
    FileContent { place: place(name), path: PathBuf::from(name), bytes: Arc::new(Zeroizing::new(content.into())) }
}

pub(super) fn pem_identity(certificate: &str, private_key: &str, passphrase: Option<&str>) -> config::Identity {
    let source = IdentitySource::Pem {
        certificate: file("qwac.pem", certificate),
        private_key: file("qwac-key.pem", private_key),
        passphrase: passphrase.map(Secret::from),
    };
    config::Identity { place: place("identity"), source, next: None }
}

/// TLS that trusts `root` alone.
pub(super) fn trusting(root: &Authority) -> config::Tls {
    config::Tls {
        place: place("banks.examplebank.tls"),
        ca: vec![file("root.pem", root.pem.as_str())],
        system_roots: false,
        min_version: TlsVersion::Tls12,
        alpn: vec![Alpn::H2, Alpn::Http11],
        server_name: Some(NAME.to_owned()),
        client_certificate: true,
    }
}

pub(super) fn client(tls: &config::Tls, identity: Option<&config::Identity>) -> TlsClient {
    TlsClient::new(tls, identity, &mut Vec::new()).expect("a client")
}
