//! Bodies with HTTP/1.1, both ways.

use std::sync::atomic::Ordering::Relaxed;

use super::bank::*;
use crate::message::{BodyError, Frame, Size};
use crate::upstream::{ClientSettings, Failure, Progress};

#[tokio::test]
async fn chunks_and_trailers_go_both_ways() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        let head = peer.head().await;
        let body = peer.take(b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n".len()).await;
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nfg\r\n1\r\nh\r\n0\r\nX-Sum: 3\r\n\r\n")
            .await;
        peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        (head, body)
    });
    let (feed, body) = fed(Size::Unknown);
    feed.data("abc");
    feed.data("de");
    feed.trailers("x-sum", "5");
    let mut response = client.send(post(body), LONG).await.unwrap();
    assert_eq!(response.body.size(), Size::Unknown);
    let (mut text, mut sum) = (Vec::new(), None);
    while let Some(frame) = response.body.frame().await {
        match frame.unwrap() {
            Frame::Data(data) => text.extend_from_slice(&data),
            Frame::Trailers(fields) => sum = fields.get("x-sum").map(<[u8]>::to_vec),
        }
    }
    assert_eq!((&text[..], sum), (&b"fgh"[..], Some(b"3".to_vec())));
    // The same connection goes on.
    whole(&client, get("/")).await;
    let (head, body) = script.await.unwrap();
    assert!(head.ends_with("Transfer-Encoding: chunked\r\n\r\n"), "{head}");
    assert_eq!(body, b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n");
}

#[tokio::test]
async fn the_head_does_not_wait_for_the_body() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let (feed, body) = fed(Size::Exact(1));
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.head().await;
        feed.data("a");
        peer.take(1).await;
        peer.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    whole(&client, post(body)).await;
    script.await.unwrap();
}

