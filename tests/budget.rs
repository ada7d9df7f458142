//! What a request costs, counted instead of timed: system calls by strace, instructions by callgrind. Both come out alike
//! on an idle machine and on a busy one, so that what makes the data path dearer is seen where it is made.
//!
//! Each figure is a difference: of a run with many requests and one with few, divided by the difference of their numbers.
//! What does not belong to a request (starting, connecting, timers, being looked at) falls out. The figures are printed:
//! `cargo test --test budget -- --nocapture`.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, clippy::cast_precision_loss, reason = "a test tells numbers")]

#[path = "budget/counters.rs"]
mod counters;
mod support;

use std::net::SocketAddr;
use std::process::Command;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use counters::{Callgrind, Strace};
use support::front::{Entry, Front};
use support::parts::have;
use support::program::command;
use support::scripted::{Bank, Connection, Setup, Trust};
use support::wait::unless_it_hangs;

/// What a request may cost at most. Each is what was measured on 2026-11-21, and head room.
struct Budget {
    /// What is counted, and where.
    what: &'static str,
    /// How many apps ask at the same time.
    connections: usize,
    /// Requests of each app in the shorter run, and in the longer one.
    rounds: (usize, usize),
    /// A request's share that fails the test when it is exceeded.
    most: f64,
}

/// System calls before a bank that speaks HTTP/1.1.
const CALLS_HTTP1: [Budget; 2] = [
    // 4.05: read and write on either side. One turn of the worker serves many connections, so that its call for events
    // is shared. The head room is for a machine so busy that turns are shorter; one call more a request would be 5.05.
    Budget { what: "system calls, HTTP/1.1", connections: 64, rounds: (5, 45), most: 4.25 },
    // 6.03: each of the two reads is waited for, and nothing is shared. One call more a request would be 7.03.
    Budget { what: "system calls, HTTP/1.1", connections: 1, rounds: (100, 1_100), most: 6.4 },
];

/// System calls before a bank that speaks HTTP/2.
const CALLS_HTTP2: [Budget; 2] = [
    // 2.18: the app's read and write. All requests of a turn share the reads and writes of the one connection to the
    // bank; without that it would be 4.
    Budget { what: "system calls, HTTP/2", connections: 64, rounds: (5, 45), most: 2.4 },
    // 6.03, as with HTTP/1.1: there is nothing to share with.
    Budget { what: "system calls, HTTP/2", connections: 1, rounds: (100, 1_100), most: 6.4 },
];

/// Instructions before a bank that speaks HTTP/1.1. The head room of all of them, 5%, is for another version of the
/// compiler, of libc's and of the cryptography's choices for a processor; from run to run it is 1.5%.
const INSTRUCTIONS_HTTP1: [Budget; 2] = [
    // 134,000, most of them in what is not optimized in a debug build.
    Budget { what: "instructions, HTTP/1.1", connections: 1, rounds: (40, 240), most: 140_000.0 },
    // 129,600: the worker's turn is shared.
    Budget { what: "instructions, HTTP/1.1", connections: 16, rounds: (4, 34), most: 136_000.0 },
];

/// Instructions before a bank that speaks HTTP/2.
const INSTRUCTIONS_HTTP2: [Budget; 2] = [
    // 160,800 to 163,400: frames and field compression are more work than lines of text.
    Budget { what: "instructions, HTTP/2", connections: 1, rounds: (40, 240), most: 170_000.0 },
    // 139,600: a TLS record carries many requests.
    Budget { what: "instructions, HTTP/2", connections: 16, rounds: (4, 34), most: 146_500.0 },
];

/// The budgets of instructions are of the build that the suite makes; another one's figures are only told.
const IS_BUDGETED: bool = cfg!(all(debug_assertions, target_arch = "x86_64"));

/// The content of the bank's answers.
static CONTENT: [u8; 1024] = [b'x'; 1024];

#[tokio::test]
async fn a_request_to_an_http1_bank_makes_no_more_system_calls_than_its_budget() {
    system_calls(false, &CALLS_HTTP1).await;
}

#[tokio::test]
async fn a_request_to_an_http2_bank_makes_no_more_system_calls_than_its_budget() {
    system_calls(true, &CALLS_HTTP2).await;
}

#[tokio::test]
async fn a_request_to_an_http1_bank_takes_no_more_instructions_than_its_budget() {
    instructions(false, &INSTRUCTIONS_HTTP1).await;
}

#[tokio::test]
async fn a_request_to_an_http2_bank_takes_no_more_instructions_than_its_budget() {
    instructions(true, &INSTRUCTIONS_HTTP2).await;
}

async fn system_calls(is_http2: bool, budgets: &[Budget]) {
    if !have("strace", "system calls a request") || !Strace::may_attach() {
        return;
    }
    let world = World::start(is_http2, command(&[]));
    for budget in budgets {
        budget
            .check(&world, async |apps, rounds| {
                let strace = Strace::attach(world.front.sidecar.service.id());
                apps.ask(rounds).await;
                strace.calls()
            })
            .await;
    }
}

