//! Waiting for a connection, and how long idle ones last, with HTTP/1.1.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::bank::*;
use super::pools::{OK, limited, serve};
use crate::config::Alpn;
use crate::upstream::{Client, ClientSettings, Failure, Progress};

#[tokio::test]
async fn at_the_cap_requests_wait_for_a_connection_that_comes_back() {
    let bank = Bank::http1().await;
    let client = Arc::new(bank.client(limited(2)));
    let connections = serve(bank);
    let sending: Vec<_> = (0..20)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { whole(&client, get("/")).await.1 })
        })
        .collect();
    for sent in sending {
        assert_eq!(sent.await.unwrap(), "ok");
    }
    assert!(connections.load(Relaxed) <= 2, "{connections:?}");
}

#[tokio::test]
async fn at_the_cap_a_request_does_not_wait_for_ever() {
    let bank = Bank::http1().await;
    let client = bank.client(ClientSettings { queue: SHORT, ..limited(1) });
    tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
        peer.rest().await
    });
    let held = client.send(get("/"), LONG).await.unwrap();
    let error = error(&client, get("/")).await;
    assert!(matches!(error.failure, Failure::Saturated(SHORT)), "{error:?}");
    assert_eq!(error.progress, Progress::NothingSent);
    drop(held);
}

#[tokio::test]
async fn an_idle_connection_of_one_worker_is_closed_for_another() {
    let bank = Bank::http1().await;
    let settings = limited(1);
    let (one, other) = (bank.client(settings.clone()), bank.client(settings));
    let connections = serve(bank);
    for (count, client) in [&one, &other, &one].into_iter().enumerate() {
        whole(client, get("/")).await;
        assert_eq!(connections.load(Relaxed), count + 1);
    }
}

#[tokio::test]
async fn a_busy_worker_does_not_starve_another() {
    let bank = Bank::http1().await;
    let settings = limited(1);
    let (busy, other) = (Arc::new(bank.client(settings.clone())), bank.client(settings));
    serve(bank);
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
    for _ in 0..5 {
        whole(&other, get("/")).await;
    }
    for task in load {
        task.abort();
    }
}

#[tokio::test]
async fn whoever_waits_for_a_connection_that_cannot_be_made_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = crate::upstream::tls_bank::endpoint(listener.local_addr().unwrap());
    drop(listener);
    let root = crate::certificate::pki::Authority::new("Bank Root");
    let tls = crate::upstream::tls_bank::client(&crate::upstream::tls_bank::trusting(&root), None);
    let client = Client::new(endpoint, Arc::new(tls), settings());
    let (one, other) = tokio::join!(error(&client, get("/")), error(&client, get("/")));
    for error in [one, other] {
        assert!(matches!(error.failure, Failure::Connect(_)), "{error:?}");
        assert_eq!(error.progress, Progress::NothingSent);
    }
}

#[tokio::test]
async fn a_request_whose_leader_hung_up_is_served_all_the_same() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let connections = serve(bank);
    let mut leader = Box::pin(client.send(get("/"), LONG));
    poll_once(&mut leader).await;
    let mut follower = Box::pin(client.send(get("/"), LONG));
    poll_once(&mut follower).await;
    drop(leader);
    follower.await.unwrap();
    assert_eq!(connections.load(Relaxed), 1);
}

#[tokio::test]
async fn a_connection_whose_request_hung_up_is_for_another_worker() {
    for alpn in [vec![Alpn::Http11], vec![Alpn::H2, Alpn::Http11]] {
        let bank = Bank::http1().await;
        let settings = limited(1);
        let [one, other] = [(); 2].map(|()| bank.client_with(settings.clone(), alpn.clone()));
        let mut given_up = Box::pin(one.send(get("/"), LONG));
        poll_once(&mut given_up).await;
        let mut waits = Box::pin(other.send(get("/"), LONG));
        poll_once(&mut waits).await;
        drop(given_up);
        serve(bank);
        assert_eq!(waits.await.unwrap().status, 200);
        assert_eq!(one.pool.connections(), (0, 0));
    }
}

#[tokio::test]
async fn a_connection_that_was_not_needed_after_all_is_for_another_worker() {
    let bank = Bank::http1().await;
    let settings = limited(2);
    let [one, other] = [(); 2].map(|()| bank.client_with(settings.clone(), vec![Alpn::Http11]));
    let mut first = Box::pin(one.send(get("/"), LONG));
    let mut peer = tokio::select! {
        _ = &mut first => panic!("nobody answers"),
        peer = async { let mut peer = bank.accept().await; peer.head().await; peer } => peer,
    };
    // It makes a connection, which the bank does not take yet, and is served by the one that comes back.
    let mut second = Box::pin(one.send(get("/"), LONG));
    poll_once(&mut second).await;
    let mut waits = Box::pin(other.send(get("/"), LONG));
    poll_once(&mut waits).await;
    peer.say(OK).await;
    first.await.unwrap();
    let (answer, _) = tokio::join!(second, peer.answer(OK));
    answer.unwrap();
    assert_eq!(one.pool.dials(), 1);
    tokio::spawn(peer.rest());
    serve(bank);
    assert_eq!(waits.await.unwrap().status, 200);
}

/// 32 of them were given the connections, and 32 told to make more: what they do not hear is for the one who is left.
#[tokio::test]
async fn a_request_is_served_though_all_that_came_before_it_have_hung_up() {
    for hang_up_before_connecting in [true, false] {
        let bank = Bank::http1().await;
        let client = bank.client_with(settings(), vec![Alpn::Http11]);
        let mut sending: Vec<_> = (0..65).map(|_| Box::pin(client.send(get("/"), LONG))).collect();
        for sending in &mut sending {
            poll_once(sending).await;
        }
        assert_eq!(client.pool.dials(), 32);
        let mut last = sending.pop().unwrap();
        let connections = serve(bank);
        let mut under_way = Vec::new();
        if hang_up_before_connecting {
            sending.clear();
        }
        until(|| client.pool.dials() == 0).await;
        if !hang_up_before_connecting {
            // Those that have a connection keep it: only a further one serves the last request.
            for mut holder in sending.drain(..32) {
                poll_once(&mut holder).await;
                under_way.push(holder);
            }
            sending.clear();
        }
        assert_eq!((&mut last).await.unwrap().status, 200);
        assert!(connections.load(Relaxed) <= 33);
    }
}

#[tokio::test]
async fn idle_connections_are_closed_after_a_while_and_not_before() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        for _ in 0..2 {
            peer.answer(OK).await;
        }
        peer.rest().await
    });
    whole(&client, get("/")).await;
    for _ in 0..16 {
        client.pool.sweep_now();
    }
    // Use starts the count anew, and the buffers that were given back are missed by nobody.
    whole(&client, get("/")).await;
    for _ in 0..16 {
        client.pool.sweep_now();
    }
    assert_eq!(client.pool.connections(), (1, 0));
    client.pool.sweep_now();
    assert_eq!(client.pool.connections(), (0, 0));
    assert!(script.await.unwrap().is_empty());
}

#[tokio::test]
async fn what_the_bank_has_closed_is_swept_away() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.answer(OK).await;
        peer.close().await;
    });
    whole(&client, get("/")).await;
    until(|| !client.pool.has_fit_one()).await;
    assert_eq!(client.pool.connections(), (1, 0));
    client.pool.sweep_now();
    assert_eq!(client.pool.connections(), (0, 0));
}
