//! A bank for tests that follows a script, byte for byte, and what tests say to a client.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use rustls::SupportedProtocolVersion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::server::TlsStream;

use crate::config::{self, Alpn};
use crate::message::{Body, BodyError, BodyStream, Fields, Frame, Request, Response, Size};
use crate::upstream::tls_bank::{Setup, client, trusting};
use crate::upstream::{Client, ClientSettings, ConnectionLimit, SendError, tls_bank};

/// Far longer than anything here takes.
pub(super) const LONG: Duration = Duration::from_secs(20);
/// For waits that nothing but another timer ends.
pub(super) const FOREVER: Duration = Duration::from_hours(24);
/// For waits that are to end by the timer: the bank says nothing, so the timer is what ends them.
pub(super) const SHORT: Duration = Duration::from_millis(40);

pub(super) fn settings() -> ClientSettings {
    ClientSettings { connect: LONG, idle: LONG, queue: LONG, connections: Arc::new(ConnectionLimit::new(64)) }
}

/// A bank that listens.
pub(super) struct Bank(tls_bank::Bank);

impl Bank {
    pub(super) async fn http1() -> Self {
        Self(tls_bank::Bank::start(Setup::default()).await)
    }

    pub(super) async fn http2() -> Self {
        Self(tls_bank::Bank::start(Setup { alpn: vec![b"h2"], ..Setup::default() }).await)
    }

    /// A bank that speaks one version of TLS, and one of HTTP.
    pub(super) async fn of(version: &'static SupportedProtocolVersion, alpn: &'static [u8]) -> Self {
        Self(tls_bank::Bank::start(Setup { version, alpn: vec![alpn], ..Setup::default() }).await)
    }

    /// A bank that can send any record, and sends so many session tickets.
    pub(super) async fn odd(alpn: &'static [u8], tickets: usize) -> Self {
        let setup = Setup { is_odd: true, alpn: vec![alpn], tickets, ..Setup::default() };
        Self(tls_bank::Bank::start(setup).await)
    }

    /// A client whose keys may protect so many records.
    pub(super) fn client_with_limit(&self, records: u64) -> Client {
        let tls = client(&trusting(&self.0.root), None).with_limit(records);
        Client::new(self.0.endpoint(), Arc::new(tls), settings())
    }

    /// A client of its own.
    pub(super) fn client(&self, settings: ClientSettings) -> Client {
        self.client_with(settings, vec![Alpn::H2, Alpn::Http11])
    }

    pub(super) fn client_with(&self, settings: ClientSettings, alpn: Vec<Alpn>) -> Client {
        let tls = config::Tls { alpn, ..trusting(&self.0.root) };
        Client::new(self.0.endpoint(), Arc::new(client(&tls, None)), settings)
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> Peer {
        Peer { stream: self.0.accept().await.expect("a handshake"), read: Vec::new() }
    }
}

/// The bank's end of a connection.
pub(super) struct Peer {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

impl Peer {
    /// A request's head, with the empty line at its end.
    pub(super) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.read.split_off(end + 4);
                return String::from_utf8(std::mem::replace(&mut self.read, rest)).expect("text");
            }
            assert_ne!(self.fill().await, 0, "the connection closed before a head: {:?}", self.read);
        }
    }

    /// Waits until something comes; whether it does, before the client closes.
    pub(super) async fn is_spoken_to(&mut self) -> bool {
        !self.read.is_empty() || self.fill().await > 0
    }

    /// So many bytes.
    pub(super) async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert_ne!(self.fill().await, 0, "the connection closed after {} of {length} bytes", self.read.len());
        }
        let rest = self.read.split_off(length);
        std::mem::replace(&mut self.read, rest)
    }

    pub(super) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the client reads");
        self.stream.flush().await.expect("the client reads");
    }

    /// Answers a request without a body.
    pub(super) async fn answer(&mut self, bytes: impl AsRef<[u8]>) -> String {
        let head = self.head().await;
        self.say(bytes).await;
        head
    }

    /// What comes until the client closes.
    pub(super) async fn rest(mut self) -> Vec<u8> {
        while self.fill().await > 0 {}
        self.read
    }

    /// Closes with a TLS alert and a FIN.
    pub(super) async fn close(mut self) {
        self.stream.shutdown().await.expect("a close");
    }

    /// Closes without a TLS alert.
    pub(super) fn hang_up(self) {
        drop(self.stream);
    }

    /// Resets the connection.
    pub(super) fn reset(self) {
        let (tcp, _) = self.stream.into_inner();
        socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).expect("an open socket");
    }

    /// The bytes beneath HTTP/2.
    pub(super) fn into_stream(self) -> TlsStream<TcpStream> {
        self.stream
    }

    async fn fill(&mut self) -> usize {
        self.stream.read_buf(&mut self.read).await.unwrap_or(0)
    }
}

