//! The log under load, and before a reader who is slow or gone: requests go on, and what is not written is counted.
//!
//! Every request here leaves two events, since none has a grant: `no answer from the bank` and `request`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and tells numbers"
)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::program::PROGRAM;
use support::wait::here::time_passes;
use support::wait::until;
use support::world::World;

/// More events than may wait to be written (docs/LOGGING.md), and than fit into a pipe.
const MANY: u64 = 80_000;
const APPS: u64 = 8;
/// How many requests a second the log is to leave alone, and for how long that is looked at.
const RATE: u64 = 10_000;
const SECONDS: u64 = 3;

/// A sidecar whose standard error is a pipe.
struct Piped {
    child: Child,
    ready: String,
    log: Option<ChildStderr>,
}

impl Piped {
    fn start(config: &Path) -> Self {
        // Another build of the program may be named, to measure that.
        let program = std::env::var_os("BANKSIDE_TEST_PROGRAM").unwrap_or_else(|| PROGRAM.into());
        let mut child = Command::new(program)
            .args(["run", "--ready-file", "/dev/stdout", "-c"])
            .arg(config)
            .env_remove("BANKSIDE_CONFIG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).expect("the ready line");
        let log = child.stderr.take();
        Self { child, ready, log }
    }

    fn address(&self, name: &str) -> SocketAddr {
        let prefix = format!("{name}=");
        let found = self.ready.split_whitespace().find_map(|word| word.strip_prefix(&prefix));
        found.expect("it is listed").parse().expect("an address")
    }

    fn dropped(&self) -> u64 {
        let page = exchange(&mut TcpStream::connect(self.address("admin")).unwrap(), "/metrics", "close");
        let line =
            page.lines().find(|line| line.starts_with("bankside_log_dropped_events_total ")).expect("it is there");
        line.split(' ').nth(1).unwrap().parse().expect("a number")
    }

    /// Reads the log to its end from here on, and counts its events.
    fn read(&mut self) -> (Arc<AtomicU64>, JoinHandle<()>) {
        let log = BufReader::new(self.log.take().expect("nobody reads yet"));
        let events = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&events);
        let reader = thread::spawn(move || {
            for line in log.lines() {
                let line = line.expect("UTF-8");
                assert!(line.starts_with("{\"timestamp\":") && line.ends_with('}'), "a whole event: {line}");
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        (events, reader)
    }

    fn terminate(&mut self) -> Option<i32> {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).expect("it runs");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request and its answer, on a connection that stays open unless it says `close`.
fn exchange(stream: &mut TcpStream, path: &str, connection: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n").expect("it is taken");
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut part).expect("an answer");
        answer.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&answer);
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            length == Some(body.len())
        });
        if whole || read == 0 {
            return text.into_owned();
        }
    }
}

/// So many requests from several apps, at most so many a second, each answered as it should be; how long each took.
fn load(address: SocketAddr, requests: u64, rate: Option<u64>) -> Vec<Duration> {
    let apps = (0..APPS).map(|_| {
        thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let (begin, mut took) = (Instant::now(), Vec::new());
            for number in 0..requests / APPS {
                if let Some(rate) = rate {
                    let due = begin
                        + Duration::from_secs(1) * u32::try_from(number * APPS).unwrap() / u32::try_from(rate).unwrap();
                    time_passes(due.saturating_duration_since(Instant::now()));
                }
                let sent = Instant::now();
                let answer = exchange(&mut stream, "/v1/accounts", "keep-alive");
                took.push(sent.elapsed());
                assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("needs-authorization"), "{answer}");
            }
            took
        })
    });
    let apps: Vec<_> = apps.collect();
    apps.into_iter().flat_map(|app| app.join().expect("every request is answered")).collect()
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_no_request_up_and_what_it_loses_is_counted() {
    let world = World::start().await;
    let mut sidecar = Piped::start(&world.config);
    let requests = u64::try_from(load(sidecar.address("icard"), MANY, None).len()).unwrap();
    let dropped = sidecar.dropped();
    assert!(dropped > 0, "the pipe and the queue are full");
    // Somebody reads again: what waited comes, whole, and all that is missing was counted.
    let (told, reader) = sidecar.read();
    let events = 2 * requests;
    until("what is not dropped is written", || told.load(Ordering::SeqCst) + dropped >= events).await;
    assert_eq!(sidecar.dropped(), dropped);
    assert_eq!(sidecar.terminate(), Some(0));
    reader.join().expect("the log is whole");
    let told = told.load(Ordering::SeqCst);
    eprintln!("{events} events of {requests} requests: {told} written, {dropped} dropped and counted");
    assert!(told + dropped < events + 100, "{told} + {dropped} > {events}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_does_not_keep_the_program_from_its_end() {
    let world = World::start().await;
    let mut sidecar = Piped::start(&world.config);
    // More than the pipe and the queue take.
    load(sidecar.address("icard"), MANY, None);
    assert!(sidecar.dropped() > 0, "the pipe and the queue are full");
    assert_eq!(sidecar.terminate(), Some(0));
}

#[tokio::test]
async fn ten_thousand_requests_a_second_are_measured_before_a_log_that_is_read_and_one_that_is_not() {
    let world = World::start().await;
    for (is_read, who) in [(true, "is read"), (false, "nobody reads")] {
        let mut sidecar = Piped::start(&world.config);
        let reader = is_read.then(|| sidecar.read());
        let begin = Instant::now();
        let mut took = load(sidecar.address("icard"), RATE * SECONDS, Some(RATE));
        let rate = took.len() as u128 * 1000 / begin.elapsed().as_millis();
        took.sort();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];
        eprintln!(
            "{rate} requests/s, a log that {who}: {:?} (median), {:?} (99 %), {:?} (longest); {} events dropped",
            at(50),
            at(99),
            at(100),
            sidecar.dropped(),
        );
        assert_eq!(sidecar.terminate(), Some(0));
        if let Some((_, reader)) = reader {
            reader.join().expect("the log is whole");
        }
    }
}
