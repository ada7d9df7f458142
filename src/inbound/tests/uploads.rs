//! Requests with bodies: how they reach the service, early answers, and bodies that come wrong or not at all.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::support::*;
use crate::message::{Body, BodyError, Frame, Interim, Request, Response, Size};

/// Answers with what it got: length as declared, content, trailers' names, or the error.
fn report() -> Answering {
    Answering::new(|mut request: Request| async move {
        let mut report = match request.body.size() {
            _ if request.body.is_absent() => "absent:".to_owned(),
            Size::Exact(length) => format!("{length}:"),
            Size::Unknown => "?:".to_owned(),
        };
        while let Some(frame) = request.body.frame().await {
            let _ = match frame {
                Ok(Frame::Data(data)) => write!(report, "{}", String::from_utf8_lossy(&data)),
                Ok(Frame::Trailers(fields)) => write!(report, "+{fields:?}"),
                Err(BodyError::Idle(_)) => write!(report, "!idle"),
                Err(BodyError::Incomplete) => write!(report, "!incomplete"),
                Err(BodyError::Malformed(_)) => write!(report, "!malformed"),
                Err(_) => write!(report, "!other"),
            };
        }
        ok(report + "~")
    })
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{body}")
}

const CHUNKED: &str = "Transfer-Encoding: chunked";

