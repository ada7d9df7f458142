//! Keys that come to their limit: they are changed before, or the connection is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use http::Response;
use rustls::version::{TLS12, TLS13};
use tokio::sync::Notify;

use super::bank::*;
use crate::message::Body;

/// How many records the keys of a connection may protect.
const LIMIT: u64 = 40;
/// More requests than that, of a record each.
const MANY: usize = 100;

#[tokio::test]
async fn a_connection_of_http_1_1_carries_no_more_after_half_of_its_records() {
    let bank = Bank::of(&TLS12, b"http/1.1").await;
    let client = bank.client_with_limit(LIMIT);
    let serve = async {
        let mut carried = Vec::new();
        while carried.iter().sum::<usize>() < MANY {
            let (mut peer, mut requests) = (bank.accept().await, 0);
            while carried.iter().sum::<usize>() + requests < MANY && peer.is_spoken_to().await {
                peer.answer("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
                requests += 1;
            }
            carried.push(requests);
        }
        carried
    };
    let send = async {
        for _ in 0..MANY {
            assert_eq!(whole(&client, post(Body::absent())).await.0.status, 201);
        }
    };
    let (carried, ()) = tokio::join!(serve, send);
    assert_eq!(carried, [21, 21, 21, 21, 16]);
}

#[tokio::test]
async fn a_connection_of_http_2_begins_no_more_after_half_of_its_records_and_ends_what_is_under_way() {
    let bank = Bank::of(&TLS12, b"h2").await;
    let client = Arc::new(bank.client_with_limit(LIMIT));
    let (connections, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (count, released) = (Arc::clone(&connections), Arc::clone(&release));
    tokio::spawn(async move {
        loop {
            let stream = bank.accept().await.into_stream();
            count.fetch_add(1, Relaxed);
            tokio::spawn(serve_http2(stream, Arc::clone(&released)));
        }
    });
    let slow = Arc::clone(&client);
    let slow = tokio::spawn(async move { whole(&slow, get("/slow")).await.1 });
    for _ in 0..MANY {
        assert_eq!(whole(&client, post(Body::absent())).await.1, "ok");
    }
    assert!((3..=8).contains(&connections.load(Relaxed)), "{connections:?}");
    assert!(!slow.is_finished(), "nobody has answered it");
    release.notify_one();
    assert_eq!(slow.await.unwrap(), "ok");
}

#[tokio::test]
async fn under_tls_1_3_keys_change_and_the_connection_stays() {
    let bank = Bank::of(&TLS13, b"http/1.1").await;
    let client = bank.client_with_limit(LIMIT);
    let serve = async {
        let mut peer = bank.accept().await;
        for _ in 0..MANY {
            peer.answer("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
        }
    };
    let send = async {
        for _ in 0..MANY {
            assert_eq!(whole(&client, post(Body::absent())).await.0.status, 201);
        }
    };
    tokio::join!(serve, send);
}

#[tokio::test]
async fn under_tls_1_3_keys_change_within_a_large_body() {
    let bank = Bank::of(&TLS13, b"http/1.1").await;
    let client = bank.client_with_limit(LIMIT);
    let length = 3 << 20;
    let serve = async {
        let mut peer = bank.accept().await;
        assert!(peer.head().await.contains("3145728"));
        assert!(peer.take(length).await.iter().all(|byte| *byte == b'x'));
        peer.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    };
    let (_, body) = counted(length as u64);
    let ((), (answer, _)) = tokio::join!(serve, whole(&client, post(body)));
    assert_eq!(answer.status, 201);
}

/// Answers each request, those for `/slow` when it is told to.
async fn serve_http2(stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>, release: Arc<Notify>) {
    let mut server = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = server.accept().await {
        let release = Arc::clone(&release);
        tokio::spawn(async move {
            if request.uri().path() == "/slow" {
                release.notified().await;
            }
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
        });
    }
}
