//! HTTP/2 banks that say nothing: what becomes of the connection, and of the requests on it.

use std::time::Duration;

use tokio::time::Instant;

use super::bank::*;
use super::raw;
use crate::message::{Body, Size};
use crate::upstream::{Failure, Progress};

#[tokio::test]
async fn an_unused_connection_whose_bank_does_not_answer_a_ping_is_given_up() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        raw::begin(&mut peer).await;
        raw::requests(&mut peer, 1).await;
        raw::answer(&mut peer, 1).await;
        // From here on only timers are waited for.
        tokio::time::pause();
        let start = Instant::now();
        (peer.rest().await, start.elapsed().as_secs())
    });
    whole(&client, get("/")).await;
    let (rest, seconds) = script.await.unwrap();
    // It was asked: PING is the frame of kind 6, with 8 bytes.
    assert!(rest.windows(4).any(|four| four == [0, 8, 6, 0]), "{rest:?}");
    assert!((30..50).contains(&seconds), "{seconds}");
    assert_eq!(client.pool.connections(), (0, 0));
}

#[tokio::test]
async fn while_a_bank_is_silent_requests_go_elsewhere_and_those_under_way_keep_their_own_time() {
    const RESPONSE: Duration = Duration::from_mins(1);
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let (go_on, told) = tokio::sync::oneshot::channel();
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        raw::begin(&mut peer).await;
        raw::requests(&mut peer, 1).await;
        // From here on only timers are waited for.
        tokio::time::pause();
        go_on.send(Instant::now()).unwrap();
        let mut second = bank.accept().await;
        raw::begin(&mut second).await;
        raw::requests(&mut second, 1).await;
        raw::answer(&mut second, 1).await;
        peer.rest().await
    });
    let mut sending = Box::pin(client.send(post(Body::absent()), RESPONSE));
    let elsewhere = async {
        let start = told.await.unwrap();
        until(|| client.pool.connections() == (0, 0)).await;
        start
    };
    let start = tokio::select! {
        outcome = &mut sending => panic!("{outcome:?}"),
        start = elsewhere => start,
    };
    assert!(start.elapsed().as_secs() < 13, "{:?}", start.elapsed());
    tokio::time::resume();
    whole(&client, get("/")).await;
    tokio::time::pause();
    let error = sending.await.unwrap_err();
    assert!(matches!(error.failure, Failure::ResponseTimeout(RESPONSE)), "{error:?}");
    assert_eq!(error.progress, Progress::MayHaveArrived);
    // Its time began a moment before the bank had it.
    assert!((59..63).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    // With its last request the silent connection closes, and nothing is left that hangs.
    script.await.unwrap();
    assert!(start.elapsed().as_secs() < 63, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_bank_that_was_silent_for_long_and_goes_on_is_heard() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        raw::begin(&mut peer).await;
        raw::requests(&mut peer, 2).await;
        // From here on only timers are waited for.
        tokio::time::pause();
        for stream in [1, 3] {
            tokio::time::sleep(Duration::from_secs(25)).await;
            raw::answer(&mut peer, stream).await;
        }
        peer.rest().await
    });
    let (one, two) = tokio::join!(client.send(post(Body::absent()), FOREVER), client.send(get("/"), FOREVER));
    assert_eq!((one.unwrap().status.as_u16(), two.unwrap().status.as_u16()), (200, 200));
    // It is not trusted with more.
    script.await.unwrap();
    assert_eq!(client.pool.connections(), (0, 0));
}

