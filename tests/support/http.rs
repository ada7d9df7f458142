//! A legacy app: a plain HTTP client that knows nothing of banks.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// An answer, read whole.
pub type Answer = Response<Bytes>;

/// A GET on a connection of its own.
pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(address, "GET", path, headers, "").await
}

/// A request on a connection of its own, with HTTP/1.1.
pub async fn send(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let stream = TcpStream::connect(address).await.expect("somebody listens");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request(address, method, path, headers, body)).await.expect("an answer");
    let answer = whole(answer).await;
    drop(sender);
    driver.abort();
    answer
}

/// A request on a connection of its own, with HTTP/2 by prior knowledge.
pub async fn send_http2(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let stream = TcpStream::connect(address).await.expect("somebody listens");
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
    let driver = tokio::spawn(connection);
    let mut request = request(address, method, path, headers, body);
    *request.uri_mut() = format!("http://{address}{path}").parse().expect("a URI");
    request.headers_mut().remove("host");
    let answer = whole(sender.send_request(request).await.expect("an answer")).await;
    driver.abort();
    answer
}

fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", address.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a request")
}

async fn whole(answer: Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = answer.into_parts();
    Response::from_parts(head, body.collect().await.expect("a whole body").to_bytes())
}

/// The body as JSON.
pub fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(answer.body()).unwrap_or_else(|_| panic!("not JSON: {:?}", answer.body()))
}
