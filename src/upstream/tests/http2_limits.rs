//! How many HTTP/2 connections there are and how many streams each carries, and how connections end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use http::Response;

use super::bank::*;
use crate::config::Alpn;
use crate::upstream::{Client, ClientSettings, ConnectionLimit, Failure, Progress};

/// What a bank has counted.
#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    streams: AtomicUsize,
    most_streams: AtomicUsize,
}

/// A bank that takes `most` streams at once on a connection, and answers each after a turn; or none, if it is `slow`.
fn serve(bank: Bank, most: u32, slow: bool) -> Arc<Counts> {
    let counts = Arc::new(Counts::default());
    let count = Arc::clone(&counts);
    tokio::spawn(async move {
        loop {
            let stream = bank.accept().await.into_stream();
            count.connections.fetch_add(1, Relaxed);
            tokio::spawn(serve_connection(stream, most, slow, Arc::clone(&count)));
        }
    });
    counts
}

async fn serve_connection(
    stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    most: u32,
    slow: bool,
    counts: Arc<Counts>,
) {
    let mut server = h2::server::Builder::new().max_concurrent_streams(most).handshake(stream).await.unwrap();
    let mut held = Vec::new();
    while let Some(Ok((request, mut respond))) = server.accept().await {
        let streams = counts.streams.fetch_add(1, Relaxed) + 1;
        counts.most_streams.fetch_max(streams, Relaxed);
        if slow {
            held.push((request, respond));
            continue;
        }
        let counts = Arc::clone(&counts);
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            counts.streams.fetch_sub(1, Relaxed);
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
        });
    }
}

/// Sends `count` requests at once and waits for all answers.
async fn burst(client: &Arc<Client>, count: usize) {
    let sending: Vec<_> = (0..count)
        .map(|_| {
            let client = Arc::clone(client);
            tokio::spawn(async move { whole(&client, get("/")).await.1 })
        })
        .collect();
    for sent in sending {
        assert_eq!(sent.await.unwrap(), "ok");
    }
}

fn limited(most: usize) -> ClientSettings {
    ClientSettings { connections: Arc::new(ConnectionLimit::new(most)), ..settings() }
}

#[tokio::test]
async fn a_burst_on_a_cold_client_makes_one_connection() {
    for alpn in [vec![Alpn::H2], vec![Alpn::H2, Alpn::Http11]] {
        let bank = Bank::http2().await;
        let client = Arc::new(bank.client_with(settings(), alpn));
        let counts = serve(bank, 250, false);
        burst(&client, 200).await;
        assert_eq!(counts.connections.load(Relaxed), 1);
    }
}

#[tokio::test]
async fn a_burst_never_exceeds_the_streams_that_the_bank_takes() {
    let bank = Bank::http2().await;
    let client = Arc::new(bank.client(limited(1)));
    let counts = serve(bank, 10, false);
    burst(&client, 200).await;
    assert_eq!(counts.connections.load(Relaxed), 1);
    assert!(counts.most_streams.load(Relaxed) <= 10, "{:?}", counts.most_streams);
}

#[tokio::test]
async fn streams_that_stay_full_bring_another_connection() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let counts = serve(bank, 2, true);
    let mut sending: Vec<_> = (0..3).map(|_| Box::pin(client.send(get("/"), LONG))).collect();
    let all = futures(&mut sending);
    tokio::select! {
        () = all => panic!("nobody answers"),
        () = until(|| counts.streams.load(Relaxed) == 3) => {}
    }
    assert_eq!(counts.connections.load(Relaxed), 2);
}

/// Polls all of them for ever.
async fn futures<F: Future>(all: &mut [std::pin::Pin<Box<F>>]) {
    std::future::poll_fn(|cx| {
        for one in all.iter_mut() {
            assert!(one.as_mut().poll(cx).is_pending());
        }
        std::task::Poll::<()>::Pending
    })
    .await;
}

#[tokio::test]
async fn slow_apps_do_not_keep_the_others_waiting() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    tokio::spawn(async move {
        let connections = tokio::sync::Mutex::new(0);
        loop {
            let stream = bank.accept().await.into_stream();
            *connections.lock().await += 1;
            tokio::spawn(async move {
                let mut server = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = server.accept().await {
                    let mut stream = respond.send_response(Response::new(()), false).unwrap();
                    // More than any window: the answer cannot end before the app reads.
                    stream.send_data(Bytes::from(vec![b'x'; 4 << 20]), true).unwrap();
                }
            });
        }
    });
    let mut unread = Vec::new();
    for _ in 0..48 {
        unread.push(client.send(get("/"), LONG).await.unwrap());
    }
    let (_, text) = whole(&client, get("/")).await;
    assert_eq!(text.len(), 4 << 20);
    assert_eq!(client.pool.connections(), (0, 2));
}

