//! The way to a collector: one POST on a connection of its own, from the thread that exports.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::pin::Pin;
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

/// How long a collector may take for each part of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read: it says how many spans were refused, if any.
const LONGEST: u64 = 64 * 1024;

/// Sends to a collector on this machine or in this pod, by plain HTTP. It blocks the thread that asks, which does nothing
/// else.
#[derive(Debug)]
pub(super) struct Collector;

/// Whether it is an address that this can send to.
pub(super) fn is_reachable_so(address: &str) -> bool {
    address.parse::<http::Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some())
}

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move { Ok(send(&request)?) })
    }
}

fn send(request: &Request<Bytes>) -> std::io::Result<Response<Bytes>> {
    let (host, port) = (request.uri().host().unwrap_or_default(), request.uri().port_u16().unwrap_or(80));
    let mut stream = connect(host.trim_start_matches('[').trim_end_matches(']'), port)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    // HTTP/1.0: the answer ends with the connection, and has no chunks.
    let mut message = Vec::new();
    write!(message, "POST {path} HTTP/1.0\r\nHost: {host}:{port}\r\nContent-Length: {}\r\n", request.body().len())?;
    for (name, value) in request.headers() {
        write!(message, "{name}: {}\r\n", value.to_str().map_err(Error::other)?)?;
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(request.body());
    stream.write_all(&message)?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    read(&answer).ok_or_else(|| ErrorKind::InvalidData.into())
}

fn connect(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let mut last = ErrorKind::NotFound.into();
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Status and content.
fn read(answer: &[u8]) -> Option<Response<Bytes>> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status: u16 = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    Response::builder().status(status).body(Bytes::copy_from_slice(&answer[end + 4..])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_content() {
        let answer = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab").unwrap();
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"ab"[..]));
        for wrong in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1\r\n\r\n"] {
            assert!(read(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn only_plain_http_leads_to_a_collector() {
        for good in ["http://localhost:4318", "http://127.0.0.1:4318/v1/traces", "http://[::1]:4318"] {
            assert!(is_reachable_so(good), "{good}");
        }
        for bad in ["https://collector.example", "localhost:4318", "", "/v1/traces", "grpc://x:4317"] {
            assert!(!is_reachable_so(bad), "{bad}");
        }
    }
}
