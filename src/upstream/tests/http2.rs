//! One request and one answer with HTTP/2.

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;
use tokio_rustls::server::TlsStream;

use super::bank::*;
use crate::message::{Body, Frame, Size};
use crate::upstream::{Failure, Progress};

pub(super) type Server = Connection<TlsStream<TcpStream>, Bytes>;
pub(super) type Stream = (http::Request<RecvStream>, SendResponse<Bytes>);

pub(super) async fn serve(bank: &Bank) -> Server {
    h2::server::handshake(bank.accept().await.into_stream()).await.expect("a preface")
}

pub(super) async fn next(server: &mut Server) -> Stream {
    server.accept().await.expect("a stream").expect("a request")
}

/// Drives the connection until the client closes it.
pub(super) async fn drive(mut server: Server) {
    while server.accept().await.is_some() {}
}

pub(super) fn answer(mut respond: SendResponse<Bytes>, status: u16, content: &'static str) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let mut stream = respond.send_response(response, content.is_empty()).unwrap();
    if !content.is_empty() {
        stream.send_data(Bytes::from_static(content.as_bytes()), true).unwrap();
    }
}

#[tokio::test]
async fn heads_cross_from_lines_to_maps_and_back() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut server = serve(&bank).await;
        let (request, mut respond) = next(&mut server).await;
        let mut response = Response::new(());
        response.headers_mut().append("set-cookie", HeaderValue::from_static("a=1"));
        response.headers_mut().append("set-cookie", HeaderValue::from_static("b=2"));
        respond.send_response(response, true).unwrap();
        drive(server).await;
        request
    });
    let mut request = get("/a%2Fb//c?q=1;2");
    request.fields.push("X-One", "1");
    request.fields.push("Authorization", "Bearer abc");
    request.fields.push("Connection", "keep-alive");
    let (response, text) = whole(&client, request).await;
    assert_eq!(response.fields.get_all("set-cookie").collect::<Vec<_>>(), [&b"a=1"[..], b"b=2"]);
    assert_eq!((response.version, text.as_str()), (http::Version::HTTP_2, ""));
    assert_eq!(Some(&response.reason[..]), response.status.canonical_reason().map(str::as_bytes));
    drop(client);
    let seen = script.await.unwrap();
    assert_eq!(seen.uri(), "https://bank.example/a%2Fb//c?q=1;2");
    assert_eq!(seen.headers()["x-one"], "1");
    assert_eq!(seen.headers().len(), 2);
}

#[tokio::test]
async fn bodies_and_trailers_go_both_ways() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut server = serve(&bank).await;
        let (request, mut respond) = next(&mut server).await;
        let driver = tokio::spawn(drive(server));
        assert!(!request.headers().contains_key("content-length"));
        let mut body = request.into_body();
        let mut seen = Vec::new();
        while let Some(data) = body.data().await {
            seen.extend_from_slice(&data.unwrap());
        }
        let sum = body.trailers().await.unwrap().unwrap();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(b"fgh"), false).unwrap();
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("3"))]);
        stream.send_trailers(trailers).unwrap();
        driver.await.unwrap();
        (seen, sum)
    });
    let (feed, body) = fed(Size::Unknown);
    feed.data("abc");
    feed.data("de");
    feed.trailers("X-Sum", "5");
    let mut response = client.send(post(body), LONG).await.unwrap();
    let (mut text, mut sum) = (Vec::new(), None);
    while let Some(frame) = response.body.frame().await {
        match frame.unwrap() {
            Frame::Data(data) => text.extend_from_slice(&data),
            Frame::Trailers(fields) => sum = fields.get("x-sum").map(<[u8]>::to_vec),
        }
    }
    assert_eq!((&text[..], sum), (&b"fgh"[..], Some(b"3".to_vec())));
    drop((client, response));
    let (seen, sum) = script.await.unwrap();
    assert_eq!((&seen[..], &sum["x-sum"]), (&b"abcde"[..], &HeaderValue::from_static("5")));
}

