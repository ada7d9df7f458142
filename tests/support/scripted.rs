//! A bank of a test's own making: real TLS that demands the QWAC, a script for each connection, and every byte on record.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;

use bankside::sandbox::{Pki, Qwac, QwacOptions};
use bankside::words::{Clock, Random};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::seen::{Seen, requests, take_request};

/// Who issues what: the banks' certificates, and the QWAC of the sidecar.
pub struct Trust {
    servers: CertifiedIssuer<'static, KeyPair>,
    strangers: CertifiedIssuer<'static, KeyPair>,
    qwacs: Pki,
    /// What the sidecar shows.
    pub qwac: Qwac,
}

/// What a bank's own certificate is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaf {
    /// As it should be, for 127.0.0.1.
    #[default]
    Good,
    /// Its time is over.
    Expired,
    /// It is for another name.
    WrongName,
    /// Nobody knows its issuer.
    Untrusted,
}

/// What a bank is asked to be like.
#[derive(Clone)]
pub struct Setup {
    /// The protocols that it offers.
    pub alpn: &'static [&'static str],
    /// The versions of TLS that it speaks.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Its certificate.
    pub leaf: Leaf,
    /// Whether it takes the QWAC.
    pub takes_qwac: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            alpn: &["http/1.1"],
            versions: vec![&rustls::version::TLS13, &rustls::version::TLS12],
            leaf: Leaf::Good,
            takes_qwac: true,
        }
    }
}

impl Trust {
    /// New authorities.
    pub fn new() -> Self {
        let qwacs = Pki::new(Clock::system(), Random::system()).expect("authorities");
        let qwac = qwacs.qwac(&QwacOptions::default()).expect("a QWAC");
        Self { servers: authority("Servers"), strangers: authority("Strangers"), qwacs, qwac }
    }

    /// The root that the sidecar trusts.
    pub fn server_ca_pem(&self) -> String {
        self.servers.pem()
    }

    fn server_config(&self, setup: &Setup) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut clients = RootCertStore::empty();
        let root = if setup.takes_qwac { self.qwacs.qwac_root() } else { self.strangers.der().clone() };
        clients.add(root).expect("a root");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider)).build();
        let (chain, key) = self.leaf(setup.leaf);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&setup.versions)
            .expect("versions of TLS")
            .with_client_cert_verifier(verifier.expect("a verifier"))
            .with_single_cert(chain, key)
            .expect("a certificate");
        config.alpn_protocols = setup.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    fn leaf(&self, leaf: Leaf) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let name = if leaf == Leaf::WrongName { "another.example" } else { "127.0.0.1" };
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(if leaf == Leaf::Expired { 2021 } else { 2049 }, 12, 31);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().expect("a key");
        let issuer = if leaf == Leaf::Untrusted { &self.strangers } else { &self.servers };
        let certificate = params.signed_by(&key, issuer).expect("a certificate");
        (vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// What came over each connection, inside TLS.
#[derive(Clone, Default)]
pub struct Record(Arc<Mutex<Vec<Raw>>>);

/// The bytes of one connection.
type Raw = Arc<Mutex<Vec<u8>>>;

impl Record {
    /// The bytes of each connection that said anything, in the order of connecting.
    pub fn raw(&self) -> Vec<Vec<u8>> {
        let all = self.0.lock().expect("no panic").iter().map(|raw| raw.lock().expect("no panic").clone()).collect();
        let all: Vec<Vec<u8>> = all;
        all.into_iter().filter(|raw| !raw.is_empty()).collect()
    }

    /// Whole requests over all connections, read strictly, and how many bytes are left of unfinished ones.
    pub fn requests(&self) -> (Vec<Seen>, usize) {
        let (mut all, mut left) = (Vec::new(), 0);
        for raw in self.raw() {
            let read = requests(&raw);
            let (seen, rest) = read.unwrap_or_else(|why| panic!("{why}:\n{}", String::from_utf8_lossy(&raw)));
            all.extend(seen);
            left += rest.len();
        }
        (all, left)
    }

    /// Forgets what was recorded; connections that are open are recorded on from here.
    pub fn clear(&self) {
        for raw in self.0.lock().expect("no panic").iter() {
            raw.lock().expect("no panic").clear();
        }
    }

    fn begin(&self) -> (usize, Raw) {
        let raw = Raw::default();
        let mut all = self.0.lock().expect("no panic");
        all.push(Arc::clone(&raw));
        (all.len() - 1, raw)
    }
}

/// A connection to the bank, after TLS.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    raw: Raw,
    read: Vec<u8>,
    /// Which connection it is, from 0.
    pub number: usize,
}

impl Connection {
    /// The next request, read strictly; `None` at the end of the connection, or of its reason.
    pub async fn request(&mut self) -> Option<Seen> {
        loop {
            match take_request(&self.read) {
                Ok(Some((seen, length))) => {
                    self.read.drain(..length);
                    return Some(seen);
                }
                Ok(None) => {}
                Err(_) => return None,
            }
            self.more().await?;
        }
    }

    /// Reads until the head of the next request is there, without taking it.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                return Some(String::from_utf8_lossy(&self.read[..end]).into_owned());
            }
            self.more().await?;
        }
    }

    /// Reads some more; `None` at the end.
    pub async fn more(&mut self) -> Option<()> {
        let mut buffer = vec![0; 16 * 1024];
        let count = self.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        self.read.extend_from_slice(&buffer[..count]);
        Some(())
    }

    /// Writes, whether or not anybody reads.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// What has been read and not taken.
    pub fn unread(&self) -> &[u8] {
        &self.read
    }

    /// Closes in good order.
    pub async fn close(mut self) {
        let _ = self.stream.shutdown().await;
        while self.more().await.is_some() {}
    }

    /// Closes so that the other side sees a reset.
    pub fn reset(self) {
        let _ = self.stream.get_ref().0.set_zero_linger();
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.raw.lock().expect("no panic").extend_from_slice(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A bank that runs in a thread of its own. It ends when this is dropped.
pub struct Bank {
    /// Where it listens.
    pub address: SocketAddr,
    /// What came.
    pub record: Record,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bank {
    /// Starts a bank whose connections each follow the script.
    pub fn start<F, Fut>(trust: &Trust, setup: &Setup, script: F) -> Self
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(trust.server_config(setup)));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let record = Record::default();
        let (end, ended) = oneshot::channel();
        let (recorded, script) = (record.clone(), Arc::new(script));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(&listener, &acceptor, &recorded, &script) => {}
                    _ = ended => {}
                }
            });
        });
        Self { address, record, end: Some(end), thread: Some(thread) }
    }

    /// A bank that answers every request with 200 and `ok`.
    pub fn obliging(trust: &Trust, setup: &Setup) -> Self {
        Self::start(trust, setup, |mut connection| async move {
            while connection.request().await.is_some() {
                connection.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        })
    }
}

async fn accept<F, Fut>(listener: &TcpListener, acceptor: &TlsAcceptor, record: &Record, script: &Arc<F>)
where
    F: Fn(Connection) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    loop {
        let Ok((tcp, _)) = listener.accept().await else { continue };
        let _ = tcp.set_nodelay(true);
        let (acceptor, record, script) = (acceptor.clone(), record.clone(), Arc::clone(script));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(tcp).await else { return };
            let (number, raw) = record.begin();
            script(Connection { stream, raw, read: Vec::new(), number }).await;
        });
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
