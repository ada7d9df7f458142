//! Spans for a collector: with the feature `otel`, against a small one in this process.

#![cfg(feature = "otel")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use support::http::{get, send};
use support::program::{Sidecar, command, finish};
use support::vault;
use support::wait::{time_passes, until_some};
use support::world::World;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Takes what is exported, and answers as a collector does.
struct Collector {
    address: SocketAddr,
    /// Heads and contents, as they came.
    exports: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, exports) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let kept = Arc::clone(&exports);
        thread::spawn(move || {
            for stream in listener.incoming() {
                kept.lock().unwrap().push(take(stream.unwrap()));
            }
        });
        Self { address, exports }
    }

    /// The program with this collector in its environment.
    fn command(&self) -> Command {
        let mut command = command(&[]);
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.address))
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=examplebank")
            .env("OTEL_BSP_SCHEDULE_DELAY", "50");
        command
    }

    /// The export that holds this, once it came.
    async fn export_with(&self, bytes: &[u8]) -> Vec<u8> {
        let of = |exports: &[Vec<u8>]| exports.iter().find(|export| has(export, bytes)).cloned();
        until_some("the span is exported", || of(&self.exports.lock().unwrap())).await
    }
}

/// One request, whole.
fn take(mut stream: TcpStream) -> Vec<u8> {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut part).unwrap();
        request.extend_from_slice(&part[..read]);
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        if request.len() == end + 4 + length.parse::<usize>().unwrap() {
            stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            return request;
        }
    }
}

