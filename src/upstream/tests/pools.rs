//! Which connection a request gets, with HTTP/1.1.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::bank::*;
use crate::config::Alpn;
use crate::message::{Body, Frame, Size};
use crate::upstream::{ClientSettings, ConnectionLimit, Failure, Progress};

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A bank that answers every request of every connection, and counts connections.
pub(super) fn serve(bank: Bank) -> Arc<AtomicUsize> {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let mut peer = bank.accept().await;
            count.fetch_add(1, Relaxed);
            tokio::spawn(async move {
                loop {
                    peer.answer(OK).await;
                }
            });
        }
    });
    connections
}

pub(super) fn limited(most: usize) -> ClientSettings {
    ClientSettings { connections: Arc::new(ConnectionLimit::new(most)), ..settings() }
}

#[tokio::test]
async fn a_connection_is_used_again_and_again() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let connections = serve(bank);
    for _ in 0..10 {
        assert_eq!(whole(&client, get("/")).await.1, "ok");
    }
    assert_eq!(connections.load(Relaxed), 1);
}

#[tokio::test]
async fn a_connection_is_back_before_the_app_has_read_the_answer() {
    let bank = Bank::http1().await;
    let client = bank.client(limited(1));
    let connections = serve(bank);
    let unread = client.send(get("/"), LONG).await.unwrap();
    whole(&client, get("/")).await;
    assert_eq!(connections.load(Relaxed), 1);
    drop(unread);
}

/// It would be taken for the answer to the next request, which may be that of another grant (RFC 9112, section 6.3).
#[tokio::test]
async fn what_a_bank_says_unasked_is_no_answer_for_somebody_who_waits() {
    let bank = Bank::http1().await;
    let limited = limited(1);
    let connections = Arc::clone(&limited.connections);
    let client = bank.client(limited);
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n").await;
        let unasked = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nothers";
        peer.say([&b"x".repeat(40_000)[..], unasked].concat()).await;
        bank.accept().await.answer(OK).await;
        peer.rest().await
    });
    let mut first = client.send(get("/first"), LONG).await.unwrap();
    let (second, content) = tokio::join!(whole(&client, get("/second")), async {
        until(|| connections.is_waited_for()).await;
        text(&mut first).await.unwrap()
    });
    assert_eq!((content.len(), &second.1[..]), (40_000, "ok"));
    assert_eq!(script.await.unwrap(), b"");
}

#[tokio::test]
async fn requests_at_once_get_a_connection_each() {
    for alpn in [vec![Alpn::Http11], vec![Alpn::H2, Alpn::Http11]] {
        let bank = Bank::http1().await;
        let client = bank.client_with(settings(), alpn);
        let script = tokio::spawn(async move {
            // None is answered before all are there.
            let mut peers = Vec::new();
            for _ in 0..3 {
                let mut peer = bank.accept().await;
                peer.head().await;
                peers.push(peer);
            }
            for peer in &mut peers {
                peer.say(OK).await;
            }
            peers
        });
        tokio::join!(whole(&client, get("/")), whole(&client, get("/")), whole(&client, get("/")));
        script.await.unwrap();
    }
}

#[tokio::test]
async fn a_large_burst_is_served_by_connections_that_come_back_and_not_by_one_each() {
    let bank = Bank::http1().await;
    let client = Arc::new(bank.client_with(settings(), vec![Alpn::Http11]));
    let burst: Vec<_> = (0..200)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { whole(&client, get("/")).await.1 })
        })
        .collect();
    // The bank does not shake hands yet.
    until(|| client.pool.dials() == 32).await;
    let connections = serve(bank);
    for answer in burst {
        assert!(client.pool.dials() <= 32);
        assert_eq!(answer.await.unwrap(), "ok");
    }
    assert!(connections.load(Relaxed) < 150, "{connections:?}");
}

#[tokio::test]
async fn all_of_a_large_burst_are_told_that_the_bank_hangs_up() {
    let bank = Bank::http1().await;
    let client = Arc::new(bank.client_with(settings(), vec![Alpn::Http11]));
    let burst: Vec<_> = (0..200)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { error(&client, get("/")).await })
        })
        .collect();
    until(|| client.pool.dials() == 32).await;
    drop(bank);
    for error in burst {
        let error = error.await.unwrap();
        assert!(matches!(error.failure, Failure::Connect(_) | Failure::TlsRefusedByUs(_)), "{error:?}");
        assert_eq!(error.progress, Progress::NothingSent);
    }
}

