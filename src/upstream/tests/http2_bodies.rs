//! Bodies with HTTP/2, both ways.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::Response;

use super::bank::*;
use super::http2::{drive, next, serve};
use crate::message::{BodyError, Size};
use crate::upstream::{ClientSettings, Failure};

#[tokio::test]
async fn an_early_answer_comes_whole_though_the_bank_resets_the_rest_of_the_request() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    tokio::spawn(async move {
        let mut server = serve(&bank).await;
        let (_, mut respond) = next(&mut server).await;
        let mut stream = respond.send_response(Response::builder().status(413).body(()).unwrap(), false).unwrap();
        stream.send_data(Bytes::from_static(b"large"), true).unwrap();
        // Dropping a stream that the client has not ended resets it with NO_ERROR.
        drop((stream, respond));
        drive(server).await;
    });
    let (feed, body) = fed(Size::Unknown);
    feed.data("abc");
    let (response, text) = whole(&client, post(body)).await;
    assert_eq!((response.status.as_u16(), text.as_str()), (413, "large"));
}

#[tokio::test]
async fn a_body_that_stands_still_ends_in_a_timeout() {
    let bank = Bank::http2().await;
    let client = bank.client(ClientSettings { idle: SHORT, ..settings() });
    tokio::spawn(async move {
        let mut server = serve(&bank).await;
        let (_, mut respond) = next(&mut server).await;
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
        drive(server).await;
    });
    let mut response = client.send(get("/"), FOREVER).await.unwrap();
    let outcome = text(&mut response).await;
    assert!(matches!(outcome, Err(BodyError::Idle(SHORT))), "{outcome:?}");
}

#[tokio::test]
async fn an_app_that_stalls_is_told_from_a_bank_that_does() {
    let bank = Bank::http2().await;
    let client = bank.client(ClientSettings { idle: SHORT, ..settings() });
    tokio::spawn(async move {
        let mut server = serve(&bank).await;
        let mut streams = Vec::new();
        while let Some(stream) = server.accept().await {
            streams.push(stream);
        }
    });
    let (_feed, body) = fed(Size::Unknown);
    let error = client.send(post(body), FOREVER).await.unwrap_err();
    assert!(matches!(error.failure, Failure::RequestBody(BodyError::Idle(SHORT))), "{error:?}");
    let (taken, body) = counted(1 << 30);
    let error = client.send(post(body), FOREVER).await.unwrap_err();
    assert!(matches!(error.failure, Failure::ResponseTimeout(SHORT)), "{error:?}");
    // The bank's window is 64 KiB, and nothing was taken in beyond it but for one frame.
    assert!(taken.load(Relaxed) <= 96 << 10, "{} bytes", taken.load(Relaxed));
}

#[tokio::test]
async fn twenty_megabytes_go_up_and_come_down() {
    const LARGE: u64 = 20 << 20;
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let script = tokio::spawn(async move {
        let mut server = serve(&bank).await;
        let (request, mut respond) = next(&mut server).await;
        let driver = tokio::spawn(drive(server));
        let head = Response::builder().header("content-length", LARGE).body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        let mut body = request.into_body();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            send(&mut stream, data).await;
        }
        stream.send_data(Bytes::new(), true).unwrap();
        driver.await.unwrap();
    });
    let (_, body) = counted(LARGE);
    let response = client.send(post(body), LONG).await.unwrap();
    assert_eq!(response.body.size(), Size::Exact(LARGE));
    let length = usize::try_from(LARGE).unwrap();
    assert_eq!(response.body.collect(length).await.unwrap().map(|content| content.len()), Some(length));
    drop(client);
    script.await.unwrap();
}

/// Sends `data` as the client's windows allow.
async fn send(stream: &mut h2::SendStream<Bytes>, mut data: Bytes) {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        while stream.capacity() == 0 {
            std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.expect("an open stream").expect("capacity");
        }
        let part = data.split_to(stream.capacity().min(data.len()));
        stream.send_data(part, false).unwrap();
    }
}

#[tokio::test]
async fn an_app_that_does_not_read_holds_the_bank_back() {
    let bank = Bank::http2().await;
    let client = bank.client(settings());
    let (said, mut progress) = tokio::sync::watch::channel(0_usize);
    tokio::spawn(async move {
        let mut server = serve(&bank).await;
        let (_, mut respond) = next(&mut server).await;
        tokio::spawn(drive(server));
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        loop {
            send(&mut stream, Bytes::from(vec![b'x'; 16 << 10])).await;
            said.send_modify(|said| *said += 16 << 10);
        }
    });
    let mut response = client.send(get("/"), LONG).await.unwrap();
    response.body.frame().await.unwrap().unwrap();
    while tokio::time::timeout(SHORT, progress.changed()).await.is_ok() {}
    let held = *progress.borrow();
    assert!(held <= 1 << 20, "{held} bytes");
    // And lets it go on when it reads again.
    for _ in 0..100 {
        response.body.frame().await.unwrap().unwrap();
    }
    progress.wait_for(|said| *said > held).await.unwrap();
}
