//! The beginning of a connection: which protocol the app speaks.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use super::http1::{give_read_buffer, take_read_buffer};
use super::rest::close_at_rest;
use super::rewound::Rewound;
use super::{Caller, ServeSettings, Service, Stream, http1, http2};
use crate::words::Deadline;

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves one connection until the app or we close it: HTTP/2 with prior knowledge, or HTTP/1.1.
///
/// When `drain` is cancelled, a connection that rests closes soon, and one with requests under way after their
/// answers. Dropping the future cuts everything off.
pub async fn serve<S: Stream, V: Service>(
    mut io: S,
    caller: Caller,
    service: V,
    settings: &ServeSettings,
    drain: CancellationToken,
) {
    let mut received = BytesMut::new();
    let Some(protocol) = sniff(&mut io, &mut received, settings, &drain).await else { return };
    match protocol {
        Protocol::Http1 => http1::serve(io, received, &caller, &service, settings, &drain).await,
        Protocol::Http2 => http2::serve(Rewound { received, io }, caller, service, settings, &drain).await,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Reads until the protocol is clear; `None` if nothing comes.
async fn sniff<S: Stream>(
    io: &mut S,
    received: &mut BytesMut,
    settings: &ServeSettings,
    drain: &CancellationToken,
) -> Option<Protocol> {
    let mut deadline = Deadline::never();
    let mut draining = pin!(close_at_rest(drain));
    deadline.set(settings.keep_alive);
    let mut has_begun = false;
    poll_fn(|cx| {
        loop {
            if let Some(protocol) = protocol(received) {
                return Poll::Ready(Some(protocol));
            }
            if received.is_empty() {
                *received = take_read_buffer();
            }
            match pin!(io.read_buf(received)).poll(cx) {
                Poll::Ready(Ok(1..)) if has_begun => {}
                Poll::Ready(Ok(1..)) => {
                    has_begun = true;
                    deadline.set(settings.request);
                }
                // Part of a preface, and then nothing: let HTTP/1.1 say that it is malformed.
                Poll::Ready(Ok(0)) if !received.is_empty() => return Poll::Ready(Some(Protocol::Http1)),
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        if received.is_empty() {
            // No memory for a connection that has not said anything yet.
            give_read_buffer(std::mem::take(received));
            if draining.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
        }
        deadline.poll(cx).map(|()| None)
    })
    .await
}

/// Which protocol begins so, if that is clear already.
fn protocol(received: &[u8]) -> Option<Protocol> {
    let common = received.len().min(PREFACE.len());
    if received[..common] != PREFACE[..common] {
        return Some(Protocol::Http1);
    }
    (common == PREFACE.len()).then_some(Protocol::Http2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_alone_is_http_2() {
        assert_eq!(protocol(PREFACE), Some(Protocol::Http2));
        assert_eq!(protocol(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest"), Some(Protocol::Http2));
        for undecided in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            assert_eq!(protocol(undecided), None);
        }
        for other in [&b"GET / HTTP/1.1\r\n"[..], b"PUT", b"PRI * HTTP/2.0\r\n\r\nXX", b"\r\n"] {
            assert_eq!(protocol(other), Some(Protocol::Http1));
        }
    }
}