#[tokio::test]
async fn an_early_answer_is_handed_over_and_the_request_goes_on_with_its_body() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n").await;
        for _ in 0..3 {
            let byte = peer.take(2).await;
            peer.say(byte).await;
        }
        // All was said on both sides, so the connection is fit for another request.
        peer.answer("HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    let (feed, body) = fed(Size::Exact(6));
    let mut response = client.send(post(body), LONG).await.unwrap();
    for part in ["ab", "cd", "ef"] {
        feed.data(part);
        let Some(Ok(Frame::Data(echo))) = response.body.frame().await else { panic!("no echo of {part}") };
        assert_eq!(echo, part);
    }
    assert!(response.body.frame().await.is_none());
    whole(&client, get("/")).await;
    script.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_comes_before_the_bank_hangs_up_is_not_lost() {
    for polite in [true, false] {
        let bank = Bank::http1().await;
        let client = bank.client(settings());
        let (feed, body) = fed(Size::Unknown);
        tokio::spawn(async move {
            let mut peer = bank.accept().await;
            let text = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge";
            peer.answer(text).await;
            if polite { peer.close().await } else { peer.hang_up() }
        });
        let mut response = client.send(post(body), LONG).await.unwrap();
        assert_eq!(response.status.as_u16(), 413);
        // Nobody wants the rest: the answer comes whole all the same.
        feed.data("more");
        assert_eq!(text(&mut response).await.unwrap(), "large");
    }
}

#[tokio::test]
async fn an_app_whose_body_fails_is_to_blame() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let (feed, body) = fed(Size::Unknown);
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.head().await;
        feed.data("abc");
        let mut sent = peer.take(b"3\r\nabc\r\n".len()).await;
        feed.fail(BodyError::Abandoned);
        sent.extend(peer.rest().await);
        sent
    });
    let error = error(&client, post(body)).await;
    assert!(matches!(error.failure, Failure::RequestBody(BodyError::Abandoned)), "{error:?}");
    assert_eq!(error.progress, Progress::MayHaveArrived);
    // Nothing that could pass for the end of the body.
    assert_eq!(script.await.unwrap(), b"3\r\nabc\r\n");
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_said_is_not_sent_as_if_it_were() {
    for parts in [vec!["ab"], vec!["abcd"], vec!["ab", "cd"]] {
        let bank = Bank::http1().await;
        let client = bank.client(settings());
        tokio::spawn(async move { bank.accept().await.rest().await });
        let (feed, body) = fed(Size::Exact(3));
        for part in parts {
            feed.data(part);
        }
        drop(feed);
        let error = error(&client, post(body)).await;
        assert!(matches!(error.failure, Failure::RequestBody(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_body_until_close_ends_with_a_proper_close_only() {
    for (polite, expected) in [(true, Ok("abc")), (false, Err(()))] {
        let bank = Bank::http1().await;
        let client = bank.client(settings());
        tokio::spawn(async move {
            let mut peer = bank.accept().await;
            peer.answer("HTTP/1.1 200 OK\r\n\r\nabc").await;
            if polite { peer.close().await } else { peer.hang_up() }
        });
        let mut response = client.send(get("/"), LONG).await.unwrap();
        assert_eq!(response.body.size(), Size::Unknown);
        let text = text(&mut response).await;
        assert_eq!(text.as_deref().map_err(|_| ()), expected, "{text:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_cut_off_or_malformed_ends_in_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ] {
        let bank = Bank::http1().await;
        let client = bank.client(settings());
        tokio::spawn(async move {
            let mut peer = bank.accept().await;
            peer.answer(answer).await;
            peer.close().await;
        });
        let mut response = client.send(get("/"), LONG).await.unwrap();
        let outcome = text(&mut response).await;
        assert!(matches!(outcome, Err(BodyError::Incomplete | BodyError::Malformed(_))), "{answer}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_body_that_stands_still_ends_in_a_timeout() {
    let bank = Bank::http1().await;
    let client = bank.client(ClientSettings { idle: SHORT, ..settings() });
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc").await;
        peer.rest().await
    });
    let mut response = client.send(get("/"), FOREVER).await.unwrap();
    let outcome = text(&mut response).await;
    assert!(matches!(outcome, Err(BodyError::Idle(SHORT))), "{outcome:?}");
    assert!(script.await.unwrap().is_empty());
}

/// Bytes enough to fill every buffer between the two many times over.
const LARGE: u64 = 20 << 20;

#[tokio::test]
async fn twenty_megabytes_go_up_and_come_down() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let length = usize::try_from(LARGE).unwrap();
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.head().await;
        let body = peer.take(length).await;
        peer.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n")).await;
        peer.say(body).await;
        peer.answer("HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    let (_, body) = counted(LARGE);
    let response = client.send(post(body), LONG).await.unwrap();
    assert_eq!(response.body.size(), Size::Exact(LARGE));
    assert_eq!(response.body.collect(length).await.unwrap().map(|content| content.len()), Some(length));
    whole(&client, get("/")).await;
    script.await.unwrap();
}

#[tokio::test]
async fn a_bank_that_does_not_read_holds_the_app_back() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move { bank.accept().await });
    let (taken, body) = counted(1 << 30);
    let mut sending = Box::pin(client.send(post(body), LONG));
    let mut before = 0;
    tokio::select! {
        outcome = &mut sending => panic!("{outcome:?}"),
        // Until it has not moved for a while.
        () = until(|| taken.load(Relaxed) > 0 && std::mem::replace(&mut before, taken.load(Relaxed)) == taken.load(Relaxed)) => {}
    }
    // What the kernel's socket buffers take is not ours to say.
    assert!(taken.load(Relaxed) < 64 << 20, "{} bytes", taken.load(Relaxed));
    script.await.unwrap();
}

#[tokio::test]
async fn an_app_that_does_not_read_holds_the_bank_back() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let (said, mut progress) = tokio::sync::watch::channel(0_u64);
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 30)).await;
        let part = vec![b'x'; 1 << 20];
        loop {
            peer.say(&part).await;
            said.send_modify(|said| *said += part.len() as u64);
        }
    });
    let mut response = client.send(get("/"), LONG).await.unwrap();
    response.body.frame().await.unwrap().unwrap();
    // The bank writes until the buffers of the two sockets are full, and then no more.
    while tokio::time::timeout(SHORT, progress.changed()).await.is_ok() {}
    assert!(*progress.borrow() < 64 << 20, "{} bytes", *progress.borrow());
    script.abort();
}

#[tokio::test]
async fn a_request_that_was_read_and_not_answered_may_have_arrived_whatever_its_body() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.head().await;
        peer.take(3).await;
        peer.close().await;
    });
    let error = error(&client, post(crate::message::Body::full("abc"))).await;
    assert_eq!(error.progress, Progress::MayHaveArrived);
}
