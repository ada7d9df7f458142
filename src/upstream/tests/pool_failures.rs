//! Who waits for a connection while none can be made, with HTTP/1.1.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::bank::*;
use super::pools::{OK, serve};
use crate::config::Alpn;
use crate::message::Response;
use crate::upstream::{Client, ClientSettings, Failure, Progress, SendError};

const SHORTEST: Duration = Duration::from_millis(50);

type Sent = JoinHandle<Result<Response, SendError>>;

fn send(client: &Arc<Client>) -> Sent {
    let client = Arc::clone(client);
    tokio::spawn(async move { client.send(get("/"), LONG).await })
}

/// A client, a request of it that the bank has read and not answered yet, and the bank.
async fn in_use(settings: ClientSettings) -> (Arc<Client>, Sent, Peer, Bank) {
    let bank = Bank::http1().await;
    let client = Arc::new(bank.client_with(settings, vec![Alpn::Http11]));
    let first = send(&client);
    let mut peer = bank.accept().await;
    peer.head().await;
    (client, first, peer, bank)
}

#[tokio::test]
async fn while_a_connection_is_in_use_a_failed_attempt_fails_nobody() {
    let (client, first, mut peer, bank) = in_use(settings()).await;
    drop(bank);
    let waiting = [(); 20].map(|()| send(&client));
    until(|| client.pool.dials() == 1 && client.pool.pause().is_some()).await;
    peer.say(OK).await;
    first.await.unwrap().unwrap();
    for waiting in waiting {
        let (_, answer) = tokio::join!(peer.answer(OK), waiting);
        assert_eq!(answer.unwrap().unwrap().status, 200);
    }
    assert_eq!(client.pool.pause(), None, "nobody waits");
}

#[tokio::test]
async fn who_has_waited_in_vain_is_told_why_no_connection_was_made() {
    let (client, first, peer, bank) = in_use(ClientSettings { queue: 4 * SHORT, ..settings() }).await;
    drop(bank);
    let start = Instant::now();
    let error = error(&client, get("/")).await;
    assert!(matches!(error.failure, Failure::Connect(_)), "{error:?}");
    assert_eq!(error.progress, Progress::NothingSent);
    assert!(start.elapsed() >= 4 * SHORT);
    peer.reset();
    first.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn attempts_in_vain_keep_their_distance() {
    let (client, _first, _peer, bank) = in_use(settings()).await;
    drop(bank);
    let start = Instant::now();
    let waiting = [(); 20].map(|()| send(&client));
    until(|| client.pool.pause().is_some_and(|pause| pause == 8 * SHORTEST)).await;
    assert!(start.elapsed() >= (2 + 4) * SHORTEST);
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
}

#[tokio::test]
async fn when_the_bank_is_back_each_who_waits_gets_a_connection() {
    let (client, _first, _peer, bank) = in_use(settings()).await;
    let mut waiting = vec![send(&client)];
    until(|| client.pool.is_waited_for()).await;
    client.pool.be_failing();
    waiting.extend([(); 4].map(|()| send(&client)));
    until(|| client.pool.waiting() == 5).await;
    assert_eq!(client.pool.dials(), 1);
    let mut peers = Vec::new();
    for _ in 0..5 {
        // None is answered before all are there.
        let mut peer = bank.accept().await;
        peer.head().await;
        peers.push(peer);
    }
    for peer in &mut peers {
        peer.say(OK).await;
    }
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    }
}

#[tokio::test]
async fn whose_time_is_up_is_told_of_the_attempt_that_fails_then() {
    let settings = ClientSettings { queue: SHORT, connect: 10 * SHORT, ..settings() };
    let (client, _first, _peer, _silent) = in_use(settings).await;
    let waiting = [(); 4].map(|()| send(&client));
    let start = Instant::now();
    for waiting in waiting {
        let error = waiting.await.unwrap().unwrap_err();
        assert!(matches!(error.failure, Failure::ConnectTimeout(_)), "{error:?}");
    }
    assert!(start.elapsed() < 20 * SHORT, "and not after twice the time of an attempt");
}

#[tokio::test]
async fn a_failure_that_nobody_waited_through_is_told_to_nobody() {
    let (client, _first, _peer, bank) = in_use(ClientSettings { queue: Duration::ZERO, ..settings() }).await;
    client.pool.be_failing();
    serve(bank);
    whole(&client, get("/")).await;
}

#[tokio::test]
async fn who_waits_for_an_attempt_that_broke_off_is_told() {
    let bank = Bank::http1().await;
    let client = Arc::new(bank.client_with(settings(), vec![Alpn::Http11]));
    let waiting = send(&client);
    until(|| client.pool.is_waited_for()).await;
    client.pool.break_an_attempt_off();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error.failure, Failure::Connect(_)), "{error:?}");
    serve(bank);
    whole(&client, get("/")).await;
}
