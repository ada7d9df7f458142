//! What there may be at most, and that who takes too long or too much holds up nobody else.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "numbers to look at are told, not asserted")]

#[path = "limits/http2_apps.rs"]
mod http2_apps;
#[path = "limits/places.rs"]
mod places;
mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bankside::sandbox::Protocols;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use support::front::{Entry, Front, before_obliging_bank};
use support::http::{get, metric, send, send_http2};
use support::scripted::{Bank, Setup, Trust};
use support::wait::{time_passes, unless_it_hangs, until, until_found};
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
async fn half_heads_at_the_operators_listener_take_nothing_from_the_banks() {
    const MOST: usize = 64;
    if !raise_descriptors(2_048) {
        return;
    }
    let trust = Trust::new();
    let bank = Bank::obliging(&trust, &Setup::default());
    let front = Front::start_observed(&trust, &[Entry::new("examplebank", &bank)]);
    let (address, admin) = (front.address("examplebank"), front.address("admin"));
    times(address, 10).await;
    let descriptors = || {
        let folder = format!("/proc/{}/fd", front.sidecar.service.id());
        std::fs::read_dir(folder).expect("it runs").count()
    };
    let (before, head) = (descriptors(), format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(60_000)));
    let mut half = Vec::new();
    for number in 0..600 {
        let mut app = TcpStream::connect(admin).await.expect("somebody listens, or the kernel does");
        // A long head is refused, and a short one takes a place.
        let _ = app.write_all(if number % 2 == 0 { b"GET / HTTP/1.1\r\nHost: loc" } else { head.as_bytes() }).await;
        half.push(app);
    }
    until("the places are taken", || descriptors() >= before + MOST - 8).await;
    times(address, 100).await;
    assert!(descriptors() <= before + MOST + 8, "{} of {before}", descriptors());
    drop(half);
    get(admin, "/livez").await.with(200);
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

/// The bank takes longer for its word than a slow app is given, and others wait for the only connection meanwhile.
#[tokio::test]
async fn an_app_that_waits_for_the_banks_word_is_not_taken_for_a_slow_one() {
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        while let Some(head) = bank.head().await {
            if head.contains("Expect") {
                time_passes(Duration::from_secs(6)).await;
                bank.say("HTTP/1.1 100 Continue\r\n\r\n").await;
            }
            bank.request().await;
            bank.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    });
    let limits = "[@.limits]\nconnections = 1\nqueue = \"30s\"";
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank).with(limits)]);
    let address = front.address("examplebank");
    let mut app = TcpStream::connect(address).await.expect("somebody listens");
    app.write_all(b"POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await
        .expect("it is taken");
    until("the request is at the bank", || !bank.record.raw().is_empty()).await;
    let waiting = tokio::spawn(get(address, "/waiting"));
    let mut word = [0; 25];
    unless_it_hangs("the bank's word", app.read_exact(&mut word)).await.expect("an answer");
    assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
    app.write_all(b"hello").await.expect("it is taken");
    waiting.await.expect("no panic").with(200);
}

/// The system says that an app can be written to when a third of what waits for it is gone: more than a megabyte, which
/// takes an app that is slow longer than it may rest.
#[tokio::test]
async fn an_app_that_reads_slowly_and_steadily_gets_all_of_a_large_answer() {
    const LENGTH: usize = 6 << 20;
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        let answer =
            [format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes(), &vec![b'x'; LENGTH]].concat();
        while bank.request().await.is_some() {
            bank.say(&answer).await;
        }
    });
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank).with("[@.timeouts]\nidle = \"500ms\"")]);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 << 10).expect("a size");
    let mut app = socket.connect(front.address("examplebank")).await.expect("somebody listens");
    app.write_all(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is taken");
    let (mut taken, mut buffer) = (0, vec![0; 128 << 10]);
    while taken < LENGTH {
        let count = unless_it_hangs("the answer", app.read(&mut buffer)).await.expect("more of it");
        assert_ne!(count, 0, "it ends after {taken} bytes");
        taken += count;
        time_passes(Duration::from_millis(100)).await;
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