#[tokio::test]
async fn a_length_that_is_known_is_told_and_the_last_frame_ends_the_request() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut server = serve(&bank).await;
        for expected in ["3", "0"] {
            let (request, respond) = next(&mut server).await;
            assert_eq!(request.headers()["content-length"], expected);
            answer(respond, 200, "ok");
        }
        drive(server).await;
    });
    for body in [Body::full("abc"), Body::full("")] {
        assert_eq!(whole(&client, post(body)).await.1, "ok");
    }
    drop(client);
    script.await.unwrap();
}

#[tokio::test]
async fn answers_without_content_are_told_from_empty_ones() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    tokio::spawn(async move {
        let mut server = serve(&bank).await;
        for status in [200, 204, 304, 200] {
            answer(next(&mut server).await.1, status, "");
        }
        drive(server).await;
    });
    for (method, absent) in [(Method::HEAD, true), (Method::GET, true), (Method::GET, true), (Method::GET, false)] {
        let response = client.send(request(method, "/", Body::absent()), LONG).await.unwrap();
        assert_eq!((response.body.is_absent(), response.body.size()), (absent, Size::Exact(0)));
    }
}

#[tokio::test]
async fn interim_answers_are_passed_on() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    tokio::spawn(async move {
        let mut server = serve(&bank).await;
        let (_, mut respond) = next(&mut server).await;
        for status in [100, 103] {
            let interim = Response::builder().status(status).header("link", "a").body(()).unwrap();
            respond.send_informational(interim).unwrap();
        }
        answer(respond, 200, "ok");
        drive(server).await;
    });
    let (interim, mut got) = unbounded_channel();
    let mut request = get("/");
    request.interim = Some(interim.into());
    assert_eq!(whole(&client, request).await.1, "ok");
    for status in [100, 103] {
        let interim = got.recv().await.unwrap();
        assert_eq!((interim.status.as_u16(), interim.fields.get("link")), (status, Some(&b"a"[..])));
    }
}

#[tokio::test]
async fn a_refused_stream_was_not_processed_and_any_other_reset_one_may_have_been() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let reasons = [Reason::REFUSED_STREAM, Reason::INTERNAL_ERROR, Reason::CANCEL];
    tokio::spawn(async move {
        let mut server = serve(&bank).await;
        for reason in reasons {
            next(&mut server).await.1.send_reset(reason);
        }
        drive(server).await;
    });
    for reason in reasons {
        let error = error(&client, get("/")).await;
        let expected = if reason == Reason::REFUSED_STREAM { Progress::NothingSent } else { Progress::MayHaveArrived };
        assert_eq!(error.progress, expected, "{error:?}");
        assert!(matches!(&error.failure, Failure::Http2(error) if error.reason == reason), "{error:?}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_under_a_request_may_have_carried_it() {
    for polite in [true, false] {
        let bank = Bank::http2().await;
        let client = bank.client(settings());
        tokio::spawn(async move {
            let mut server = serve(&bank).await;
            let _stream = next(&mut server).await;
            if polite {
                server.abrupt_shutdown(Reason::INTERNAL_ERROR);
                drive(server).await;
            }
        });
        let error = error(&client, get("/")).await;
        assert_eq!(error.progress, Progress::MayHaveArrived, "{error:?}");
    }
}

#[tokio::test]
async fn no_answer_in_time_resets_the_stream_and_not_the_connection() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut server = serve(&bank).await;
        let (_, mut slow) = next(&mut server).await;
        let (_, respond) = next(&mut server).await;
        answer(respond, 200, "ok");
        let driver = tokio::spawn(drive(server));
        let reason = std::future::poll_fn(|cx| slow.poll_reset(cx)).await.unwrap();
        driver.await.unwrap();
        reason
    });
    let error = client.send(get("/"), SHORT).await.unwrap_err();
    assert!(matches!(error.failure, Failure::ResponseTimeout(SHORT)), "{error:?}");
    assert_eq!(whole(&client, get("/")).await.1, "ok");
    drop(client);
    assert_eq!(script.await.unwrap(), Reason::CANCEL);
}
