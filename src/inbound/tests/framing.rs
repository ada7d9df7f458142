//! How answers are framed: by method, status, version and what is known of the body's length.

use bytes::Bytes;
use http::StatusCode;

use super::support::*;
use crate::message::{Body, Fields, Frame, Request, Response, Size};

/// What an app gets that asks so, from a service that answers so; the connection's end included if it closes.
async fn exchange(request: &str, response: impl Fn() -> Response + Send + Sync + 'static) -> String {
    let service = Answering::new(move |request: Request| {
        let answer = if &request.target[..] == b"/a" { ok("/a") } else { response() };
        async move { answer }
    });
    let mut app = app(service);
    app.send(format!("{request}\r\n\r\n")).await;
    app.send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let answers = app.read_all().await.unwrap();
    let next = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/a";
    match answers.strip_suffix(next) {
        Some(answer) => format!("{answer}<open>"),
        None => format!("{answers}<closed>"),
    }
}

fn with(status: StatusCode, lines: &[(&str, &str)], body: Body) -> Response {
    let mut response = Response::new(status, body);
    response.fields = fields(lines);
    response
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: x";
const OLD: &str = "GET / HTTP/1.0";
const OLD_KEPT: &str = "GET / HTTP/1.0\r\nConnection: Keep-Alive";

fn unknown() -> Body {
    frames(Size::Unknown, [data("hello"), data(" world")])
}

fn exact() -> Body {
    frames(Size::Exact(11), [data("hello"), data(" world")])
}

#[tokio::test(start_paused = true)]
async fn a_known_length_is_said_and_an_unknown_one_is_chunked() {
    let ok = StatusCode::OK;
    assert_eq!(
        exchange(GET, move || with(ok, &[("A", "b")], exact())).await,
        "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 11\r\n\r\nhello world<open>"
    );
    assert_eq!(
        exchange(GET, move || with(ok, &[("content-length", "11"), ("A", "b")], exact())).await,
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nA: b\r\n\r\nhello world<open>"
    );
    assert_eq!(
        exchange(GET, move || with(ok, &[], unknown())).await,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n<open>"
    );
    assert_eq!(
        exchange(GET, move || with(ok, &[], Body::absent())).await,
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n<open>"
    );
}

#[tokio::test(start_paused = true)]
async fn trailers_follow_the_last_chunk() {
    let answer = exchange(GET, || {
        let trailers = Ok(Frame::Trailers(fields(&[("Digest", "x"), ("X-y", "z")])));
        with(StatusCode::OK, &[("Trailer", "Digest")], frames(Size::Unknown, [data("hello"), trailers]))
    });
    let expected = "HTTP/1.1 200 OK\r\nTrailer: Digest\r\nTransfer-Encoding: chunked\r\n\r\n\
                    5\r\nhello\r\n0\r\nDigest: x\r\nX-y: z\r\n\r\n<open>";
    assert_eq!(answer.await, expected);
}

#[tokio::test(start_paused = true)]
async fn http_1_0_gets_no_chunks_and_its_connection_only_if_it_asks() {
    let ok = StatusCode::OK;
    assert_eq!(
        exchange(OLD, move || with(ok, &[], unknown())).await,
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world<closed>"
    );
    assert_eq!(
        exchange(OLD_KEPT, move || with(ok, &[], unknown())).await,
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world<closed>"
    );
    assert_eq!(
        exchange(OLD, move || with(ok, &[], exact())).await,
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\nhello world<closed>"
    );
    assert_eq!(
        exchange(OLD_KEPT, move || with(ok, &[], exact())).await,
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: keep-alive\r\n\r\nhello world<open>"
    );
}

#[tokio::test(start_paused = true)]
async fn answers_without_content_speak_of_it_only_where_they_may() {
    let length = [("Content-Length", "11")];
    assert_eq!(
        exchange(HEAD, move || with(StatusCode::OK, &length, Body::absent())).await,
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n<open>"
    );
    assert_eq!(exchange(HEAD, || with(StatusCode::OK, &[], exact())).await, "HTTP/1.1 200 OK\r\n\r\n<open>");
    assert_eq!(exchange(HEAD, || with(StatusCode::OK, &[], unknown())).await, "HTTP/1.1 200 OK\r\n\r\n<open>");
    assert_eq!(
        exchange(GET, move || with(StatusCode::NOT_MODIFIED, &length, Body::absent())).await,
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 11\r\n\r\n<open>"
    );
    for request in [GET, HEAD] {
        assert_eq!(
            exchange(request, move || with(StatusCode::NO_CONTENT, &length, unknown())).await,
            "HTTP/1.1 204 No Content\r\n\r\n<open>"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_service_says_of_the_connection_cannot_confuse_the_framing() {
    let lines =
        [("Connection", "upgrade"), ("transfer-encoding", "chunked"), ("Content-Length", "5"), ("Content-Length", "6")];
    assert_eq!(
        exchange(GET, move || with(StatusCode::OK, &lines, exact())).await,
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world<open>"
    );
    assert_eq!(
        exchange(GET, move || with(StatusCode::OK, &lines, unknown())).await,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n<open>"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_says_close_has_the_connection_closed_after_its_answer() {
    assert_eq!(
        exchange(GET, || with(StatusCode::BAD_REQUEST, &[("Connection", "Close")], exact())).await,
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 11\r\nConnection: close\r\n\r\nhello world<closed>"
    );
}

#[tokio::test(start_paused = true)]
async fn names_values_and_reasons_go_out_byte_for_byte() {
    let mut app = app(Answering::new(|_| async {
        let mut response = ok("");
        response.reason = Bytes::from_static(b"Alles \xe9 gut");
        response.fields = Fields::new();
        response.fields.push("X-b", b"caf\xe9");
        response.fields.push("x-A", "1");
        response
    }));
    app.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut app.io, &mut bytes).await.unwrap();
    let expected =
        b"HTTP/1.1 200 Alles \xe9 gut\r\nX-b: caf\xe9\r\nx-A: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(bytes, expected);
}

#[tokio::test(start_paused = true)]
async fn large_bodies_arrive_whole_through_a_narrow_connection() {
    let content: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    for (size, expected_head) in
        [(Size::Exact(1_000_000), "Content-Length: 1000000\r\n"), (Size::Unknown, "Transfer-Encoding: chunked\r\n")]
    {
        let body = content.clone();
        let service = Answering::new(move |_| {
            let (feed, stream) = fed(size);
            for piece in body.chunks(70_000) {
                feed.send(Ok(Frame::Data(Bytes::copy_from_slice(piece)))).unwrap();
            }
            async move { Response::new(StatusCode::OK, stream) }
        });
        let mut app = app_with_room(service, 5000);
        app.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(app.read_to("\r\n\r\n").await.contains(expected_head));
        let mut bytes = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut app.io, &mut bytes).await.unwrap();
        if size == Size::Unknown {
            let mut decoder = crate::message::http1::Decoder::new(crate::message::http1::Framing::Chunked);
            let mut rest = bytes::BytesMut::from(&bytes[..]);
            bytes.clear();
            while let Ok(crate::message::http1::Decoded::Frame(Frame::Data(data))) = decoder.decode(&mut rest) {
                bytes.extend_from_slice(&data);
            }
            assert!(decoder.is_at_end() && rest.is_empty());
        }
        assert!(bytes == content);
    }
}
