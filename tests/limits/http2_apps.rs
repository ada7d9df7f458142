//! One HTTP/2 connection of an app, and what its streams do to each other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::front::{Entry, Front};
use crate::support::scripted::{Bank, Setup, Trust};
use crate::support::wait::{time_passes, unless_it_hangs, until};

/// An app's connection.
async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("somebody listens");
    let (client, connection) = h2::client::handshake(stream).await.expect("a connection");
    tokio::spawn(async move { drop(connection.await) });
    client
}

/// Sends a request's head.
async fn begin(
    client: &SendRequest<Bytes>,
    address: SocketAddr,
    path: &str,
) -> (ResponseFuture, h2::SendStream<Bytes>) {
    let mut client = unless_it_hangs("room for a stream", client.clone().ready()).await.expect("the connection lives");
    let request = http::Request::post(format!("http://{address}{path}")).body(()).expect("a request");
    client.send_request(request, false).expect("it is sent")
}

async fn status(answer: ResponseFuture) -> u16 {
    unless_it_hangs("the answer", answer).await.expect("the connection lives").status().as_u16()
}

/// A bank that answers what asks for `/held` once it may, nothing that asks for `/stuck`, and the rest at once.
fn bank(trust: &Trust, may: &Arc<Notify>) -> Bank {
    let may = Arc::clone(may);
    Bank::start(trust, &Setup::default(), move |mut bank| {
        let may = Arc::clone(&may);
        async move {
            loop {
                let Some(head) = bank.head().await else { return };
                if head.contains(" /stuck") {
                    return std::future::pending().await;
                }
                if head.contains(" /held") {
                    may.notified().await;
                }
                if bank.request().await.is_none() {
                    return;
                }
                bank.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
}

#[tokio::test]
async fn uploads_that_their_bank_does_not_read_hold_up_no_other_on_the_connection() {
    let trust = Trust::new();
    let bank = bank(&trust, &Arc::default());
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank).with("[@.timeouts]\nidle = \"10m\"")]);
    let address = front.address("examplebank");
    let app = connect(address).await;
    let mut stuck = Vec::new();
    for _ in 0..12 {
        let (answer, mut body) = begin(&app, address, "/stuck").await;
        // More than buffers take on the way to the bank.
        body.send_data(vec![b'x'; 16 << 20].into(), true).expect("it is taken");
        stuck.push((answer, body));
    }
    until("all of them are at the bank", || bank.record.raw().len() == stuck.len()).await;
    // All that takes bytes on the way is full by then.
    time_passes(Duration::from_secs(2)).await;
    let (answer, mut body) = begin(&app, address, "/good").await;
    body.send_data(vec![b'x'; 100_000].into(), true).expect("it is taken");
    assert_eq!(status(answer).await, 200);
}

#[tokio::test]
async fn a_body_that_waits_in_small_frames_ends_nothing_on_the_connection() {
    let (trust, may) = (Trust::new(), Arc::default());
    let bank = bank(&trust, &may);
    let more = "[@.limits]\nin_flight = 1\nqueue = \"10m\"";
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank).with(more)]);
    let address = front.address("examplebank");
    let app = connect(address).await;
    let (held, mut body) = begin(&app, address, "/held").await;
    body.send_data("x".into(), true).expect("it is taken");
    until("it is at the bank", || !bank.record.raw().is_empty()).await;
    let (waiting, mut body) = begin(&app, address, "/waiting").await;
    for _ in 0..6_000 {
        body.send_data("0123456789".into(), false).expect("it is taken");
    }
    body.send_data("".into(), true).expect("it is taken");
    // What is sent on another stream later has come later.
    let (other, mut body) = begin(&app, address, "/other").await;
    body.send_data("x".into(), true).expect("it is taken");
    may.notify_one();
    for answer in [held, waiting, other] {
        assert_eq!(status(answer).await, 200);
    }
}