#[tokio::test]
async fn an_answer_that_closes_ends_its_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        // Something unasked behind the answer: nobody knows what it belongs to.
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok?",
    ] {
        let bank = Bank::http1().await;
        let client = bank.client(settings());
        let script = tokio::spawn(async move {
            for _ in 0..2 {
                let mut peer = bank.accept().await;
                peer.answer(answer).await;
                assert!(peer.rest().await.is_empty());
            }
        });
        for _ in 0..2 {
            whole(&client, get("/")).await;
        }
        script.await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_the_bank_has_closed_is_replaced_without_a_word() {
    for end in [0, 1, 2] {
        let bank = Bank::http1().await;
        let client = bank.client(settings());
        let (answered, is_answered) = tokio::sync::oneshot::channel();
        let script = tokio::spawn(async move {
            let mut peer = bank.accept().await;
            peer.answer(OK).await;
            is_answered.await.unwrap();
            match end {
                0 => peer.close().await,
                1 => peer.reset(),
                _ => {
                    peer.say("HTTP/1.1 408 Request Timeout\r\n\r\n").await;
                    peer.close().await;
                }
            }
            let mut second = bank.accept().await;
            second.head().await;
            second.take(3).await;
            second.say(OK).await;
        });
        whole(&client, get("/")).await;
        answered.send(()).unwrap();
        until(|| !client.pool.has_fit_one()).await;
        whole(&client, post(Body::full("abc"))).await;
        script.await.unwrap();
    }
}

/// Each that is looked at costs the task a unit of what it may do in one turn: after 128, nothing seems to have happened.
#[tokio::test]
async fn however_many_connections_have_died_a_payment_goes_out_on_one_that_lives() {
    const MANY: usize = 200;
    let bank = Bank::http1().await;
    let client = Arc::new(bank.client(limited(MANY)));
    let script = tokio::spawn(async move {
        let mut peers = Vec::new();
        for _ in 0..MANY {
            let mut peer = bank.accept().await;
            peer.head().await;
            peers.push(peer);
        }
        for peer in &mut peers {
            peer.say(OK).await;
        }
        (bank, peers)
    });
    let sent = (0..MANY).map(|_| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { whole(&client, get("/")).await })
    });
    for sent in sent.collect::<Vec<_>>() {
        sent.await.unwrap();
    }
    let (bank, peers) = script.await.unwrap();
    assert_eq!(client.pool.connections(), (MANY, 0));
    for peer in peers {
        peer.close().await;
    }
    // The runtime hears of it in a turn without other work.
    for _ in 0..MANY {
        tokio::task::yield_now().await;
    }
    let paying = Arc::clone(&client);
    let paid = tokio::spawn(async move { paying.send(post(Body::full("abc")), LONG).await });
    let script = tokio::spawn(async move { bank.accept().await.answer(OK).await });
    paid.await.unwrap().unwrap();
    assert!(script.await.unwrap().starts_with("POST /p "));
    assert_eq!(client.pool.connections(), (1, 0));
}

#[tokio::test]
async fn a_connection_that_dies_under_the_first_write_is_replaced_and_the_body_sent_once() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut first = bank.accept().await;
        first.answer(OK).await;
        let mut second = bank.accept().await;
        let head = second.head().await;
        let body = second.take(b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n".len()).await;
        second.say(OK).await;
        (first.rest().await, head, body)
    });
    whole(&client, get("/")).await;
    client.pool.cut_write_side().await;
    let (feed, body) = fed(Size::Unknown);
    feed.data("abc");
    feed.data("d");
    drop(feed);
    whole(&client, post(body)).await;
    drop(client);
    let (first, head, body) = script.await.unwrap();
    assert!(first.is_empty());
    assert!(head.starts_with("POST /p "));
    assert_eq!(body, b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_send_that_is_dropped_midway_leaves_no_connection_behind() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut first = bank.accept().await;
        let head = first.head().await;
        assert!(first.rest().await.is_empty(), "more came");
        let mut second = bank.accept().await;
        second.answer(OK).await;
        head
    });
    let mut sending = Box::pin(client.send(get("/dropped"), LONG));
    poll_once(&mut sending).await;
    let written = tokio::time::timeout(SHORT, &mut sending).await;
    assert!(written.is_err());
    drop(sending);
    whole(&client, get("/")).await;
    assert!(script.await.unwrap().starts_with("GET /dropped "));
}

#[tokio::test]
async fn an_answer_that_is_dropped_midway_closes_its_connection() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
        assert!(peer.rest().await.is_empty());
        bank.accept().await.answer(OK).await;
    });
    let mut response = client.send(get("/"), LONG).await.unwrap();
    assert!(matches!(response.body.frame().await, Some(Ok(Frame::Data(_)))));
    drop(response);
    whole(&client, get("/")).await;
    script.await.unwrap();
}

#[tokio::test]
async fn a_dropped_client_closes_its_idle_connections() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.answer(OK).await;
        peer.rest().await
    });
    whole(&client, get("/")).await;
    drop(client);
    assert!(script.await.unwrap().is_empty());
}
