//! What the pieces of the data path take that need no connection: `cargo bench`, or `cargo bench -- route` for one of them.

#![allow(clippy::expect_used, clippy::panic, missing_docs, reason = "a benchmark fails by panicking")]

use std::fmt::Write;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bankside::config::{Bank, Config, HttpsUrl};
use bankside::inbound::{Caller, access};
use bankside::message::http1::{
    HeadLimits, HeadScan, RequestHead, parse_request_head, parse_response_head, write_response_head,
};
use bankside::message::http2::hpack::{self, Sensitivity, index};
use bankside::message::{Body, Fields, Request, Response};
use bankside::oauth::{BankCall, CallAnswer, CallError, Departs, Parts, Tokens};
use bankside::proxy::Routes;
use bankside::proxy::door::{self, Rewriter};
use bankside::store::{BoxFuture, Sqlite};
use bankside::words::{Clock, GrantName, Random};
use bytes::BytesMut;
use divan::{Bencher, black_box};
use http::Method;
use tokio_util::task::TaskTracker;

fn main() {
    // Enough at a time that an interruption does not count.
    divan::Divan::default().sample_size(100).config_with_args().main();
}

/// A request as an app's library writes it.
const REQUEST: &[u8] = b"GET /v1/accounts/CZ6508000000192000145399/transactions?dateFrom=2026-10-01 HTTP/1.1\r\n\
    Host: localhost:8080\r\nUser-Agent: python-requests/2.32\r\nAccept-Encoding: gzip, deflate\r\n\
    Accept: application/json\r\nConnection: keep-alive\r\nX-Request-ID: 99391c7e-ad88-49ec-a2ad-99ddcb1f7721\r\n\
    PSU-IP-Address: 192.0.2.7\r\nConsent-ID: 1234-wertiq-983\r\n\r\n";

/// An answer as a bank's gateway writes it.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\n\
    Content-Length: 1024\r\nConnection: keep-alive\r\nX-Request-ID: 99391c7e-ad88-49ec-a2ad-99ddcb1f7721\r\n\
    Cache-Control: no-store\r\nStrict-Transport-Security: max-age=31536000\r\n\r\n";

/// RFC 7541, C.6.1: a field section with Huffman's code, whose lines go into the table.
const CODED: &[u8] = b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b\x61\x96\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\
    \x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff\x6e\x91\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3";

static BANK: LazyLock<Arc<Bank>> = LazyLock::new(|| bank(1));

fn bank(routes: usize) -> Arc<Bank> {
    Arc::clone(&config(routes, "/nowhere".as_ref()).banks[0])
}

/// A bank with so many routes, of which the last one lets [`REQUEST`] pass; the store is in this folder.
fn config(routes: usize, folder: &Path) -> Config {
    let mut text = String::from(
        "[admin]\nlisten = \"off\"\n[store]\nurl = \"sqlite:x.db\"\nkey = { file = \"x.key\" }\n[banks.examplebank]\n\
         listen = \"127.0.0.1:8080\"\nbase_url = \"https://bank.example/psd2\"\ngrant_type = \"fixed\"\n\
         token = { value = \"a-token-that-is-given-and-never-ends\" }\n[banks.examplebank.tls]\n\
         client_certificate = false\n[banks.examplebank.headers]\nset = { X-API-Key = \"0123456789abcdef\" }\n",
    );
    for number in 1..routes {
        let _ = write!(text, "[[banks.examplebank.routes]]\npath = \"/v1/accounts/*/item-{number}/**\"\n");
    }
    text.push_str("[[banks.examplebank.routes]]\npath = \"/v1/accounts/*/transactions\"\nmethods = [\"GET\"]\n");
    Config::parse(&text, "x.toml".as_ref(), folder, &|_: &str| None).expect("valid")
}

fn parsed(mut buffer: BytesMut) -> RequestHead {
    let head = parse_request_head(&mut buffer, &mut HeadScan::default(), &HeadLimits::default());
    head.expect("a head").expect("a whole one")
}

fn request() -> Request {
    door::request(parsed(REQUEST.into()))
}

fn caller() -> Caller {
    Caller::Tcp { remote: ([127, 0, 0, 1], 50_000).into(), local: ([127, 0, 0, 1], 8080).into() }
}

#[divan::bench]
fn request_head_parse(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| BytesMut::from(REQUEST)).bench_values(|buffer| drop(black_box(parsed(buffer))));
}

#[divan::bench]
fn request_head_rewrite_and_write(bencher: Bencher<'_, '_>) {
    let rewriter = Rewriter::new(&BANK);
    bencher.with_inputs(request).bench_values(|request| drop(black_box(rewriter.head(request))));
}