#[tokio::test]
async fn an_idle_connection_of_one_worker_is_closed_for_another() {
    let bank = Bank::http2().await;
    let settings = limited(1);
    let (one, other) = (bank.client(settings.clone()), bank.client(settings));
    let counts = serve(bank, 10, false);
    for (count, client) in [&one, &other, &one].into_iter().enumerate() {
        whole(client, get("/")).await;
        assert_eq!(counts.connections.load(Relaxed), count + 1);
    }
}

#[tokio::test]
async fn a_busy_worker_does_not_starve_another() {
    let bank = Bank::http2().await;
    let settings = limited(1);
    let (busy, other) = (Arc::new(bank.client(settings.clone())), bank.client(settings));
    serve(bank, 250, false);
    let load: Vec<_> = (0..4)
        .map(|_| {
            let busy = Arc::clone(&busy);
            tokio::spawn(async move {
                loop {
                    whole(&busy, get("/")).await;
                }
            })
        })
        .collect();
    for _ in 0..3 {
        whole(&other, get("/")).await;
    }
    for task in load {
        assert!(!task.is_finished(), "none of the busy worker's requests failed");
        task.abort();
    }
}

#[tokio::test]
async fn a_cap_that_stays_full_ends_in_saturation() {
    let bank = Bank::http2().await;
    let client = bank.client(ClientSettings { queue: 2 * SHORT, ..limited(1) });
    let counts = serve(bank, 1, true);
    let mut first = Box::pin(client.send(get("/"), LONG));
    tokio::select! {
        outcome = &mut first => panic!("{outcome:?}"),
        () = until(|| counts.streams.load(Relaxed) == 1) => {}
    }
    let error = error(&client, get("/")).await;
    assert!(matches!(error.failure, Failure::Saturated(_)), "{error:?}");
    assert_eq!(error.progress, Progress::NothingSent);
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_a_while_and_not_before() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    serve(bank, 10, false);
    whole(&client, get("/")).await;
    for _ in 0..17 {
        client.pool.sweep_now();
    }
    assert_eq!(client.pool.connections(), (0, 1));
    client.pool.sweep_now();
    assert_eq!(client.pool.connections(), (0, 0));
    whole(&client, get("/")).await;
}

#[tokio::test]
async fn who_waits_for_a_stream_is_known_to_the_limit() {
    let bank = Bank::http2().await;
    let limits = limited(1);
    let connections = Arc::clone(&limits.connections);
    let client = bank.client(limits);
    let counts = serve(bank, 1, true);
    let mut sending: Vec<_> = (0..2).map(|_| Box::pin(client.send(get("/"), LONG))).collect();
    assert!(!connections.is_waited_for());
    let all = futures(&mut sending);
    tokio::select! {
        () = all => panic!("nobody answers"),
        () = until(|| counts.streams.load(Relaxed) == 1 && connections.is_waited_for()) => {}
    }
    drop(sending);
    assert!(!connections.is_waited_for(), "who has given up does not wait");
}

#[tokio::test]
async fn who_waits_because_of_slow_apps_goes_on_when_they_have_read() {
    let bank = Bank::http2().await;
    let client = bank.client(limited(1));
    tokio::spawn(async move {
        let stream = bank.accept().await.into_stream();
        let mut server = h2::server::handshake(stream).await.unwrap();
        let mut open = Vec::new();
        while let Some(Ok((request, mut respond))) = server.accept().await {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            // Those of `/events` go on and on.
            stream.send_data(Bytes::from_static(b"some"), request.uri().path() != "/events").unwrap();
            open.push(stream);
        }
    });
    let mut events = Vec::new();
    for _ in 0..32 {
        events.push(client.send(get("/events"), LONG).await.unwrap());
    }
    let mut waits = Box::pin(client.send(get("/"), LONG));
    poll_once(&mut waits).await;
    for answer in &mut events {
        assert!(answer.body.frame().await.unwrap().is_ok());
        poll_once(&mut Box::pin(answer.body.frame())).await;
    }
    assert_eq!(waits.await.unwrap().status, 200);
}
