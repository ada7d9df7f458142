//! Answers that go to the app in large frames, with HTTP/1.1.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bank::*;
use crate::message::Frame;

/// As much as fits into a large frame.
const LARGE_FRAME: usize = 512 * 1024;

/// A bank that answers every request by so much.
fn serve_large(bank: Bank) {
    tokio::spawn(async move {
        loop {
            let mut peer = bank.accept().await;
            tokio::spawn(async move {
                loop {
                    peer.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE_FRAME}\r\n\r\n")).await;
                    peer.say(vec![b'x'; LARGE_FRAME]).await;
                }
            });
        }
    });
}

/// However many apps do not read: those for whom there is no room for large frames get small ones.
#[tokio::test]
async fn answers_that_wait_for_slow_apps_hold_large_frames_up_to_a_bound() {
    // What comes by a record may be more than was asked for by less than that.
    const RECORD: usize = 16 * 1024;
    const ORDINARY: usize = 64 * 1024 + RECORD;
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    serve_large(bank);
    let (mut slow, mut held) = (Vec::new(), 0);
    for _ in 0..32 {
        let mut response = client.send(get("/"), LONG).await.unwrap();
        // The app takes the last frame, and never asks for what comes behind it.
        let (mut taken, mut largest) = (0, 0);
        while taken < LARGE_FRAME {
            let Frame::Data(data) = response.body.frame().await.unwrap().unwrap() else { panic!("trailers") };
            taken += data.len();
            largest = largest.max(data.len());
        }
        held += if largest > ORDINARY { largest - RECORD } else { 0 };
        slow.push(response);
    }
    assert!(held <= 8 * LARGE_FRAME, "{held}");
}

#[tokio::test]
async fn a_bank_that_sends_more_than_a_large_answer_has_is_not_heard_and_not_used_again() {
    for excess in ["x", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"] {
        let bank = Bank::http1().await;
        let client = bank.client(settings());
        let script = tokio::spawn(async move {
            let mut peer = bank.accept().await;
            peer.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE_FRAME}\r\n\r\n")).await;
            peer.say([&vec![b'y'; LARGE_FRAME][..], excess.as_bytes()].concat()).await;
            peer
        });
        let mut response = client.send(get("/"), LONG).await.unwrap();
        let peer = script.await.unwrap();
        assert_eq!(text(&mut response).await.unwrap(), "y".repeat(LARGE_FRAME));
        assert!(!client.pool.has_fit_one());
        drop(peer);
    }
}

/// How a bank ends before its time.
#[derive(Clone, Copy, Debug)]
enum Cut {
    WithWord,
    WithoutWord,
    Reset,
    Forged,
}

/// A length must be kept; without one, TLS's word for the end is what makes it an end.
#[tokio::test]
async fn a_large_answer_that_is_cut_short_is_never_taken_for_whole() {
    for (head, is_whole) in [("Content-Length: 3000000", false), ("Connection: close", true)] {
        for cut in [Cut::WithWord, Cut::WithoutWord, Cut::Reset, Cut::Forged] {
            let bank = Bank::http1().await;
            let client = bank.client(settings());
            let script = tokio::spawn(async move {
                let mut peer = bank.accept().await;
                peer.answer(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n")).await;
                peer.say(vec![b'y'; 1_300_000]).await;
                match cut {
                    Cut::WithWord => peer.close().await,
                    Cut::WithoutWord => peer.hang_up(),
                    Cut::Reset => peer.reset(),
                    Cut::Forged => {
                        let mut stream = peer.into_stream();
                        let forged = [&[23, 3, 3, 0, 64][..], &[7; 64]].concat();
                        stream.get_mut().0.write_all(&forged).await.unwrap();
                        // Until the client has gone.
                        let _ = stream.read_to_end(&mut Vec::new()).await;
                    }
                }
            });
            let mut response = client.send(get("/"), LONG).await.unwrap();
            let outcome = text(&mut response).await;
            if is_whole && matches!(cut, Cut::WithWord) {
                assert_eq!(outcome.unwrap().len(), 1_300_000);
            } else {
                outcome.expect_err("no end");
            }
            drop(response);
            script.await.unwrap();
            assert!(!client.pool.has_fit_one(), "{head} {cut:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_with_half_a_record_on_it_is_not_used_again() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut peer = bank.accept().await;
        peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let mut stream = peer.into_stream();
        stream.get_mut().0.write_all(&[23, 3, 3, 0]).await.unwrap();
        stream
    });
    client.send(get("/"), LONG).await.unwrap();
    let stream = script.await.unwrap();
    until(|| !client.pool.has_fit_one()).await;
    drop(stream);
}

#[tokio::test]
async fn a_connection_that_is_back_does_not_keep_a_large_frames_memory() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    serve_large(bank);
    let mut response = client.send(get("/"), LONG).await.unwrap();
    assert_eq!(text(&mut response).await.unwrap().len(), LARGE_FRAME);
    assert!(client.pool.has_fit_one() && !client.pool.keeps(256 * 1024));
}