pub(super) fn get(target: &'static str) -> Request {
    request(Method::GET, target, Body::absent())
}

pub(super) fn post(body: Body) -> Request {
    request(Method::POST, "/p", body)
}

pub(super) fn request(method: Method, target: &'static str, body: Body) -> Request {
    let mut request = Request::new(method, target, body);
    request.fields.push("Host", "bank.example");
    request
}

/// Sends `request` with long patience and takes the answer whole.
pub(super) async fn whole(client: &Client, request: Request) -> (Response, String) {
    let mut response = client.send(request, LONG).await.expect("an answer");
    let text = text(&mut response).await.expect("a body");
    (response, text)
}

/// The body of an answer as text.
pub(super) async fn text(response: &mut Response) -> Result<String, BodyError> {
    let content = std::mem::take(&mut response.body).collect(usize::MAX).await?;
    Ok(String::from_utf8(content.expect("no bound")).expect("text"))
}

pub(super) async fn error(client: &Client, request: Request) -> SendError {
    client.send(request, LONG).await.expect_err("no answer")
}

/// The end of a body at which frames come in. Dropped, it ends the body.
pub(super) struct Feed(UnboundedSender<Result<Frame, BodyError>>);

impl Feed {
    pub(super) fn data(&self, text: &'static str) {
        self.give(Ok(Frame::Data(Bytes::from_static(text.as_bytes()))));
    }

    pub(super) fn trailers(&self, name: &str, value: &str) {
        let mut fields = Fields::new();
        fields.push(name, value);
        self.give(Ok(Frame::Trailers(fields)));
    }

    pub(super) fn fail(&self, error: BodyError) {
        self.give(Err(error));
    }

    /// Nobody may be left who wants it.
    fn give(&self, frame: Result<Frame, BodyError>) {
        let _ = self.0.send(frame);
    }
}

/// A body that a test feeds.
pub(super) fn fed(size: Size) -> (Feed, Body) {
    let (feed, frames) = unbounded_channel();
    (Feed(feed), Body::stream(Fed { frames, size }))
}

struct Fed {
    frames: UnboundedReceiver<Result<Frame, BodyError>>,
    size: Size,
}

impl BodyStream for Fed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.frames.poll_recv(cx)
    }

    fn size(&self) -> Size {
        self.size
    }
}

/// A body of `length` bytes, and how many of them have been asked for.
pub(super) fn counted(length: u64) -> (Arc<AtomicU64>, Body) {
    let taken = Arc::new(AtomicU64::new(0));
    (Arc::clone(&taken), Body::stream(Counted { length, taken }))
}

struct Counted {
    length: u64,
    taken: Arc<AtomicU64>,
}

impl BodyStream for Counted {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        const FRAME: usize = 16 * 1024;
        let left = usize::try_from(self.length - self.taken.load(Relaxed)).expect("a small number");
        let frame = vec![b'x'; left.min(FRAME)];
        self.taken.fetch_add(frame.len() as u64, Relaxed);
        Poll::Ready((!frame.is_empty()).then(|| Ok(Frame::Data(frame.into()))))
    }

    fn size(&self) -> Size {
        Size::Exact(self.length)
    }
}

/// Waits until `condition` holds, which other tasks bring about.
pub(super) async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("it never came to that");
}

/// Polls `future` once, which is to be pending.
pub(super) async fn poll_once<F: Future>(future: &mut Pin<Box<F>>) {
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending(), "it is over already");
        Poll::Ready(())
    })
    .await;
}
