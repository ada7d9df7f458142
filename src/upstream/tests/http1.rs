//! One request and one answer with HTTP/1.1: what is written, what is read, and what failures mean.

use std::time::Duration;

use http::{Method, StatusCode, Version};
use tokio::sync::mpsc::unbounded_channel;

use super::bank::*;
use crate::message::{Body, BodyError, Fields, Size};
use crate::upstream::{Failure, Progress};

/// A field line.
type Line = (&'static str, &'static str);

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn lines(fields: &Fields) -> Vec<(&str, &str)> {
    fields.iter().map(|(n, v)| (std::str::from_utf8(n).unwrap(), std::str::from_utf8(v).unwrap())).collect()
}

#[tokio::test]
async fn the_head_goes_out_byte_for_byte_and_the_answer_comes_back_as_it_is() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.answer("HTTP/1.1 203 Sort Of\r\nX-b: 1\r\nx-A:  2 \r\nX-B: 3\r\ncontent-length: 2\r\n\r\nok").await
    });
    let mut request = get("/a%2Fb//c?q=1;2");
    request.fields.push("x-B", "1");
    request.fields.push("X-a", "2");
    request.fields.push("X-b", "");
    let (response, text) = whole(&client, request).await;
    assert_eq!(
        script.await.unwrap(),
        "GET /a%2Fb//c?q=1;2 HTTP/1.1\r\nHost: bank.example\r\nx-B: 1\r\nX-a: 2\r\nX-b: \r\n\r\n"
    );
    assert_eq!(
        (response.status.as_u16(), &response.reason[..], response.version),
        (203, &b"Sort Of"[..], Version::HTTP_11)
    );
    assert_eq!(lines(&response.fields), [("X-b", "1"), ("x-A", "2"), ("X-B", "3"), ("content-length", "2")]);
    assert_eq!(text, "ok");
}

#[tokio::test]
async fn the_framing_fields_are_made_to_agree_with_the_body() {
    let (feed, unknown) = fed(Size::Unknown);
    drop(feed);
    let cases: [(&[Line], Body, &str); 8] = [
        (&[("A", "1")], Body::full("abc"), "A: 1\r\nContent-Length: 3\r\n\r\nabc"),
        (&[("content-LENGTH", "3"), ("A", "1")], Body::full("abc"), "content-LENGTH: 3\r\nA: 1\r\n\r\nabc"),
        (&[("Content-Length", "4"), ("A", "1")], Body::full("abc"), "A: 1\r\nContent-Length: 3\r\n\r\nabc"),
        (&[("Content-Length", "3"), ("Content-Length", "3")], Body::full("abc"), "Content-Length: 3\r\n\r\nabc"),
        (&[("Transfer-Encoding", "chunked")], Body::full("abc"), "Content-Length: 3\r\n\r\nabc"),
        (&[], Body::full(""), "Content-Length: 0\r\n\r\n"),
        (&[("Content-Length", "0"), ("Transfer-Encoding", "chunked")], Body::absent(), "\r\n"),
        (&[("Content-Length", "7")], unknown, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ];
    for (lines, body, expected) in cases {
        let bank = Bank::http1().await;
        let client = bank.client(settings());
        let expected = format!("POST /p HTTP/1.1\r\nHost: bank.example\r\n{expected}");
        let length = expected.len();
        let script = tokio::spawn(async move {
            let mut peer = bank.accept().await;
            let seen = peer.take(length).await;
            peer.say(OK).await;
            (seen, peer.rest().await)
        });
        let mut request = post(body);
        for (name, value) in lines {
            request.fields.push(name, value);
        }
        whole(&client, request).await;
        drop(client);
        let (seen, more) = script.await.unwrap();
        assert_eq!(String::from_utf8(seen).unwrap(), expected);
        assert!(more.is_empty(), "{more:?}");
    }
}

#[tokio::test]
async fn answers_without_content_end_with_their_head() {
    let cases = [
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (Method::HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ];
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let answers = cases.clone().into_iter().map(|(_, answer)| answer);
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        for answer in answers {
            peer.answer(answer).await;
        }
        peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        // One connection for all: no answer left anything behind.
        peer
    });
    for (method, answer) in cases {
        let response = client.send(request(method, "/", Body::absent()), LONG).await.unwrap();
        assert!(response.body.is_absent(), "{answer}");
    }
    let response = client.send(get("/"), LONG).await.unwrap();
    assert!(!response.body.is_absent() && response.body.size() == Size::Exact(0));
    script.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_has_no_content_and_speaks_of_some_leaves_no_connection() {
    for answer in [
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let bank = Bank::http1().await;
        let client = bank.client(settings());
        let script = tokio::spawn(async move {
            let mut peer = bank.accept().await;
            peer.answer(answer).await;
            peer.rest().await
        });
        client.send(get("/"), LONG).await.unwrap();
        assert_eq!(client.pool.connections(), (0, 0), "{answer}");
        assert!(script.await.unwrap().is_empty(), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_is_not_used_when_the_bank_is_about_to_close_it() {
    const KEPT: &str = "HTTP/1.1 200 OK\r\nKeep-Alive: max=9, Timeout=4\r\nContent-Length: 0\r\n\r\n";
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut first = bank.accept().await;
        first.answer(KEPT).await;
        first.answer(KEPT).await;
        bank.accept().await.answer(KEPT).await;
        assert!(first.rest().await.is_empty());
    });
    for idle in [2, 4, 0] {
        whole(&client, get("/")).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(idle)).await;
        tokio::time::resume();
    }
    script.await.unwrap();
}

#[tokio::test]
async fn interim_answers_are_passed_on_in_order() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.head().await;
        peer.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n").await;
        let body = peer.take(3).await;
        peer.say(OK).await;
        body
    });
    let (feed, body) = fed(Size::Exact(3));
    let (interim, mut got) = unbounded_channel();
    let mut request = post(body);
    request.interim = Some(interim.into());
    let answer = async {
        assert_eq!(got.recv().await.unwrap().status, StatusCode::CONTINUE);
        feed.data("abc");
        let hints = got.recv().await.unwrap();
        assert_eq!((hints.status.as_u16(), lines(&hints.fields)), (103, vec![("Link", "a")]));
    };
    let ((response, _), ()) = tokio::join!(whole(&client, request), answer);
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(script.await.unwrap(), b"abc");
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_malformed() {
    let endless = "HTTP/1.1 102 Processing\r\n\r\n".repeat(100);
    for answer in [
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        endless.as_str(),
    ] {
        let bank = Bank::http1().await;
        let client = bank.client(settings());
        let answer = answer.to_owned();
        tokio::spawn(async move {
            let mut peer = bank.accept().await;
            peer.answer(answer).await;
            peer.rest().await
        });
        let error = error(&client, get("/")).await;
        assert!(matches!(error.failure, Failure::Malformed(_)), "{error:?}");
        assert_eq!(error.progress, Progress::MayHaveArrived);
    }
}

