//! HTTP/1.1 connections on which a bank has fallen silent, or which it ends, and what that says of the others.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::bank::*;
use super::pools::{OK, serve};
use crate::message::Body;
use crate::upstream::{Client, Failure, Progress};

/// Three connections that are idle, the bank's ends of them. The last one was used last, and is lent first.
async fn idle(bank: &Bank, client: &Client) -> [Peer; 3] {
    let answer = async {
        let mut peers = Vec::new();
        for _ in 0..3 {
            let mut peer = bank.accept().await;
            peers.push((peer.head().await, peer));
        }
        peers.sort_by(|one, other| one.0.cmp(&other.0));
        for (at, (_, peer)) in peers.iter_mut().enumerate() {
            peer.say(OK).await;
            until(|| client.pool.connections() == (at + 1, 0)).await;
        }
        peers.into_iter().map(|(_, peer)| peer).collect::<Vec<_>>()
    };
    let (peers, ..) =
        tokio::join!(answer, whole(client, get("/0")), whole(client, get("/1")), whole(client, get("/2")));
    peers.try_into().ok().expect("three")
}

/// A firewall that has forgotten one has forgotten those that were idle for as long.
#[tokio::test]
async fn a_reused_connection_without_a_word_takes_those_with_it_that_were_idle_as_long() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let _peers = idle(&bank, &client).await;
    let error = client.send(post(Body::absent()), SHORT).await.unwrap_err();
    assert!(matches!(error.failure, Failure::ResponseTimeout(SHORT)), "{error:?}");
    assert_eq!(error.progress, Progress::MayHaveArrived);
    assert_eq!(client.pool.connections(), (0, 0));
    let connections = serve(bank);
    whole(&client, post(Body::absent())).await;
    assert_eq!(connections.load(Relaxed), 1);
}

/// A balancer that was started anew knows none of them: a second try on another one of them would fail, too.
#[tokio::test]
async fn a_reused_connection_that_ends_without_a_word_takes_those_with_it_that_were_idle_as_long() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let [_oldest, _older, mut ending] = idle(&bank, &client).await;
    let end = async move {
        ending.head().await;
        drop(ending);
    };
    let (error, ()) = tokio::join!(client.send(post(Body::absent()), LONG), end);
    let error = error.unwrap_err();
    assert!(matches!(error.failure, Failure::Closed(_)), "{error:?}");
    assert_eq!(error.progress, Progress::MayHaveArrived);
    assert_eq!(client.pool.connections(), (0, 0));
    let connections = serve(bank);
    whole(&client, post(Body::absent())).await;
    assert_eq!(connections.load(Relaxed), 1);
}

#[tokio::test]
async fn a_connection_without_a_word_leaves_those_that_have_worked_since() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let [_oldest, _silent, mut slow] = idle(&bank, &client).await;
    let mut answered = Box::pin(whole(&client, get("/slow")));
    poll_once(&mut answered).await;
    client.pool.sweep_now();
    let (error, ..) = tokio::join!(client.send(get("/silent"), Duration::from_millis(300)), answered, slow.answer(OK));
    assert!(matches!(error.unwrap_err().failure, Failure::ResponseTimeout(_)));
    assert_eq!(client.pool.connections(), (1, 0));
    tokio::join!(whole(&client, get("/")), slow.answer(OK));
}

#[tokio::test]
async fn a_connection_on_which_an_answer_has_begun_takes_no_others_with_it() {
    let bank = Bank::http1().await;
    let client = bank.client(settings());
    let [_oldest, _older, mut slow] = idle(&bank, &client).await;
    let begin = async {
        slow.answer("HTTP/1.1 200 OK\r\n").await;
        // From here on only timers are waited for.
        tokio::time::pause();
    };
    let (error, ()) = tokio::join!(client.send(get("/"), LONG), begin);
    assert!(matches!(error.unwrap_err().failure, Failure::ResponseTimeout(LONG)));
    assert_eq!(client.pool.connections(), (2, 0));
}