#[divan::bench]
fn request_head_parse_rewrite_and_write(bencher: Bencher<'_, '_>) {
    let rewriter = Rewriter::new(&BANK);
    let all = |buffer| drop(black_box(rewriter.head(door::request(parsed(buffer)))));
    bencher.with_inputs(|| BytesMut::from(REQUEST)).bench_values(all);
}

#[divan::bench]
fn answer_head_parse_rewrite_and_write(bencher: Bencher<'_, '_>) {
    let all = |mut buffer| {
        let head = parse_response_head(&mut buffer, &mut HeadScan::default(), &HeadLimits::default());
        let head = head.expect("a head").expect("a whole one");
        let mut answer = Response::new(head.status, Body::absent());
        (answer.reason, answer.fields) = (head.reason, head.fields);
        door::rewrite_answer(&mut answer, &BANK.base_url, b"localhost:8080");
        let mut out = Vec::with_capacity(512);
        write_response_head(&mut out, answer.status, &answer.reason, &answer.fields);
        drop(black_box(out));
    };
    bencher.with_inputs(|| BytesMut::from(ANSWER)).bench_values(all);
}

#[divan::bench]
fn hpack_write(bencher: Bencher<'_, '_>) {
    let request = request();
    bencher.bench_local(|| drop(black_box(hpack_of(black_box(&request.target), black_box(&request.fields)))));
}

#[divan::bench]
fn hpack_read_of_literals(bencher: Bencher<'_, '_>) {
    let request = request();
    read_hpack(bencher, &hpack_of(&request.target, &request.fields));
}

#[divan::bench]
fn hpack_read_of_huffman_code(bencher: Bencher<'_, '_>) {
    read_hpack(bencher, CODED);
}

fn hpack_of(target: &[u8], fields: &Fields) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    hpack::write_indexed(&mut out, index::METHOD_GET);
    hpack::write_indexed(&mut out, index::SCHEME_HTTPS);
    hpack::write_named(&mut out, index::PATH, target, Sensitivity::Usual);
    hpack::write_named(&mut out, index::AUTHORITY, b"bank.example", Sensitivity::Usual);
    hpack::write_named(&mut out, index::AUTHORIZATION, b"Bearer a-token-that-is-given", Sensitivity::NeverIndexed);
    for (name, value) in fields.iter() {
        hpack::write_field(&mut out, name, value, Sensitivity::Usual);
    }
    out
}

fn read_hpack(bencher: Bencher<'_, '_>, block: &[u8]) {
    let mut decoder = hpack::Decoder::default();
    bencher.bench_local(|| {
        let mut fields = Fields::with_capacity(16, 512);
        decoder.decode(black_box(block), |name, value| fields.push(name, value)).expect("a field section");
        drop(black_box(fields));
    });
}

/// The route that matches is the last one: all others are looked at.
#[divan::bench(args = [1, 10, 500])]
fn route_match(bencher: Bencher<'_, '_>, routes: usize) {
    let (routes, target) = (Routes::new(bank(routes)), request().target);
    assert!(door::passes(&routes, &Method::GET, &target) && !door::passes(&routes, &Method::GET, b"/v1/payments"));
    bencher.bench(|| door::passes(black_box(&routes), &Method::GET, black_box(&target)));
}

#[divan::bench]
fn access_check(bencher: Bencher<'_, '_>) {
    let (request, caller) = (request(), caller());
    bencher.bench_local(|| access::check(&BANK.access, black_box(&request), &caller).expect("it may come in"));
}

/// A bank that is never asked.
struct NoBank;

impl BankCall for NoBank {
    fn call<'a>(
        &'a self,
        _url: &'a HttpsUrl,
        _request: Request,
        _limit: Duration,
        _departs: Departs<'a>,
    ) -> BoxFuture<'a, Result<CallAnswer, CallError>> {
        unreachable!("the token is there")
    }
}

/// Of a token that is there, as a worker asks for each request; by 1 and by 4 workers at the same time.
#[divan::bench(threads = [1, 4])]
fn token_snapshot(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(1, folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let parts = Parts {
        store: Sqlite::open(&config.store, Clock::system(), &Random::system()).expect("a store"),
        call: Arc::new(NoBank),
        clock: Clock::system(),
        random: Random::system(),
        control: runtime.handle().clone(),
        under_way: TaskTracker::new(),
        metrics: bankside::telemetry::BankMetrics::default(),
        certificate: None,
        identity: None,
    };
    let (tokens, grant) = (Tokens::new(Arc::clone(&BANK), parts), "default".parse::<GrantName>().expect("a name"));
    bencher.bench(|| {
        let Poll::Ready(token) = pin!(tokens.get(black_box(&grant))).poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("it is there");
        };
        token.expect("a token")
    });
}