#[tokio::test]
async fn a_bank_that_closes_or_resets_before_an_answer_may_have_seen_the_request() {
    for end in [0, 1, 2, 3] {
        let bank = Bank::http1().await;
        let client = bank.client(settings());
        tokio::spawn(async move {
            let mut peer = bank.accept().await;
            peer.head().await;
            match end {
                0 => peer.close().await,
                1 => peer.hang_up(),
                2 => peer.reset(),
                _ => {
                    peer.say("HTTP/1.1 200 O").await;
                    peer.close().await;
                }
            }
        });
        let error = error(&client, get("/")).await;
        assert!(matches!(error.failure, Failure::Closed(_)), "{error:?}");
        assert_eq!(error.progress, Progress::MayHaveArrived);
    }
}

#[tokio::test]
async fn a_slow_head_ends_in_a_timeout() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.answer("HTTP/1.1 200 OK\r\n").await;
        peer.rest().await
    });
    let error = client.send(get("/"), SHORT).await.unwrap_err();
    assert!(matches!(error.failure, Failure::ResponseTimeout(SHORT)), "{error:?}");
    assert_eq!(error.progress, Progress::MayHaveArrived);
    // The connection is of no more use.
    assert!(script.await.unwrap().is_empty());
}

#[tokio::test]
async fn the_response_timeout_begins_when_the_request_is_sent() {
    const RESPONSE: Duration = Duration::from_millis(500);
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.head().await;
        peer.take(2).await;
        peer.say(OK).await;
    });
    let (feed, body) = fed(Size::Exact(2));
    let mut sending = Box::pin(client.send(post(body), RESPONSE));
    for part in ["a", "b"] {
        let pause = tokio::time::sleep(RESPONSE);
        tokio::select! {
            outcome = &mut sending => panic!("{outcome:?}"),
            () = pause => feed.data(part),
        }
    }
    assert_eq!(sending.await.unwrap().status, StatusCode::OK);
    script.await.unwrap();
}

#[tokio::test]
async fn an_app_that_stalls_is_told_from_a_bank_that_does() {
    let bank = Bank::http1().await;
    let client = bank.client(crate::upstream::ClientSettings { idle: SHORT, ..settings() });
    let script = tokio::spawn(async move {
        let (first, second) = (bank.accept().await, bank.accept().await);
        // Neither is read from until the client has given up.
        (first, second)
    });
    let (_feed, body) = fed(Size::Unknown);
    let error = client.send(post(body), FOREVER).await.unwrap_err();
    assert!(matches!(error.failure, Failure::RequestBody(BodyError::Idle(SHORT))), "{error:?}");
    let (taken, body) = counted(1 << 30);
    let error = client.send(post(body), FOREVER).await.unwrap_err();
    assert!(matches!(error.failure, Failure::ResponseTimeout(SHORT)), "{error:?}");
    assert_eq!(error.progress, Progress::MayHaveArrived);
    assert!(taken.load(std::sync::atomic::Ordering::Relaxed) < 1 << 28, "the body was taken in ahead of its sending");
    script.await.unwrap();
}
