//! Large bodies: whole, both ways, over either version of HTTP, and never held in memory.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write;
use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};
use bankside::sandbox::Protocols;
use bytes::Bytes;
use support::http::{Answer, get, send, send_http2, send_with_trailers};
use support::program::Sidecar;
use support::wait::until;
use support::world::World;

const LARGE: usize = 20_000_000;
/// What the process may grow by at the most while a body of [`LARGE`] passes.
const FLAT: u64 = 8_000_000;

/// The bytes that the bank sends and is sent: each the lowest byte of its own position.
fn blob(length: usize) -> Bytes {
    (0..length).map(|position| position.to_le_bytes()[0]).collect()
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes it");
        text
    })
}

/// An app that speaks one version of HTTP.
#[derive(Clone, Copy, Debug)]
enum App {
    Http1,
    Http2,
}

impl App {
    async fn send(self, address: SocketAddr, method: &str, path: &str, body: Bytes) -> Answer {
        match self {
            Self::Http1 => send(address, method, path, &[], body).await,
            Self::Http2 => send_http2(address, method, path, &[], body).await,
        }
    }
}

/// Banks that speak one version of HTTP, and a sidecar in front of them with a grant.
async fn with_bank(protocols: Protocols) -> (World, Sidecar) {
    let world = World::with(|options| options.icard.protocols = protocols).await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    (world, sidecar)
}

/// Sends a large body up and another one down, and looks at what it cost.
async fn up_and_down(app: App, protocols: Protocols, version: &str) {
    let (world, sidecar) = with_bank(protocols).await;
    let address = sidecar.address("icard");
    // Pools, buffers and TLS are there before it is measured.
    app.send(address, "POST", "/_test/upload", blob(100_000)).await.with(200);
    let idle = sidecar.service.memory("VmHWM");

    let sent = blob(LARGE);
    let echoed = app.send(address, "POST", "/_test/upload", sent.clone()).await.with(200).json();
    assert_eq!(echoed["bytes"], LARGE);
    assert_eq!(echoed["sha256"], sha256(&sent));
    assert_eq!(echoed["version"], version);

    for query in ["", "&chunked=true"] {
        let path = format!("/_test/blob?bytes={LARGE}{query}");
        let answer = app.send(address, "GET", &path, Bytes::new()).await.with(200);
        assert!(answer.body == sent, "{path}: {} bytes, and not the same", answer.body.len());
    }
    let grown = sidecar.service.memory("VmHWM") - idle;
    assert!(grown < FLAT, "it grew by {grown} bytes");
    let counters = world.sandbox.icard().control().counters();
    assert_eq!(counters.http2_connections > 0, version == "HTTP/2.0", "{counters:?}");
}

#[tokio::test]
async fn twenty_megabytes_pass_from_an_http1_app_to_an_http1_bank_and_back() {
    up_and_down(App::Http1, Protocols::Http1, "HTTP/1.1").await;
}

#[tokio::test]
async fn twenty_megabytes_pass_from_an_http1_app_to_an_http2_bank_and_back() {
    up_and_down(App::Http1, Protocols::Http2, "HTTP/2.0").await;
}

#[tokio::test]
async fn twenty_megabytes_pass_from_an_http2_app_to_an_http1_bank_and_back() {
    up_and_down(App::Http2, Protocols::Http1, "HTTP/1.1").await;
}

