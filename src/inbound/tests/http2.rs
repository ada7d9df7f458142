//! HTTP/2 with prior knowledge, from an app that uses the `h2` client.

use std::fmt::Write;
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::{HeaderMap, Method, StatusCode, Version};
use tokio::io::duplex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::support::*;
use crate::inbound::{Caller, ServeSettings, serve};
use crate::message::{Body, BodyError, Frame, Interim, Request, Response, Size};

struct App2 {
    client: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    serving: JoinHandle<()>,
    drain: CancellationToken,
}

async fn app2(service: Answering) -> App2 {
    let (io, ours) = duplex(1024 * 1024);
    let drain = CancellationToken::new();
    let token = drain.clone();
    let serving = tokio::spawn(async move {
        serve(ours, Caller::Unix { uid: None, is_stranger: false }, service, &ServeSettings::default(), token).await;
    });
    let (client, connection) = Builder::new().initial_window_size(1000).handshake(io).await.unwrap();
    let client = client.ready().await.unwrap();
    App2 { client, connection: tokio::spawn(connection), serving, drain }
}

fn request(method: Method, uri: &str, lines: &[(&str, &str)]) -> http::Request<()> {
    let mut builder = http::Request::builder().method(method).uri(uri).version(Version::HTTP_2);
    for (name, value) in lines {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

fn get() -> http::Request<()> {
    request(Method::GET, "http://localhost:8080/a", &[])
}

/// Status, fields, content and trailers.
async fn read(response: ResponseFuture) -> Result<(StatusCode, HeaderMap, String, Option<HeaderMap>), h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut content = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        content.extend_from_slice(&data);
    }
    Ok((head.status, head.headers, String::from_utf8(content).unwrap(), body.trailers().await?))
}

