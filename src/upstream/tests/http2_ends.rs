//! How HTTP/2 connections end, and what becomes of the requests on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use http::{Method, Response};

use super::bank::*;
use super::raw;
use crate::certificate::pki::Authority;
use crate::config::{self, Alpn};
use crate::message::Body;
use crate::message::http2::Scope;
use crate::upstream::tls_bank::{self, Setup, trusting};
use crate::upstream::{Client, Failure, Progress};

#[tokio::test]
async fn a_connection_that_the_bank_ends_is_replaced_without_a_word() {
    for polite in [true, false] {
        let bank = Bank::http2().await;
        let client = bank.client(settings());
        let script = tokio::spawn(async move {
            for _ in 0..2 {
                let mut server = h2::server::handshake(bank.accept().await.into_stream()).await.unwrap();
                let (_, mut respond) = server.accept().await.unwrap().unwrap();
                respond.send_response(Response::new(()), true).unwrap();
                drop(respond);
                if polite {
                    server.graceful_shutdown();
                }
                // Polite or not, the answer leaves first.
                let drive = async { while server.accept().await.is_some() {} };
                let _ = tokio::time::timeout(SHORT, drive).await;
            }
        });
        for _ in 0..2 {
            whole(&client, get("/")).await;
            until(|| client.pool.connections() == (0, 0)).await;
        }
        script.await.unwrap();
    }
}

#[tokio::test]
async fn streams_beyond_the_last_that_goaway_names_were_not_processed() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    tokio::spawn(async move {
        let mut peer = bank.accept().await;
        raw::begin(&mut peer).await;
        raw::requests(&mut peer, 2).await;
        // GOAWAY after stream 1, then the answer of stream 1.
        peer.say(raw::frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])).await;
        raw::answer(&mut peer, 1).await;
        peer.rest().await
    });
    let (answered, refused) = tokio::join!(client.send(get("/"), LONG), client.send(post(Body::full("abc")), LONG));
    assert_eq!(answered.unwrap().status.as_u16(), 200);
    let refused = refused.unwrap_err();
    assert_eq!(refused.progress, Progress::NothingSent, "{refused:?}");
    assert!(matches!(&refused.failure, Failure::Http2(error) if error.scope == Scope::Connection), "{refused:?}");
}

/// It lies with the connection's task, and would leave when the bank reads again.
#[tokio::test]
async fn a_request_that_is_given_up_behind_a_bank_that_does_not_read_never_arrives() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let (go_on, told) = tokio::sync::oneshot::channel::<()>();
    let peer = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        raw::preface(&mut peer).await;
        // Windows as large as they can be, so that nothing but the socket is full.
        peer.say(raw::frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])).await;
        peer.say(raw::frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes())).await;
        raw::requests(&mut peer, 1).await;
        let _ = told.await;
        let streams = raw::streams_until_end(&mut peer, 1).await;
        (streams, peer)
    });
    let large = client.send(post(Body::full(vec![0; 24 * 1024 * 1024])), LONG);
    let small = async {
        // The large one fills what there is of buffers on the way.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let error = client.send(post(Body::absent()), SHORT).await.unwrap_err();
        let _ = go_on.send(());
        (error, peer.await.unwrap())
    };
    let (small, (streams, _peer)) = tokio::select! {
        small = small => small,
        large = large => panic!("{large:?}"),
    };
    assert!(matches!(small.failure, Failure::ResponseTimeout(_)), "{small:?}");
    assert_eq!(small.progress, Progress::NothingSent);
    assert_eq!(streams, [1]);
}

#[tokio::test]
async fn every_request_of_a_burst_is_told_that_the_bank_hangs_up() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let peer = bank.accept().await;
            count.fetch_add(1, Relaxed);
            peer.close().await;
        }
    });
    let (one, two, three) = tokio::join!(error(&client, get("/")), error(&client, get("/")), error(&client, get("/")));
    for error in [one, two, three] {
        assert!(matches!(error.failure, Failure::Closed(_)), "{error:?}");
    }
    assert_eq!(connections.load(Relaxed), 1);
}

/// Under TLS 1.3 it comes after our first words, with the bank's reset behind it.
#[tokio::test]
async fn every_request_of_a_burst_is_told_that_the_bank_refuses_our_certificate() {
    for _ in 0..20 {
        let clients = Some(Authority::new("Another Provider"));
        let bank = tls_bank::Bank::start(Setup { alpn: vec![b"h2"], clients, ..Setup::default() }).await;
        let tls = config::Tls { alpn: vec![Alpn::H2], ..trusting(&bank.root) };
        let client = Client::new(bank.endpoint(), Arc::new(tls_bank::client(&tls, None)), settings());
        let script = tokio::spawn(async move {
            while bank.accept().await.is_err() {}
            panic!("it takes nobody");
        });
        let burst = tokio::join!(error(&client, get("/")), error(&client, get("/")), error(&client, get("/")));
        for error in [burst.0, burst.1, burst.2] {
            assert!(matches!(error.failure, Failure::TlsRefusedByBank(_)), "{error:?}");
            assert_eq!(error.progress, Progress::NothingSent, "{error:?}");
        }
        script.abort();
    }
}

/// Banks count the streams that are broken off, and hang up on whoever does it often.
#[tokio::test]
async fn an_answer_that_lacks_only_its_end_is_not_broken_off() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let meet = Arc::new(tokio::sync::Barrier::new(2));
    let bank_too = Arc::clone(&meet);
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        raw::begin(&mut peer).await;
        let mut before = Vec::new();
        // A HEAD; a length that is complete; one that is not.
        for (stream, content) in [(1, &b""[..]), (3, b"abc"), (5, b"ab")] {
            raw::requests(&mut peer, 1).await;
            // `:status: 200`, `content-length: 3`.
            peer.say(raw::frame(1, 4, stream, &[0x88, 0x0f, 0x0d, 1, b'3'])).await;
            if !content.is_empty() {
                peer.say(raw::frame(0, 0, stream, content)).await;
            }
            bank_too.wait().await;
            before.push(raw::resets(&mut peer).await);
            bank_too.wait().await;
            peer.say(raw::frame(0, 1, stream, b"")).await;
        }
        (before, raw::resets(&mut peer).await)
    });
    for method in [Method::HEAD, Method::GET, Method::GET] {
        let mut response = client.send(request(method.clone(), "/", Body::absent()), LONG).await.unwrap();
        if method == Method::GET {
            response.body.frame().await.unwrap().unwrap();
        }
        drop(response);
        // The bank looks while nothing else is said.
        meet.wait().await;
        meet.wait().await;
    }
    assert_eq!(script.await.unwrap(), (vec![vec![], vec![], vec![5]], vec![]));
}

#[tokio::test]
async fn an_end_that_does_not_come_is_not_waited_for_for_ever() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        raw::begin(&mut peer).await;
        raw::requests(&mut peer, 1).await;
        peer.say(raw::frame(1, 4, 1, &[0x88])).await;
        raw::until_reset(&mut peer).await
    });
    client.send(request(Method::HEAD, "/", Body::absent()), LONG).await.unwrap();
    assert_eq!(script.await.unwrap(), 1);
}
