//! Requests: one after the other, what they look like to the service, interim answers, and what is no request.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use http::{StatusCode, Version};
use tokio::time::Instant;

use super::support::*;
use crate::message::{Interim, Request, Response};

#[tokio::test(start_paused = true)]
async fn requests_are_answered_one_after_the_other_however_they_come() {
    let mut app = app(targets());
    app.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /22 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(app.read_to("\r\n\r\n/1").await, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/1");
    assert_eq!(app.read_to("\r\n\r\n/22").await, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n/22");
    for byte in b"\r\nGET /333 HTTP/1.1\r\nHost: x\r\n\r\n" {
        app.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(app.read_to("\r\n\r\n/333").await, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n/333");
}

#[tokio::test(start_paused = true)]
async fn a_pipelined_request_waits_until_the_one_before_is_answered() {
    let service = Answering::new(|request: Request| async move {
        if &request.target[..] == b"/slow" {
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        }
        ok(request.target)
    });
    let mut app = app(service.clone());
    app.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n").await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(service.calls.load(Ordering::SeqCst), 1);
    assert!(app.read_to("/b").await.contains("/slow"));
}

#[tokio::test(start_paused = true)]
async fn the_service_sees_the_request_as_it_came() {
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let service = Answering::new(move |request: Request| {
        *keep.lock().unwrap() = Some(request);
        async { ok("") }
    });
    let mut app = app(service);
    app.send("PATCH /%2F//;a HTTP/1.1\r\nhOsT: x\r\nX-B: 1\r\nx-a: 2\r\nX-b: 3\r\n\r\n").await;
    app.read_to("\r\n\r\n").await;
    let request = seen.lock().unwrap().take().unwrap();
    assert_eq!((request.method.as_str(), &request.target[..]), ("PATCH", &b"/%2F//;a"[..]));
    assert_eq!(request.version, Version::HTTP_11);
    assert!(request.body.is_absent() && request.interim.is_some());
    let names: Vec<_> = request.fields.iter().map(|(name, _)| name.to_vec()).collect();
    assert_eq!(names, [b"hOsT".to_vec(), b"X-B".to_vec(), b"x-a".to_vec(), b"X-b".to_vec()]);
}

fn interim(status: StatusCode, lines: &[(&str, &str)]) -> Interim {
    Interim { status, fields: fields(lines) }
}

#[tokio::test(start_paused = true)]
async fn what_is_for_one_hop_ends_here_in_an_interim_answer_too() {
    let service = Answering::new(|request: Request| async move {
        let lines = [
            ("Link", "</a>"),
            ("Connection", "X-Hop, close"),
            ("x-hop", "1"),
            ("Proxy-Authenticate", "Basic"),
            ("Upgrade", "h2c"),
            ("Content-Length", "5"),
        ];
        request.interim.unwrap().send(interim(StatusCode::EARLY_HINTS, &lines)).unwrap();
        ok("done")
    });
    let mut app = app(service);
    app.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let got = app.read_to("done").await;
    assert!(got.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"), "{got}");
}

#[tokio::test(start_paused = true)]
async fn interim_answers_come_before_the_answer() {
    let service = Answering::new(|request: Request| async move {
        if let Some(sender) = &request.interim {
            sender.send(interim(StatusCode::CONTINUE, &[])).unwrap();
            tokio::task::yield_now().await;
            sender.send(interim(StatusCode::EARLY_HINTS, &[("Link", "</a>")])).unwrap();
            sender.send(interim(StatusCode::SWITCHING_PROTOCOLS, &[])).unwrap();
        }
        ok("done")
    });
    let mut app = app(service);
    app.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let expected = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                    HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
    assert_eq!(app.read_to("done").await, expected);
    app.send("GET / HTTP/1.0\r\n\r\n").await;
    let expected = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone";
    assert_eq!(app.read_all().await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_late_interim_answer_does_not_reach_the_next_request() {
    let senders = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&senders);
    let service = Answering::new(move |request: Request| {
        let mut senders = keep.lock().unwrap();
        if let Some(late) = senders.pop() {
            let _: Result<(), _> = crate::message::Interims::send(&late, interim(StatusCode::PROCESSING, &[]));
        }
        senders.extend(request.interim);
        async { ok("done") }
    });
    let mut app = app(service);
    for _ in 0..3 {
        app.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(app.read_to("done").await, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expectation_of_http_1_0_is_not_passed_on() {
    let service = Answering::new(|request: Request| async move {
        ok(if request.fields.contains("expect") { "expects" } else { "does not" })
    });
    let mut app = app(service);
    app.send("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n").await;
    assert!(app.read_all().await.unwrap().ends_with("does not"));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused_and_never_reaches_the_service() {
    let table = [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("\x16\x03\x01\x00\x05hello\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 505),
    ];
    for (bytes, status) in table {
        let service = targets();
        let mut app = app(service.clone());
        app.send(format!("{bytes}GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        let answer = app.read_all().await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?}: {answer:?}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{bytes:?}: {answer:?}");
        assert_eq!(service.calls.load(Ordering::SeqCst), 0, "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn too_large_a_head_is_refused_with_the_status_for_it() {
    let mut app_1 = app(targets());
    let large = "v".repeat(80_000);
    app_1.send(format!("GET / HTTP/1.1\r\nHost: x\r\nA: {large}")).await;
    assert!(app_1.read_all().await.unwrap().starts_with("HTTP/1.1 431 "));
    let mut app_2 = app(targets());
    app_2.send(format!("GET /{large}")).await;
    assert!(app_2.read_all().await.unwrap().starts_with("HTTP/1.1 414 "));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_whole_in_30_s_is_answered_with_408() {
    let mut app = app(targets());
    assert!(app.works().await);
    let start = Instant::now();
    app.send("GET / HTT").await;
    for _ in 0..4 {
        tokio::time::sleep(std::time::Duration::from_secs(7)).await;
        app.send("P").await;
    }
    assert!(app.read_all().await.unwrap().starts_with("HTTP/1.1 408 "));
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_connection_rests_for_75_s_and_is_closed_without_a_word() {
    for requests in [0, 1, 2] {
        let mut app = app(targets());
        for _ in 0..requests {
            assert!(app.works().await);
            tokio::time::sleep(std::time::Duration::from_mins(1)).await;
        }
        let start = Instant::now();
        assert_eq!(app.read_all().await.unwrap(), "");
        assert_eq!(start.elapsed().as_secs(), if requests == 0 { 75 } else { 15 });
    }
}

#[tokio::test(start_paused = true)]
async fn an_informational_final_answer_breaks_the_connection_off() {
    let service = Answering::new(|_| async { Response::new(StatusCode::PROCESSING, crate::message::Body::absent()) });
    let mut app = app(service);
    app.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(app.read_all().await.unwrap(), "");
}
