//! A legacy app: a plain HTTP client that knows nothing of banks.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use hyper::client::conn::{http1, http2};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::vault;
use super::wait::unless_it_hangs;

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The field lines.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailers, if there were any.
    pub trailers: HeaderMap,
}

impl Answer {
    /// A field's value; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {} {:?}", self.status, self.body))
    }

    /// This, if it has that status.
    pub fn with(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}", self.body);
        self
    }

    /// The problem that this is: of this kind and status, whole, and told apart from the bank's own answers.
    pub fn problem(&self, kind: &str, status: u16) -> Value {
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:bankside:{kind}"), "{problem}");
        assert_eq!((self.status, &problem["status"]), (status, &Value::from(status)), "{problem}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert!(self.header("proxy-status").starts_with("bankside; error="), "{:?}", self.headers);
        for field in ["title", "detail", "bank", "remedy"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "no {field}: {problem}");
        }
        let remedy = problem["remedy"].as_str().expect("a text");
        assert!(remedy.ends_with(&format!("(docs/TROUBLESHOOTING.md#{kind})")), "{problem}");
        problem
    }
}

/// A GET on a connection of its own.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, "GET", path, &[], "").await
}

/// A request on a connection of its own, with HTTP/1.1.
pub async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let stream = TcpStream::connect(address).await.expect("somebody listens");
    send_over(stream, &address.to_string(), method, path, headers, body).await
}

/// What a metric says that is a whole number, labels included in its name; `None` where there is none of that name.
pub async fn metric(admin: SocketAddr, name: &str) -> Option<u64> {
    let page = get(admin, "/metrics").await.with(200);
    metric_in(&String::from_utf8_lossy(&page.body), name)
}

/// As [`metric`], of the page itself.
pub fn metric_in(page: &str, name: &str) -> Option<u64> {
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map(|value| value.parse().expect("a whole number"))
}

/// A GET over a unix socket.
pub async fn get_unix(socket: &Path, path: &str) -> Answer {
    let stream = UnixStream::connect(socket).await.expect("somebody listens");
    send_over(stream, "localhost", "GET", path, &[], "").await
}

async fn send_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", host);
    }
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Full::new(body.into())).expect("a request");
    unless_it_hangs(path, exchange_http1(stream, request)).await
}

/// One request on a connection, with HTTP/1.1.
async fn exchange_http1<B>(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    let driver = tokio::spawn(connection);
    let answer = whole(sender.send_request(request).await.expect("an answer")).await;
    driver.abort();
    answer
}

/// One request on a connection of its own, with HTTP/2.
async fn exchange_http2<B>(address: SocketAddr, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(address).await.expect("somebody listens");
    let connected = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = connected.expect("a connection");
    let driver = tokio::spawn(connection);
    let answer = whole(sender.send_request(request).await.expect("an answer")).await;
    driver.abort();
    answer
}

/// A request on a connection of its own, with HTTP/2 by prior knowledge.
pub async fn send_http2(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let request = Request::builder().method(method).uri(format!("http://{address}{path}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Full::new(body.into())).expect("a request");
    unless_it_hangs(path, exchange_http2(address, request)).await
}

/// A POST whose body is followed by a trailer field.
pub async fn send_with_trailers(
    address: SocketAddr,
    version: Version,
    path: &str,
    body: &'static str,
    (name, value): (&'static str, &'static str),
) -> Answer {
    let fields = [(HeaderName::from_static(name), HeaderValue::from_static(value))].into_iter().collect();
    let body = Full::new(Bytes::from_static(body.as_bytes())).with_trailers(std::future::ready(Some(Ok(fields))));
    // Announced, or an HTTP/1.1 client sends none; and of no announced length, or there are no chunks.
    let request = Request::builder().method("POST").header("trailer", name);
    let unsized_body = Unsized(Box::pin(body));
    unless_it_hangs(path, async {
        if version == Version::HTTP_2 {
            let request = request.uri(format!("http://{address}{path}")).body(unsized_body).expect("a request");
            return exchange_http2(address, request).await;
        }
        let request = request.uri(path).header("host", address.to_string()).body(unsized_body).expect("a request");
        exchange_http1(TcpStream::connect(address).await.expect("somebody listens"), request).await
    })
    .await
}

/// A body that does not say how long it is.
struct Unsized<B>(Pin<Box<B>>);

impl<B: Body> Body for Unsized<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.0.as_mut().poll_frame(cx)
    }
}

async fn whole(answer: Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a whole body");
    let trailers = body.trailers().cloned().unwrap_or_default();
    let answer = Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers };
    if answer.header("proxy-status").starts_with("bankside") {
        vault::search("a problem", format!("{:?} {:?}", answer.headers, answer.body).as_bytes());
    }
    answer
}

/// Sends these bytes on a connection of their own; all that comes back until the sidecar closes or resets it.
pub async fn raw(address: SocketAddr, request: &str) -> String {
    unless_it_hangs("the connection is not closed", async {
        let mut stream = TcpStream::connect(address).await.expect("somebody listens");
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        let mut answer = Vec::new();
        // What came before a reset came.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
}