async fn instructions(is_http2: bool, budgets: &[Budget]) {
    if !have("valgrind", "instructions a request") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(is_http2, Callgrind::wrap(folder.path()));
    let mut callgrind = Callgrind::new(world.front.sidecar.service.id(), folder.path());
    for budget in budgets {
        let most = if IS_BUDGETED { budget.most } else { f64::INFINITY };
        Budget { most, ..*budget }
            .check(&world, async |apps, rounds| {
                callgrind.count();
                apps.ask(rounds).await;
                callgrind.count()
            })
            .await;
    }
}

impl Budget {
    /// Counts while apps ask, and fails if a request's share is above the budget. What disturbs adds, so the least of
    /// three counts.
    async fn check(&self, world: &World, mut count: impl AsyncFnMut(&mut Apps, usize) -> u64) {
        let (few, many) = self.rounds;
        let mut apps = Apps::connect(world.front.address("examplebank"), self.connections).await;
        // Connections to the bank are made, buffers have grown.
        apps.ask(few).await;
        let mut least = f64::INFINITY;
        for _ in 0..3 {
            let (less, more) = (count(&mut apps, few).await, count(&mut apps, many).await);
            let requests = (many - few) * self.connections;
            least = least.min((more as f64 - less as f64) / requests as f64);
            eprintln!("{} at {} connections: {least:.2} a request", self.what, self.connections);
            assert!(least > 1.0, "it was not counted");
            if least <= self.most {
                return;
            }
        }
        panic!("{} at {} connections: {least:.2} a request, above {}", self.what, self.connections, self.most);
    }
}

/// A bank and the sidecar before it, with one worker.
struct World {
    _bank: Bank,
    front: Front,
}

impl World {
    fn start(is_http2: bool, command: Command) -> Self {
        let trust = Trust::new();
        let with = "[runtime]\nworkers = 1\n[[@.routes]]\npath = \"/accounts/**\"";
        let (bank, entry): (_, fn(&Bank) -> Entry<'static>) = if is_http2 {
            let setup = Setup { alpn: &["h2"], ..Setup::default() };
            (Bank::start(&trust, &setup, serve_http2), |bank| Entry::new("examplebank", bank).http2())
        } else {
            (Bank::start(&trust, &Setup::default(), serve_http1), |bank| Entry::new("examplebank", bank))
        };
        let front = Front::start_prepared(&trust, &[entry(&bank).with(with)], command);
        Self { _bank: bank, front }
    }
}

async fn serve_http1(mut bank: Connection) {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", CONTENT.len());
    let answer = [head.as_bytes(), &CONTENT].concat();
    while bank.request().await.is_some() {
        bank.say(&answer).await;
    }
}

async fn serve_http2(bank: Connection) {
    let Ok(mut connection) = h2::server::handshake(bank).await else { return };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let answer = http::Response::builder()
            .header("content-type", "application/json")
            .header("content-length", CONTENT.len())
            .body(())
            .expect("an answer");
        // A sidecar that goes away is none of the bank's business.
        if let Ok(mut stream) = respond.send_response(answer, false) {
            let _ = stream.send_data(Bytes::from_static(&CONTENT), true);
        }
    }
}

/// Apps with a connection each that stays open.
struct Apps(Vec<TcpStream>);

impl Apps {
    async fn connect(address: SocketAddr, count: usize) -> Self {
        let mut apps = Vec::new();
        for _ in 0..count {
            let app = TcpStream::connect(address).await.expect("somebody listens");
            app.set_nodelay(true).expect("a socket");
            apps.push(app);
        }
        Self(apps)
    }

    /// Each asks so many times, one after the other, all at the same time.
    async fn ask(&mut self, rounds: usize) {
        let asking: JoinSet<_> = self.0.drain(..).map(|app| ask(app, rounds)).collect();
        self.0 = unless_it_hangs("the apps", asking.join_all()).await;
    }
}

async fn ask(mut app: TcpStream, rounds: usize) -> TcpStream {
    let request =
        "GET /accounts/1?a=b HTTP/1.1\r\nHost: localhost\r\nUser-Agent: app/1.0\r\nAccept: application/json\r\n\r\n";
    let mut buffer = vec![0; 16 * 1024];
    for _ in 0..rounds {
        app.write_all(request.as_bytes()).await.expect("it is taken");
        let mut filled = 0;
        while !buffer[..filled].ends_with(&CONTENT) {
            let count = app.read(&mut buffer[filled..]).await.expect("an answer");
            filled += count;
            assert_ne!(count, 0, "{:?}", String::from_utf8_lossy(&buffer[..filled]));
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&buffer[..filled]));
    }
    app
}