#[tokio::test(start_paused = true)]
async fn bodies_reach_the_service_in_every_framing_and_however_they_come() {
    let table = [
        ("A: b", "", "absent:~"),
        ("Content-Length: 0", "", "0:~"),
        ("Content-Length: 5", "hello", "5:hello~"),
        (CHUNKED, "5\r\nhello\r\n0\r\n\r\n", "?:hello~"),
        (CHUNKED, "0\r\n\r\n", "?:~"),
        (CHUNKED, "5\r\nhello\r\n1;x\r\n!\r\n0\r\nDigest: d\r\nHost: y\r\n\r\n", "?:hello!+[\"Digest\"]~"),
    ];
    for (fields, body, expected) in table {
        let mut app = app(report());
        let request = post(fields, body);
        for step in [request.len(), 1] {
            for piece in request.as_bytes().chunks(step) {
                app.send(piece).await;
                tokio::task::yield_now().await;
            }
            let answer = app.read_to("~").await;
            assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{request:?}: {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_wrong_ends_in_an_error_and_ends_the_connection() {
    let table = [
        ("Content-Length: 6", "hello", true, "6:hello!incomplete~"),
        (CHUNKED, "5\r\nhello\r\n", true, "?:hello!incomplete~"),
        (CHUNKED, "5\r\nhelloX\r\n0\r\n\r\n", false, "?:hello!malformed~"),
        (CHUNKED, "zz\r\n", false, "?:!malformed~"),
        ("Content-Length: 6", "hello", false, "6:hello!idle~"),
    ];
    for (fields, body, ends, expected) in table {
        let mut app = unix_app(report());
        app.send(post(fields, body)).await;
        if ends {
            tokio::io::AsyncWriteExt::shutdown(&mut app.io).await.unwrap();
        }
        let answer = app.read_all().await.unwrap();
        assert!(answer.contains("\r\nConnection: close\r\n"), "{body:?}: {answer:?}");
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{body:?}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_body_streams_through_a_narrow_connection() {
    let service = Answering::new(|mut request: Request| async move {
        let mut sum = 0_u64;
        while let Some(Ok(Frame::Data(data))) = request.body.frame().await {
            sum += data.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        ok(format!("sum {sum}~"))
    });
    let mut app = app_with_room(service, 3000);
    let body = vec![7_u8; 3_000_000];
    app.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n").await;
    app.send(&body).await;
    assert!(app.read_to("~").await.ends_with("sum 21000000~"));
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_written_while_the_body_still_comes() {
    let service = Answering::new(|mut request: Request| async move {
        let (feed, body) = fed(Size::Unknown);
        tokio::spawn(async move {
            while let Some(Ok(frame)) = request.body.frame().await {
                let _ = feed.send(Ok(frame));
            }
        });
        Response::new(StatusCode::OK, body)
    });
    let mut app = app(service);
    app.send(post(CHUNKED, "1\r\na\r\n")).await;
    assert!(app.read_to("\r\n\r\n1\r\na\r\n").await.starts_with("HTTP/1.1 200 OK"));
    app.send("2\r\nbc\r\n").await;
    assert_eq!(app.read_to("bc\r\n").await, "2\r\nbc\r\n");
    app.send("0\r\n\r\n").await;
    assert_eq!(app.read_to("\r\n\r\n").await, "0\r\n\r\n");
    app.send(post(CHUNKED, "0\r\n\r\n")).await;
    assert!(app.read_to("0\r\n\r\n").await.ends_with("\r\n\r\n0\r\n\r\n"));
}

#[tokio::test(start_paused = true)]
async fn a_short_body_that_nobody_read_is_skipped() {
    for body in ["x".repeat(60_000), "x".repeat(10)] {
        let mut app = app(targets());
        app.send(post(&format!("Content-Length: {}", body.len()), &body[..5])).await;
        assert_eq!(app.read_to("\r\n\r\n/").await, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n/");
        app.send(&body[5..]).await;
        assert!(app.works().await);
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_early_answer_a_long_body_ends_the_connection_but_the_answer_arrives() {
    let mut app = unix_app(targets());
    app.send(post("Content-Length: 10000000", "")).await;
    app.send(vec![b'x'; 5_000_000]).await;
    assert_eq!(app.read_all().await.unwrap(), "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n/");
}

#[tokio::test(start_paused = true)]
async fn after_an_early_answer_a_body_that_stops_ends_the_connection() {
    let mut app = app(targets());
    app.send(post("Content-Length: 10", "x")).await;
    app.read_to("\r\n\r\n/").await;
    let start = Instant::now();
    assert_eq!(app.read_all().await.unwrap(), "");
    assert_eq!(start.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_waits_for_100_gets_it_and_then_sends() {
    let service = Answering::new(|request: Request| async move {
        let interim = Interim { status: StatusCode::CONTINUE, fields: fields(&[]) };
        request.interim.unwrap().send(interim).unwrap();
        ok(request.body.collect(100).await.unwrap().unwrap())
    });
    let mut app = app(service);
    app.send(post("Content-Length: 5\r\nExpect: 100-continue", "")).await;
    assert_eq!(app.read_to("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    app.send("hello").await;
    assert_eq!(app.read_to("hello").await, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_waits_for_100_and_gets_an_answer_must_use_another_connection() {
    let mut app = app(targets());
    app.send(post("Content-Length: 5\r\nExpect: 100-continue", "")).await;
    let expected = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n/";
    assert_eq!(app.read_all().await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_outlives_its_request_gets_nothing_of_the_next_one() {
    let kept: Arc<Mutex<Vec<Body>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let service = Answering::new(move |request: Request| {
        keep.lock().unwrap().push(request.body);
        async move { ok(request.target) }
    });
    let mut app = app(service);
    app.send(post("Content-Length: 5", "")).await;
    app.read_to("\r\n\r\n/").await;
    app.send("hello").await;
    app.send("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n").await;
    app.read_to("/b").await;
    let mut first = kept.lock().unwrap().remove(0);
    assert!(matches!(first.frame().await, Some(Err(BodyError::Abandoned))));
    app.send("world!").await;
    assert!(app.works().await);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_sends_nothing_of_its_body_is_given_up_after_30_s() {
    let mut app = app(report());
    let start = Instant::now();
    app.send(post("Content-Length: 6", "he")).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    app.send("ll").await;
    assert!(app.read_to("idle~").await.ends_with("6:hell!idle~"));
    assert_eq!(start.elapsed().as_secs(), 50);
}