fn has(place: &[u8], bytes: &[u8]) -> bool {
    memchr::memmem::find(place, bytes).is_some()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The parts of the `traceparent` of the last request that the bank saw.
fn seen_by_bank(world: &World) -> [String; 4] {
    let requests = world.sandbox.icard().control().requests();
    let lines = &requests.last().expect("a request").lines;
    let mut all = lines.iter().filter(|(name, _)| name.eq_ignore_ascii_case("traceparent"));
    let value = all.next().expect("it has one").1.clone();
    assert!(all.next().is_none(), "it has one only");
    value.split('-').map(str::to_owned).collect::<Vec<_>>().try_into().expect("four parts")
}

#[tokio::test]
async fn a_request_is_a_span_between_the_apps_and_the_banks() {
    let (world, collector) = (World::start().await, Collector::start());
    world.login("icard", "default").await;
    let sidecar = Sidecar::run_prepared(collector.command(), &world.config);
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let fields = [("traceparent", traceparent.as_str()), ("tracestate", "examplebank=1")];
    send(sidecar.address("icard"), "GET", "/v1/accounts?iban=DE89370400440532013000", &fields, "").await.with(200);
    let [version, trace, span, flags] = seen_by_bank(&world);
    assert_eq!((version.as_str(), trace.as_str(), flags.as_str()), ("00", TRACE, "01"));
    assert_ne!(span, PARENT);

    let export = collector.export_with(&hex(TRACE)).await;
    let head = String::from_utf8_lossy(&export).to_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.0\r\n") && head.contains("x-tenant: examplebank"), "{head}");
    for part in [&hex(&span)[..], &hex(PARENT), b"http.request.method", b"/v1/accounts", b"service.name", b"bankside"] {
        assert!(has(&export, part), "{} is not in it", part.escape_ascii());
    }
    assert!(!has(&export, b"DE89370400440532013000") && !has(&export, b"default"), "neither query nor grant");
    vault::search("the spans", &export);
}

#[tokio::test]
async fn a_span_names_the_route_also_where_no_request_is_logged() {
    let (world, collector) = (World::start().await, Collector::start());
    world.append("[log]\nlevel = \"warn\"\n[[banks.icard.routes]]\npath = \"/v1/accounts/**\"\n[[banks.icard.routes]]\npath = \"/v1/*\"\n");
    world.login("icard", "default").await;
    let sidecar = Sidecar::run_prepared(collector.command(), &world.config);
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    let [_, trace, _, _] = seen_by_bank(&world);
    let export = collector.export_with(&hex(&trace)).await;
    assert!(has(&export, b"http.route") && has(&export, b"GET /v1/*"));
}

#[tokio::test]
async fn a_request_without_a_trace_begins_one_and_a_problem_is_an_error() {
    let (world, collector) = (World::start().await, Collector::start());
    world.login("icard", "default").await;
    let sidecar = Sidecar::run_prepared(collector.command(), &world.config);
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    let [_, trace, span, _] = seen_by_bank(&world);
    let export = collector.export_with(&hex(&trace)).await;
    assert!(has(&export, &hex(&span)));
    let asked = [("Bankside-Grant", "nobody")];
    send(sidecar.address("icard"), "GET", "/v1/accounts", &asked, "").await.with(503);
    let export = collector.export_with(b"needs-authorization").await;
    assert!(has(&export, b"error.type") && !has(&export, b"nobody"));
}

#[tokio::test]
async fn of_a_method_and_a_path_a_span_has_so_much_as_the_log() {
    let (world, collector) = (World::start().await, Collector::start());
    world.login("icard", "default").await;
    let sidecar = Sidecar::run_prepared(collector.command(), &world.config);
    let (method, path) = ("M".repeat(300), format!("/{}", "p".repeat(300)));
    send(sidecar.address("icard"), &method, &path, &[], "").await;
    let export = collector.export_with(&[b'M'; 256]).await;
    assert!(has(&export, &path.as_bytes()[..256]));
    assert!(!has(&export, &method.as_bytes()[..257]) && !has(&export, &path.as_bytes()[..257]));
}

#[tokio::test]
async fn a_trace_that_the_app_does_not_sample_is_passed_on_and_not_exported() {
    let (world, collector) = (World::start().await, Collector::start());
    world.login("icard", "default").await;
    let sidecar = Sidecar::run_prepared(collector.command(), &world.config);
    let traceparent = format!("00-{TRACE}-{PARENT}-00");
    send(sidecar.address("icard"), "GET", "/v1/accounts", &[("traceparent", traceparent.as_str())], "").await.with(200);
    let [_, trace, _, flags] = seen_by_bank(&world);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    let [_, other, ..] = seen_by_bank(&world);
    collector.export_with(&hex(&other)).await;
    assert!(collector.exports.lock().unwrap().iter().all(|export| !has(export, &hex(TRACE))));
}

#[tokio::test]
async fn without_a_collector_and_before_one_that_is_gone_or_hangs_requests_go_on_as_ever() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let fields = [("traceparent", traceparent.as_str())];
    let sidecar = Sidecar::run_prepared(command(&[]), &world.config);
    send(sidecar.address("icard"), "GET", "/v1/accounts", &fields, "").await.with(200);
    assert_eq!(seen_by_bank(&world)[2], PARENT, "byte for byte");
    assert_eq!(sidecar.terminate(), Some(0));

    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in ["127.0.0.1:1".to_owned(), hangs.local_addr().unwrap().to_string()] {
        let mut program = command(&[]);
        program.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")).env("OTEL_BSP_SCHEDULE_DELAY", "10");
        let sidecar = Sidecar::run_prepared(program, &world.config);
        for _ in 0..20 {
            send(sidecar.address("icard"), "GET", "/v1/accounts", &fields, "").await.with(200);
            time_passes(Duration::from_millis(5)).await;
        }
        assert_eq!(sidecar.terminate(), Some(0), "{address}");
    }
}

#[tokio::test]
async fn a_collector_that_cannot_be_sent_to_is_told_at_the_start() {
    let world = World::start().await;
    for address in ["https://collector.example:4318", "localhost:4318"] {
        let mut program = command(&["run", "-c", world.config_arg()]);
        program.env("OTEL_EXPORTER_OTLP_ENDPOINT", address);
        let said = finish(program, "").with(1);
        assert!(said.err.contains("OTEL_EXPORTER_OTLP_ENDPOINT must be a plain http:// address"), "{}", said.err);
    }
}