#[tokio::test]
async fn twenty_megabytes_pass_from_an_http2_app_to_an_http2_bank_and_back() {
    up_and_down(App::Http2, Protocols::Http2, "HTTP/2.0").await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_not_taken_from_the_bank() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for protocols in [Protocols::Http1, Protocols::Http2] {
        let (_world, sidecar) = with_bank(protocols).await;
        let address = sidecar.address("icard");
        get(address, "/_test/blob?bytes=100000").await.with(200);
        let idle = sidecar.service.memory("VmHWM");
        let mut apps = Vec::new();
        for _ in 0..4 {
            let mut app = tokio::net::TcpStream::connect(address).await.expect("somebody listens");
            let request = format!("GET /_test/blob?bytes={LARGE} HTTP/1.1\r\nHost: {address}\r\n\r\n");
            app.write_all(request.as_bytes()).await.expect("it is taken");
            // The head has come, so the body is on its way; from here on this app reads nothing.
            app.read_u8().await.expect("an answer");
            apps.push(app);
        }
        // By the time that a whole body has passed on another connection, there was time enough for the others.
        let passing = get(address, &format!("/_test/blob?bytes={LARGE}")).await.with(200);
        assert_eq!(passing.body.len(), LARGE);
        let grown = sidecar.service.memory("VmHWM") - idle;
        assert!(grown < 2 * FLAT, "{protocols:?}: it grew by {grown} bytes while 80 MB waited");
    }
}

/// On HTTP/1.1 the simulated bank sends trailers only where `TE` asks for them.
#[tokio::test]
async fn an_answers_trailers_reach_the_app() {
    let body = blob(100_000);
    for protocols in [Protocols::Http1, Protocols::Http2] {
        let (_world, sidecar) = with_bank(protocols).await;
        let address = sidecar.address("icard");
        let path = "/_test/blob?bytes=100000&trailer=true";
        let te = [("te", "trailers"), ("connection", "te")];
        for answer in [send(address, "GET", path, &te, "").await, send_http2(address, "GET", path, &te[..1], "").await]
        {
            assert!(answer.status == 200 && answer.body == body, "{protocols:?}: {}", answer.status);
            let trailer = answer.trailers.get("x-sha256").map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(trailer, Some(sha256(&body)), "{protocols:?}");
        }
    }
}

#[tokio::test]
async fn a_requests_trailers_reach_the_bank() {
    for protocols in [Protocols::Http1, Protocols::Http2] {
        let (_world, sidecar) = with_bank(protocols).await;
        let address = sidecar.address("icard");
        for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
            let answer = send_with_trailers(address, version, "/_test/upload", "some bytes", ("x-check", "sum")).await;
            let echoed = answer.with(200).json();
            assert_eq!(echoed["bytes"], 10);
            assert_eq!(echoed["trailers"], serde_json::json!([["x-check", "sum"]]), "{version:?} to {protocols:?}");
        }
    }
}

#[tokio::test]
async fn a_bank_that_breaks_off_is_no_whole_answer_for_the_app() {
    use bankside::sandbox::{Fault, Plan, Target};
    for protocols in [Protocols::Http1, Protocols::Http2] {
        let (world, sidecar) = with_bank(protocols).await;
        let plan = Plan::next(1, Target::Path("/_test/blob".into()), Fault::CutMidBody);
        world.sandbox.icard().control().plan(plan);
        let address = sidecar.address("icard");
        let request = format!("GET /_test/blob?bytes=100000 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let answer = support::http::raw(address, &request).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.to_ascii_lowercase().contains("content-length: 100000"), "{head}");
        assert!(body.len() < 100_000, "{protocols:?}: what is missing is not made up");
    }
}

#[tokio::test]
async fn an_app_that_hangs_up_ends_its_request_at_the_bank() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (world, sidecar) = with_bank(Protocols::Http1).await;
    let address = sidecar.address("icard");
    let control = world.sandbox.icard().control();
    get(address, "/_test/blob?bytes=1").await.with(200);
    let mut app = tokio::net::TcpStream::connect(address).await.expect("somebody listens");
    let request = format!("GET /_test/blob?bytes=1000000000 HTTP/1.1\r\nHost: {address}\r\n\r\n");
    app.write_all(request.as_bytes()).await.expect("it is taken");
    app.read_u8().await.expect("an answer");
    let open = control.counters().open_connections;
    drop(app);
    until("the bank's connection is closed", || control.counters().open_connections < open).await;
    get(address, "/v1/accounts").await.with(200);
}
