//! What there may be at most, and that who takes too long or too much holds up nobody else.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "numbers to look at are told, not asserted")]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bankside::sandbox::Protocols;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use support::front::{Entry, Front, before_obliging_bank};
use support::http::{Answer, get, metric, send, send_http2};
use support::scripted::{Bank, Setup, Trust};
use support::wait::{time_passes, unless_it_hangs, until, until_found, until_queued};
use support::world::World;

/// As many file descriptors as the system lets this process and its children have.
fn raise_descriptors(wanted: u64) -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    if hard < wanted {
        println!("left out: {wanted} descriptors are more than the {hard} that there may be");
        return false;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(1 << 20), hard).expect("a limit");
    true
}

/// How long each of so many requests took, one after the other on one connection.
async fn times(address: SocketAddr, requests: usize) -> Vec<Duration> {
    let mut app = TcpStream::connect(address).await.expect("somebody listens");
    let mut times = Vec::new();
    for _ in 0..requests {
        let start = Instant::now();
        app.write_all(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is taken");
        let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
        while !answer.ends_with(b"ok") {
            let count = unless_it_hangs("the good app", app.read(&mut buffer)).await.expect("an answer");
            assert_ne!(count, 0, "{:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..count]);
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times
}

/// The median and the 99th percentile.
fn told(times: &[Duration]) -> String {
    format!("p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100])
}

#[tokio::test]
async fn a_thousand_slow_apps_beside_a_good_one_that_goes_on_being_served() {
    if !raise_descriptors(4_096) {
        return;
    }
    let (bank, front) = before_obliging_bank("");
    let address = front.address("examplebank");
    times(address, 100).await;
    let alone = times(address, 500).await;

    let slow: Vec<_> = (0..1_000)
        .map(|number| {
            tokio::spawn(async move {
                let mut app = TcpStream::connect(address).await.expect("somebody listens");
                // Half of a head or of a preface, a few halves of a body; and then a byte a second.
                let begin: &[u8] = match number {
                    0..20 => b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhello",
                    20..40 => {
                        b"POST /slow HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello"
                    }
                    40..500 => b"PRI * HTTP/2.0\r",
                    _ => b"GET /slow HTTP/1.1\r\nHost: loc",
                };
                let _ = app.write_all(begin).await;
                loop {
                    time_passes(Duration::from_secs(1)).await;
                    if app.write_all(b"x").await.is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    until("the slow bodies have begun", || bank.record.raw().len() >= 40).await;
    let beside = times(address, 500).await;
    println!("a good app alone: {}", told(&alone));
    println!("beside 1,000 slow ones: {}", told(&beside));
    println!("the sidecar's memory: {} KiB", front.sidecar.service.memory("VmRSS") / 1024);
    slow.iter().for_each(JoinHandle::abort);
}

/// An app that sends the beginning of a body, and then a byte a second. Refused, it comes again.
async fn send_a_body_slowly(address: SocketAddr, path: &str, number: usize) {
    let framing = match number % 3 {
        0 => "Content-Length: 1000\r\n\r\nhello",
        1 => "Content-Length: 1000000\r\n\r\nhello",
        _ => "Transfer-Encoding: chunked\r\n\r\nffff\r\nhello",
    };
    let begin = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}");
    loop {
        let mut app = TcpStream::connect(address).await.expect("somebody listens");
        let _ = app.write_all(begin.as_bytes()).await;
        let mut answer = [0; 1024];
        while app.write_all(b"x").await.is_ok() {
            let second = Duration::from_secs(1);
            if let Ok(_answered) = tokio::time::timeout(second, app.read(&mut answer)).await {
                break;
            }
        }
    }
}

#[tokio::test]
async fn three_hundred_slow_bodies_beside_a_good_app_that_goes_on_being_served() {
    if !raise_descriptors(4_096) {
        return;
    }
    let (bank, front) = before_obliging_bank("");
    let address = front.address("examplebank");
    times(address, 100).await;
    let alone = times(address, 500).await;
    let slow: Vec<_> = (0..300).map(|number| tokio::spawn(send_a_body_slowly(address, "/slow", number))).collect();
    // Half of the connections to the bank, which is what they may have.
    until("the slow bodies have begun", || bank.record.raw().len() >= 64).await;
    println!("a good app alone: {}", told(&alone));
    println!("beside 300 slow bodies: {}", told(&times(address, 500).await));
    // Bodies that follow their heads, small and large ones, pass too: slow ones give way.
    for length in [20, 20_000, 200_000, 2_000_000] {
        let head =
            format!("POST /good HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let mut app = TcpStream::connect(address).await.expect("somebody listens");
        app.write_all(head.as_bytes()).await.expect("it is taken");
        // The body follows its head.
        time_passes(Duration::from_millis(100)).await;
        let (mut read, mut write) = app.split();
        let mut answer = String::new();
        let body = vec![b'x'; length];
        let exchange = async { tokio::join!(write.write_all(&body), read.read_to_string(&mut answer)) };
        let (sent, _) = unless_it_hangs("the good app's body", exchange).await;
        assert!(sent.is_ok() && answer.starts_with("HTTP/1.1 200 "), "{length} bytes: {sent:?} {answer}");
    }
    slow.iter().for_each(JoinHandle::abort);
}

/// Requests of a good app, with bodies of up to 40 KB.
async fn exchange_bodies(address: SocketAddr) {
    for number in 0..50 {
        let body = vec![b'x'; number * 800];
        get(address, "/_test/echo").await.with(200);
        send(address, "POST", "/_test/upload", &[], body.clone()).await.with(200);
        send_http2(address, "POST", "/_test/upload", &[], body).await.with(200);
    }
}

/// Over HTTP/2, where connections are many streams, on either side.
#[tokio::test]
async fn slow_bodies_over_http2_hold_up_nobody_either() {
    let world = World::with(|options| options.icard.protocols = Protocols::Http2).await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    let address = sidecar.address("icard");
    let start = Instant::now();
    exchange_bodies(address).await;
    println!("150 exchanges alone: {:?}", start.elapsed());
    let mut slow: Vec<_> =
        (0..100).map(|number| tokio::spawn(send_a_body_slowly(address, "/_test/upload", number))).collect();
    // Two connections of an app, full of streams.
    for _ in 0..2 {
        let stream = TcpStream::connect(address).await.expect("somebody listens");
        let (client, connection) = h2::client::handshake(stream).await.expect("a connection");
        slow.push(tokio::spawn(async move { drop(connection.await) }));
        for _ in 0..100 {
            let mut client = client.clone().ready().await.expect("room");
            let request = http::Request::post(format!("http://{address}/_test/upload")).body(()).expect("a request");
            let (answer, mut body) = client.send_request(request, false).expect("it is sent");
            slow.push(tokio::spawn(async move {
                while body.send_data("x".into(), false).is_ok() {
                    time_passes(Duration::from_secs(1)).await;
                }
                drop(answer);
            }));
        }
    }
    let control = world.sandbox.icard().control();
    until("slow bodies are at the bank", || control.counters().http2_connections > 0).await;
    let in_flight = "bankside_requests_in_flight{bank=\"icard\"}";
    // All 300, but for those that were refused and come again.
    until_found("the slow bodies are under way", async || {
        metric(sidecar.address("admin"), in_flight).await.filter(|count| *count >= 250)
    })
    .await;
    let start = Instant::now();
    exchange_bodies(address).await;
    println!("beside 300 slow bodies: {:?}", start.elapsed());
    slow.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn a_slow_body_gives_the_only_place_or_connection_to_who_waits() {
    for more in ["[@.limits]\nin_flight = 1", "[@.limits]\nconnections = 1"] {
        let (bank, front) = before_obliging_bank(more);
        let address = front.address("examplebank");
        let slow = tokio::spawn(send_a_body_slowly(address, "/slow", 0));
        until("the slow body has begun", || !bank.record.raw().is_empty()).await;
        get(address, "/good").await.with(200);
        slow.abort();
    }
}

/// What an idle connection may cost, in bytes.
const MOST: u64 = 16 * 1024;

#[tokio::test]
async fn five_thousand_idle_connections_cost_little_and_hold_up_nobody() {
    if !raise_descriptors(12_000) {
        return;
    }
    let (_bank, front) = before_obliging_bank("");
    let address = front.address("examplebank");
    times(address, 10).await;
    let before = front.sidecar.service.memory("VmRSS");
    let mut idle = Vec::new();
    for number in 0..5_000 {
        let mut app = TcpStream::connect(address).await.expect("somebody listens");
        // Every other one has been used.
        if number % 2 == 0 {
            app.write_all(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is taken");
            let mut answer = [0; 512];
            assert_ne!(app.read(&mut answer).await.expect("an answer"), 0);
        }
        idle.push(app);
    }
    // What has been used gives its memory back after a while.
    time_passes(Duration::from_secs(3)).await;
    let after = front.sidecar.service.memory("VmRSS");
    let each = after.saturating_sub(before) / 5_000;
    println!("5,000 idle connections: {} KiB before, {} KiB with them, {each} bytes each", before / 1024, after / 1024);
    assert!(each < MOST, "{each} bytes for an idle connection");
    println!("beside them: {}", told(&times(address, 200).await));
    drop(idle);
}

/// A sidecar before a bank that holds its answers' last byte until it is told.
struct Holding {
    front: Front,
    bank: Bank,
    /// Tells all connections that hold an answer.
    go: Arc<Notify>,
    /// The targets of the requests whose answers have begun, in the order of coming.
    begun: Arc<Mutex<Vec<String>>>,
}

impl Holding {
    /// With these limits.
    fn with(limits: &str) -> Self {
        let (go, begun) = (Arc::<Notify>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (told, noted) = (Arc::clone(&go), Arc::clone(&begun));
        let trust = Trust::new();
        let bank = Bank::start(&trust, &Setup::default(), move |mut bank| {
            let (told, noted) = (Arc::clone(&told), Arc::clone(&noted));
            async move {
                while let Some(request) = bank.request().await {
                    bank.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
                    // Who is told before it waits is told all the same.
                    let turn = told.notified();
                    noted.lock().expect("no panic").push(request.target().to_owned());
                    turn.await;
                    bank.say("k").await;
                }
            }
        });
        let front = Front::start_observed(&trust, &[Entry::new("examplebank", &bank).with(limits)]);
        Self { front, bank, go, begun }
    }

    fn address(&self) -> SocketAddr {
        self.front.address("examplebank")
    }

    /// Asks for this, and does not wait for the answer.
    fn ask(&self, path: &str) -> JoinHandle<Answer> {
        let (address, path) = (self.address(), path.to_owned());
        tokio::spawn(async move { get(address, &path).await })
    }

    /// Waits until so many answers have begun since the start: a head, and half of the content.
    async fn until_begun(&self, count: usize) {
        until("the answers have begun", || self.begun().len() == count).await;
    }

    fn begun(&self) -> Vec<String> {
        self.begun.lock().expect("no panic").clone()
    }

    /// The answers that have begun are ended.
    fn end_answers(&self) {
        self.go.notify_waiters();
    }
}

#[tokio::test]
async fn a_place_is_taken_until_the_end_of_the_body_and_who_waits_too_long_is_shed() {
    let holding = Holding::with("[@.limits]\nin_flight = 2\nqueue = \"300ms\"");
    let address = holding.address();
    let held = [holding.ask("/held"), holding.ask("/held")];
    holding.until_begun(2).await;
    for answer in [get(address, "/shed").await, send_http2(address, "POST", "/shed", &[], "{}").await] {
        answer.problem("overloaded", 503);
        assert_eq!(answer.header("proxy-status"), "bankside; error=connection_limit_reached");
        assert!(answer.header("retry-after").parse::<u32>().expect("whole seconds") >= 1);
    }
    assert_eq!(holding.begun().len(), 2, "what was shed was not sent");
    holding.end_answers();
    for held in held {
        assert_eq!(held.await.expect("an answer").with(200).body, "ok");
    }
    let next = holding.ask("/next");
    // There is a place again.
    holding.until_begun(3).await;
    holding.end_answers();
    next.await.expect("an answer").with(200);
}

#[tokio::test]
async fn an_app_that_hangs_up_gives_its_place_back() {
    let holding = Holding::with("[@.limits]\nin_flight = 1\nqueue = \"30s\"");
    for number in 0..5 {
        let mut app = TcpStream::connect(holding.address()).await.expect("somebody listens");
        app.write_all(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is taken");
        holding.until_begun(number + 1).await;
        drop(app);
    }
    let next = holding.ask("/next");
    holding.until_begun(6).await;
    holding.end_answers();
    next.await.expect("an answer").with(200);
}

#[tokio::test]
async fn who_waits_is_served_in_the_order_of_coming() {
    let holding = Holding::with("[@.limits]\nin_flight = 1\nqueue = \"30s\"");
    let first = holding.ask("/0");
    holding.until_begun(1).await;
    let mut apps = vec![first];
    for number in 1..5 {
        apps.push(holding.ask(&format!("/{number}")));
        until_queued(holding.front.address("admin"), "examplebank", number).await;
    }
    for (number, app) in apps.into_iter().enumerate() {
        holding.until_begun(number + 1).await;
        holding.end_answers();
        app.await.expect("an answer").with(200);
    }
    assert_eq!(holding.begun(), ["/0", "/1", "/2", "/3", "/4"]);
}

#[tokio::test]
async fn connections_to_the_bank_are_bounded_and_who_waits_for_one_too_long_is_shed() {
    let holding = Holding::with("[@.limits]\nconnections = 2\nqueue = \"300ms\"");
    let held = [holding.ask("/held"), holding.ask("/held")];
    holding.until_begun(2).await;
    let problem = send(holding.address(), "POST", "/shed", &[], "{}").await;
    let told = problem.problem("overloaded", 503);
    assert!(told["remedy"].as_str().expect("a text").contains("has not received"), "{told}");
    assert!(problem.header("retry-after").parse::<u32>().expect("whole seconds") >= 1);
    holding.end_answers();
    for held in held {
        held.await.expect("an answer").with(200);
    }
    assert_eq!(holding.bank.record.raw().len(), 2, "there were two connections");
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_told_so() {
    let more = "[@.timeouts]\nrequest = \"500ms\"\nidle = \"500ms\"";
    let (bank, front) = before_obliging_bank(more);
    let address = front.address("examplebank");
    for (begin, status) in [
        ("GET /x HTTP/1.1\r\nHost: lo", "408"),
        ("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nhello", "400"),
    ] {
        let mut app = TcpStream::connect(address).await.expect("somebody listens");
        app.write_all(begin.as_bytes()).await.expect("it is taken");
        let mut answer = String::new();
        unless_it_hangs("the answer", app.read_to_string(&mut answer)).await.expect("text");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("urn:bankside:bad-request"), "{answer}");
    }
    assert!(bank.record.requests().0.is_empty(), "{:?}", bank.record.raw());
}