/// What the service says of its request: target, version, fields in order, body.
fn report() -> Answering {
    Answering::new(|mut request: Request| async move {
        let mut report = format!("{} {} {:?}\n", request.method, text(&request.target), request.version);
        for (name, value) in request.fields.iter() {
            let _ = writeln!(report, "{}: {}", text(name), text(value));
        }
        let _ = match request.body.size() {
            _ if request.body.is_absent() => write!(report, "absent"),
            size => write!(report, "{size:?} "),
        };
        while let Some(frame) = request.body.frame().await {
            let _ = match frame.unwrap() {
                Frame::Data(data) => write!(report, "{}", text(&data)),
                Frame::Trailers(fields) => write!(report, "{fields:?}"),
            };
        }
        ok(report)
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_request_looks_as_one_of_http_1_1_does() {
    let mut app = app2(report()).await;
    let lines = [("x-b", "1"), ("cookie", "a=1"), ("x-a", "2"), ("cookie", "b=2"), ("te", "trailers")];
    let get = request(Method::GET, "http://localhost:8080//a;b?c=%2F", &lines);
    let (response, _) = app.client.send_request(get, true).unwrap();
    let (status, headers, content, _) = read(response).await.unwrap();
    let expected =
        "GET //a;b?c=%2F HTTP/2.0\nHost: localhost:8080\nx-b: 1\ncookie: a=1; b=2\nx-a: 2\nte: trailers\nabsent";
    assert_eq!((status, content.as_str()), (StatusCode::OK, expected));
    assert_eq!(headers["content-length"], expected.len().to_string());
}

#[tokio::test(start_paused = true)]
async fn bodies_and_trailers_stream_in() {
    let mut app = app2(report()).await;
    let post = |lines: &[(&str, &str)]| request(Method::POST, "http://localhost/a", lines);
    let (response, mut body) = app.client.send_request(post(&[]), false).unwrap();
    body.send_data("hel".into(), false).unwrap();
    sleep(Duration::from_secs(1)).await;
    body.send_data("lo".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("digest", "d".parse().unwrap());
    trailers.insert("authorization", "x".parse().unwrap());
    body.send_trailers(trailers).unwrap();
    assert!(read(response).await.unwrap().2.ends_with("Unknown hello[\"digest\"]"));

    let (response, mut body) = app.client.send_request(post(&[("content-length", "5")]), false).unwrap();
    body.send_data("hello".into(), true).unwrap();
    assert!(read(response).await.unwrap().2.ends_with("Exact(5) hello"));

    let (response, _) = app.client.send_request(post(&[("content-length", "0")]), true).unwrap();
    assert!(read(response).await.unwrap().2.ends_with("Exact(0) "));
}

#[tokio::test(start_paused = true)]
async fn a_large_body_streams_in_as_it_is_read() {
    let service = Answering::new(|request: Request| async move {
        ok(request.body.collect(10_000_000).await.unwrap().unwrap().len().to_string())
    });
    let mut app = app2(service).await;
    let (response, mut body) = app.client.send_request(request(Method::POST, "http://localhost/", &[]), false).unwrap();
    let mut left = Bytes::from(vec![b'x'; 3_000_000]);
    while !left.is_empty() {
        body.reserve_capacity(left.len());
        let room = poll_fn(|cx| body.poll_capacity(cx)).await.unwrap().unwrap();
        body.send_data(left.split_to(room.min(left.len())), left.is_empty()).unwrap();
    }
    assert_eq!(read(response).await.unwrap().2, "3000000");
}

#[tokio::test(start_paused = true)]
async fn answers_stream_out_with_trailers_and_interim_ones_before() {
    let service = Answering::new(|request: Request| async move {
        let hints = [("Link", "</a>"), ("Connection", "X-Hop"), ("X-Hop", "1"), ("Proxy-Authenticate", "Basic")];
        let interim = Interim { status: StatusCode::EARLY_HINTS, fields: fields(&hints) };
        request.interim.unwrap().send(interim).unwrap();
        let trailers = Ok(Frame::Trailers(fields(&[("Digest", "d")])));
        let mut response =
            Response::new(StatusCode::CREATED, frames(Size::Unknown, [data("hello"), data(" world"), trailers]));
        response.fields = fields(&[("X-A", "1"), ("Connection", "close"), ("Content-Length", "3"), ("x-a", "2")]);
        response
    });
    let mut app = app2(service).await;
    let (mut response, _) = app.client.send_request(get(), true).unwrap();
    let interim = poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
    assert_eq!((interim.status(), &interim.headers()["link"]), (StatusCode::EARLY_HINTS, &"</a>".parse().unwrap()));
    assert_eq!(interim.headers().len(), 1, "what is for one hop ends here");
    let (status, headers, content, trailers) = read(response).await.unwrap();
    assert_eq!((status, content.as_str()), (StatusCode::CREATED, "hello world"));
    assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert!(!headers.contains_key("connection") && !headers.contains_key("content-length"));
    assert_eq!(trailers.unwrap()["digest"], "d");
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_passes_a_small_window() {
    let mut app = app2(Answering::new(|_| async { ok("x".repeat(500_000)) })).await;
    let (response, _) = app.client.send_request(get(), true).unwrap();
    let (_, headers, content, _) = read(response).await.unwrap();
    assert_eq!((headers["content-length"].as_bytes(), content.len()), (&b"500000"[..], 500_000));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_taken_bit_by_bit_is_reset() {
    let mut app = app2(Answering::new(|_| async { ok("x".repeat(500_000)) })).await;
    let (response, _) = app.client.send_request(get(), true).unwrap();
    let mut body = response.await.unwrap().into_body();
    let start = Instant::now();
    let end = loop {
        match body.data().await {
            Some(Ok(data)) => {
                // The window opens again by some bytes each second.
                for part in (0..data.len()).step_by(100) {
                    sleep(Duration::from_secs(1)).await;
                    let _ = body.flow_control().release_capacity(100.min(data.len() - part));
                }
            }
            other => break other,
        }
    };
    assert_eq!(end.unwrap().unwrap_err().reason(), Some(Reason::CANCEL));
    assert!(start.elapsed() < Duration::from_mins(3), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn answers_without_content_have_none() {
    for (method, status, has_length) in
        [(Method::HEAD, 200, true), (Method::GET, 204, false), (Method::GET, 304, true), (Method::HEAD, 204, false)]
    {
        let service = Answering::new(move |_| async move {
            let mut response = Response::new(StatusCode::from_u16(status).unwrap(), Body::full("content"));
            response.fields = fields(&[("Content-Length", "7")]);
            response
        });
        let mut app = app2(service).await;
        let (response, _) = app.client.send_request(request(method, "http://localhost/", &[]), true).unwrap();
        let (_, headers, content, _) = read(response).await.unwrap();
        assert_eq!((content.as_str(), headers.contains_key("content-length")), ("", has_length), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused() {
    let table = [
        (request(Method::GET, "http://localhost/", &[("host", "evil.example")]), 400),
        (request(Method::GET, "http://localhost/", &[("host", "localhost"), ("host", "localhost")]), 400),
        (request(Method::GET, "http://localhost/\u{e9}", &[]), 400),
        (request(Method::POST, "http://localhost/", &[("content-length", "0"), ("content-length", "0")]), 400),
    ];
    let many: Vec<_> = (0..200).map(|_| ("a", "b")).collect();
    let large = "x".repeat(80 * 1024);
    let path = format!("http://localhost/{}", "x".repeat(60 * 1024));
    let table = table.into_iter().chain([
        (request(Method::GET, "http://localhost/", &many), 431),
        (request(Method::GET, "http://localhost/", &[("a", &large)]), 431),
        (request(Method::GET, &path, &[("a", &large[..20 * 1024])]), 431),
    ]);
    for (request, status) in table {
        let service = targets();
        let mut app = app2(service.clone()).await;
        let debug = format!("{request:?}");
        let (response, _) = app.client.send_request(request, true).unwrap();
        assert_eq!(read(response).await.unwrap().0.as_u16(), status, "{debug}");
        assert_eq!(service.calls.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_says_the_same_as_the_authority_is_there_once() {
    let mut app = app2(report()).await;
    let same = request(Method::GET, "http://localhost/", &[("a", "b"), ("host", "LOCALHOST")]);
    let (response, _) = app.client.send_request(same, true).unwrap();
    assert_eq!(read(response).await.unwrap().2, "GET / HTTP/2.0\nHost: localhost\na: b\nabsent");
}

#[tokio::test(start_paused = true)]
async fn fields_of_the_connection_are_a_stream_error() {
    for line in [("connection", "close"), ("transfer-encoding", "chunked"), ("te", "gzip")] {
        let service = targets();
        let mut app = app2(service.clone()).await;
        let sent = app.client.send_request(request(Method::GET, "http://localhost/", &[line]), true);
        // The client may see by itself that this cannot be sent.
        if let Ok((response, _)) = sent {
            assert!(read(response).await.is_err(), "{line:?}");
        }
        assert_eq!(service.calls.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_drops_the_services_future_and_only_that_one() {
    let service = Answering::new(|request: Request| async move {
        sleep(Duration::from_secs(10)).await;
        ok(request.target)
    });
    let mut app = app2(service.clone()).await;
    let (first, mut stream) = app.client.send_request(get(), false).unwrap();
    let (second, _) = app.client.send_request(get(), true).unwrap();
    sleep(Duration::from_secs(1)).await;
    stream.send_reset(Reason::CANCEL);
    assert_eq!(read(second).await.unwrap().2, "/a");
    assert_eq!((service.calls.load(Ordering::SeqCst), service.dropped.load(Ordering::SeqCst)), (2, 1));
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_drops_the_services_futures() {
    let service = Answering::new(|_| std::future::pending());
    let mut app = app2(service.clone()).await;
    let _response = app.client.send_request(get(), true).unwrap();
    sleep(Duration::from_secs(1)).await;
    app.connection.abort();
    app.serving.await.unwrap();
    assert_eq!((service.calls.load(Ordering::SeqCst), service.dropped.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_fails_midway_is_reset_once_what_came_of_it_is_sent() {
    for (size, parts, comes) in [
        (Size::Unknown, vec![data("hello"), Err(BodyError::Incomplete)], "hello"),
        (Size::Exact(9), vec![data("hello")], "hello"),
        (Size::Exact(9), vec![Err(BodyError::Incomplete)], ""),
        (Size::Exact(3), vec![data("hello")], ""),
    ] {
        let parts = std::sync::Mutex::new(Some(parts));
        let service = Answering::new(move |_| {
            let body = frames(size, parts.lock().unwrap().take().unwrap());
            async move { Response::new(StatusCode::CREATED, body) }
        });
        let mut app = app2(service).await;
        let (response, _) = app.client.send_request(get(), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED, "what the bank has done is told");
        let (mut body, mut content) = (response.into_body(), Vec::new());
        let error = loop {
            match body.data().await.expect("it does not end well") {
                Ok(data) => content.extend_from_slice(&data),
                Err(error) => break error,
            }
        };
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
        assert_eq!(text(&content), comes);
    }
}

#[tokio::test(start_paused = true)]
async fn an_early_answer_leaves_the_connection_whole() {
    let mut app = app2(targets()).await;
    let post = request(Method::POST, "http://localhost/a", &[("content-length", "100000")]);
    let (response, mut body) = app.client.send_request(post, false).unwrap();
    body.send_data("begin".into(), false).unwrap();
    assert_eq!(read(response).await.unwrap().2, "/a");
    let (response, _) = app.client.send_request(get(), true).unwrap();
    assert_eq!(read(response).await.unwrap().2, "/a");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_makes_no_room_is_given_up_after_30_s() {
    let mut app = app2(Answering::new(|_| async { ok("x".repeat(500_000)) })).await;
    let (response, _) = app.client.send_request(get(), true).unwrap();
    let start = Instant::now();
    let mut body = response.await.unwrap().into_body();
    let error = loop {
        // Nothing is released, so the window stays shut.
        match body.data().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!((error.reason(), start.elapsed().as_secs()), (Some(Reason::CANCEL), 30));
}

#[tokio::test(start_paused = true)]
async fn draining_says_go_away_and_ends_after_the_answers() {
    let service = Answering::new(|request: Request| async move {
        sleep(Duration::from_secs(10)).await;
        ok(request.target)
    });
    let mut app = app2(service).await;
    let (response, _) = app.client.send_request(get(), true).unwrap();
    sleep(Duration::from_secs(1)).await;
    app.drain.cancel();
    sleep(Duration::from_secs(1)).await;
    assert!(poll_fn(|cx| app.client.poll_ready(cx)).await.is_err());
    assert_eq!(read(response).await.unwrap().2, "/a");
    app.serving.await.unwrap();
    app.connection.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_rests_for_75_s() {
    let mut app = app2(targets()).await;
    let start = Instant::now();
    sleep(Duration::from_mins(1)).await;
    let (response, _) = app.client.send_request(get(), true).unwrap();
    assert_eq!(read(response).await.unwrap().2, "/a");
    app.connection.await.unwrap().unwrap();
    assert_eq!(start.elapsed().as_secs(), 135);
    app.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_more_streams_than_may_be_are_opened() {
    let service = Answering::new(|_| std::future::pending());
    let mut app = app2(service.clone()).await;
    sleep(Duration::from_secs(1)).await;
    let _held: Vec<_> = (0..300).map_while(|_| app.client.send_request(get(), true).ok()).collect();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(service.calls.load(Ordering::SeqCst), 128);
}