/// The answer to a PING waits until the bank has read what was sent before, which may take long.
#[tokio::test]
async fn an_upload_that_moves_is_not_cut_off_by_a_bank_that_says_nothing() {
    const FRAMES: usize = 20;
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let (go_on, told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut peer = bank.accept().await;
        raw::begin(&mut peer).await;
        raw::requests(&mut peer, 1).await;
        // From here on only timers are waited for.
        tokio::time::pause();
        go_on.send(()).unwrap();
        raw::streams_until_end(&mut peer, 1).await;
        raw::answer(&mut peer, 1).await;
        peer.rest().await
    });
    let (feed, body) = fed(Size::Exact(FRAMES as u64));
    let upload = async {
        told.await.unwrap();
        for _ in 0..FRAMES {
            tokio::time::sleep(Duration::from_secs(4)).await;
            feed.data("x");
        }
    };
    let (answer, ()) = tokio::join!(client.send(post(body), LONG), upload);
    assert_eq!(answer.unwrap().status.as_u16(), 200);
}

#[tokio::test]
async fn a_bank_that_takes_its_time_and_answers_pings_is_waited_for() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    tokio::spawn(async move {
        let mut peer = bank.accept().await;
        raw::begin(&mut peer).await;
        raw::requests(&mut peer, 1).await;
        // From here on only timers are waited for.
        tokio::time::pause();
        for _ in 0..5 {
            raw::until_ping(&mut peer).await;
            peer.say(raw::frame(6, 1, 0, b"bankside")).await;
        }
        peer.say(raw::frame(1, 5, 1, &[0x88])).await;
        peer.rest().await
    });
    assert_eq!(client.send(get("/"), FOREVER).await.unwrap().status.as_u16(), 200);
    assert_eq!(client.pool.connections(), (0, 1));
}

#[tokio::test]
async fn a_bank_that_never_says_a_word_is_not_waited_for_for_long() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        raw::preface(&mut peer).await;
        raw::requests(&mut peer, 1).await;
        tokio::time::pause();
        let start = Instant::now();
        peer.rest().await;
        start.elapsed()
    });
    let error = client.send(get("/"), FOREVER).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Closed(_)), "{error:?}");
    assert!(script.await.unwrap().as_secs() <= 10);
}

#[tokio::test]
async fn a_request_that_times_out_on_a_silent_connection_is_the_last_on_it() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    tokio::spawn(async move {
        let mut peers = Vec::new();
        for requests in [2, 1] {
            let mut peer = bank.accept().await;
            raw::begin(&mut peer).await;
            raw::requests(&mut peer, 1).await;
            peer.say(raw::frame(1, 5, 1, &[0x88])).await;
            raw::requests(&mut peer, requests - 1).await;
            peers.push(peer);
        }
        std::future::pending::<()>().await;
    });
    whole(&client, get("/")).await;
    let error = client.send(get("/"), SHORT).await.unwrap_err();
    assert!(matches!(error.failure, Failure::ResponseTimeout(SHORT)), "{error:?}");
    assert_eq!(client.pool.connections(), (0, 0));
    whole(&client, get("/")).await;
}

#[tokio::test]
async fn a_connection_that_hangs_before_its_first_words_does_not_hold_the_next_one_up() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut hangs = bank.accept().await;
        raw::preface(&mut hangs).await;
        raw::requests(&mut hangs, 1).await;
        let start = Instant::now();
        let mut peer = bank.accept().await;
        let elapsed = start.elapsed();
        raw::begin(&mut peer).await;
        for stream in [1, 3] {
            raw::requests(&mut peer, 1).await;
            raw::answer(&mut peer, stream).await;
        }
        (hangs, peer, elapsed)
    });
    let mut first = Box::pin(client.send(get("/first"), FOREVER));
    poll_once(&mut first).await;
    let others = async { tokio::join!(whole(&client, get("/a")), whole(&client, get("/b"))) };
    tokio::select! {
        _ = others => {}
        outcome = &mut first => panic!("{outcome:?}"),
    }
    let (_hangs, _peer, elapsed) = script.await.unwrap();
    assert!((1..3).contains(&elapsed.as_secs()), "{elapsed:?}");
    // It still has its time, and its end is nobody else's.
    tokio::time::pause();
    let error = first.await.unwrap_err();
    assert!(matches!(error.failure, Failure::Closed(_)), "{error:?}");
    assert_eq!(client.pool.connections(), (0, 1));
}
