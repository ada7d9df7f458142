//! Hostile requests, sent as raw bytes to the real program before banks that record raw bytes: each row of the tables
//! has its verdict, and no bank ever sees a byte of a second request.
//!
//! In the rows of HTTP/1.x `¶` stands for CR LF, any other character for the byte of its number, and `{{x*9}}` for nine
//! times `x`. Beginnings and ends that many rows share have a name in `‹›`: see [`WORDS`]. Whatever an attacker would
//! smuggle asks for `/smuggled`, so that it is known where it turns up.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "numbers to look at are told, not asserted")]

#[path = "hostile/connections.rs"]
mod connections;
#[path = "hostile/framing.rs"]
mod framing;
#[path = "hostile/heads.rs"]
mod heads;
#[path = "hostile/http2.rs"]
mod http2;
#[path = "hostile/routes.rs"]
mod routes;
mod support;
#[path = "hostile/targets.rs"]
mod targets;

use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use std::io::{Read, Write};

use support::front::{TOKEN, before_obliging_bank};
use support::scripted::Bank;
use support::seen::Seen;

/// A name, what is sent, and what must come of it.
#[derive(Clone, Copy)]
pub(crate) struct Row(&'static str, &'static str, Verdict);

/// What must come of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// The sidecar answers with this status, and closes; nothing of it reaches the bank.
    Refused(u16),
    /// The bank gets this request line and content, once and nothing else, and the app its answer.
    Passes(&'static str, &'static str),
    /// The bank gets this, and what follows is refused with this status.
    PassesThenRefused(&'static str, &'static str, u16),
    /// The bank gets two requests, as the app has sent two.
    Two(&'static str, &'static str),
    /// The bank gets no more than the beginning of one request, if anything.
    Broken,
    /// No answer, and nothing reaches the bank.
    Silent,
    /// The stream or the connection is reset without an answer, and nothing reaches the bank.
    Reset,
}

/// What many rows have in common. A word may stand for what has words in it that come behind it.
const WORDS: [(&str, &str); 4] = [
    ("‹chunked›", "‹post›Transfer-Encoding: chunked¶¶"),
    ("‹get›", "GET /row HTTP/1.1¶Host: localhost¶"),
    ("‹post›", "POST /row HTTP/1.1¶Host: localhost¶"),
    ("‹smuggled›", "GET /smuggled HTTP/1.1¶Host: localhost¶¶"),
];

/// The bytes that a row stands for.
fn bytes(row: &str) -> Vec<u8> {
    let spelled_out = WORDS.iter().fold(row.to_owned(), |text, (word, meaning)| text.replace(word, meaning));
    let mut text = spelled_out.replace('¶', "\r\n");
    while let Some((before, rest)) = text.split_once("{{") {
        let (inner, after) = rest.split_once("}}").expect("the braces close");
        let (what, count) = inner.rsplit_once('*').expect("a count");
        text = format!("{before}{}{after}", what.repeat(count.parse().expect("a count")));
    }
    text.chars().map(|char| u8::try_from(u32::from(char)).expect("a byte")).collect()
}

/// Sends the bytes, says that nothing more comes, and reads all that comes back.
fn exchange(address: SocketAddr, sent: &[u8]) -> Vec<u8> {
    let mut app = std::net::TcpStream::connect(address).expect("somebody listens");
    app.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    // A sidecar that has heard enough need not take the rest.
    let _ = app.write_all(sent);
    let _ = app.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = app.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the connection stays open");
    }
    answer
}

/// The statuses of the answers in these bytes.
fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = support::seen::text(answer);
    let lines = text.split("HTTP/1.1 ").skip(1);
    lines.map(|rest| rest[..3].parse().expect("a status")).collect()
}

/// Nothing in a head is the app's that must not leave.
fn check_head(request: &Seen, bank: &Bank) {
    assert_eq!(request.field("host"), Some(&*bank.address.to_string()));
    let authorizations: Vec<_> =
        request.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization")).collect();
    assert_eq!(authorizations.len(), 1);
    assert_eq!(authorizations[0].1, format!("Bearer {TOKEN}"));
    for (name, value) in request.fields.iter().chain(&request.trailers) {
        let name = name.to_ascii_lowercase();
        // That trailers may come is the sidecar's own word.
        let asks_for_trailers = [("te", "trailers"), ("connection", "TE")].contains(&(&*name, value.as_str()));
        let is_hop = !asks_for_trailers
            && ["connection", "upgrade", "keep-alive", "te", "proxy-authorization", "http2-settings"].contains(&&*name);
        assert!(!is_hop && !name.starts_with("bankside-"), "{name} reached the bank");
        assert!(!value.contains("smuggled"), "{name}: {value} reached the bank");
    }
    for (name, _) in &request.trailers {
        let framing = ["content-length", "transfer-encoding", "authorization", "host"];
        assert!(!framing.contains(&&*name.to_ascii_lowercase()), "{name} reached the bank as a trailer");
    }
}

fn check(row: &Row, bank: &Bank, answer: &[u8]) {
    let (statuses, (seen, left)) = (statuses(answer), bank.record.requests());
    let lines: Vec<&str> =
        seen.iter().map(|request| request.line.as_str()).filter(|line| *line != "GET /after HTTP/1.1").collect();
    let told = || format!("{}: the app got {statuses:?}, the bank {lines:?} and {left} bytes more", row.0);
    assert!(lines.iter().all(|line| !line.contains(" /smuggled")), "{}", told());
    for request in &seen {
        check_head(request, bank);
    }
    match row.2 {
        Verdict::Refused(status) => {
            assert_eq!((&*statuses, lines.len(), left), (&[status][..], 0, 0), "{}", told());
            check_problem(row, answer, status);
        }
        Verdict::Passes(line, body) => {
            assert_eq!((&*statuses, &*lines, left), (&[200][..], &[line][..], 0), "{}", told());
            assert_eq!(seen[0].body, body.as_bytes(), "{}", told());
        }
        Verdict::PassesThenRefused(line, body, status) => {
            assert_eq!((&*statuses, &*lines, left), (&[200, status][..], &[line][..], 0), "{}", told());
            assert_eq!(seen[0].body, body.as_bytes(), "{}", told());
        }
        Verdict::Two(first, second) => {
            assert_eq!((&*statuses, &*lines, left), (&[200, 200][..], &[first, second][..], 0), "{}", told());
        }
        Verdict::Broken => {
            assert!(lines.is_empty() && statuses.iter().all(|status| [400, 414, 431].contains(status)), "{}", told());
        }
        Verdict::Silent | Verdict::Reset => {
            assert!(statuses.is_empty() && lines.is_empty() && left == 0, "{}", told());
        }
    }
}

/// The answer is a problem that names its kind, and after it the connection is not used again.
fn check_problem(row: &Row, answer: &[u8], status: u16) {
    let text = support::seen::text(answer);
    let kinds: &[&str] = match status {
        403 => &["caller-refused", "route-refused"],
        421 => &["wrong-host"],
        400 => &["bad-request", "unknown-grant"],
        _ => &["bad-request"],
    };
    assert!(kinds.iter().any(|kind| text.contains(&format!("\"urn:bankside:{kind}\""))), "{}: {text}", row.0);
    assert!(text.contains("Proxy-Status: bankside; error="), "{}: {text}", row.0);
    // Nobody knows what follows a request that HTTP forbids.
    assert!(!text.contains("urn:bankside:bad-request") || text.contains("Connection: close"), "{}: {text}", row.0);
}

/// What came of an HTTP/2 row, told in the words of HTTP/1.1's.
fn as_http1(outcome: &http2::Outcome) -> Vec<u8> {
    let body = String::from_utf8_lossy(&outcome.body);
    if !outcome.complete {
        return Vec::new();
    }
    let status = match serde_json::from_str::<serde_json::Value>(&body) {
        Ok(problem) => problem["status"].as_u64().expect("a status"),
        // The library answers 431 without content to what is far too large.
        Err(_) if body.is_empty() => 431,
        Err(_) => 200,
    };
    // Streams end by themselves, and a problem has its field lines, which nobody decodes here.
    format!("HTTP/1.1 {status} \r\nProxy-Status: bankside; error=\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

/// Runs rows one after the other, and fails with all that failed.
fn run<R>(rows: &[R], address: SocketAddr, bank: &Bank, run: impl Fn(&R) -> (Row, Vec<u8>)) {
    let mut failures = Vec::new();
    for row in rows {
        bank.record.clear();
        let (row, answer) = run(row);
        if let Verdict::Broken = row.2 {
            // What the bank got of it may lie in its socket yet. It has read that by the time that it answers another.
            exchange(address, b"GET /after HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        }
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&row, bank, &answer)));
        if let Err(panic) = checked {
            let told = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            failures.push(format!("{}: {told}", row.0));
        }
    }
    assert!(failures.is_empty(), "{} of {} rows:\n{}", failures.len(), rows.len(), failures.join("\n"));
    println!("{} rows", rows.len());
}

#[test]
fn every_row_of_the_table_has_its_verdict_and_no_second_request_reaches_the_bank() {
    let rows = [framing::ROWS, heads::ROWS, targets::ROWS, connections::ROWS].concat();
    assert!(rows.len() >= 288, "{} rows", rows.len());
    let (bank, front) = before_obliging_bank("");
    let address = front.address("examplebank");
    run(&rows, address, &bank, |row| (*row, exchange(address, &bytes(row.1))));
}

#[test]
fn routes_cannot_be_slipped() {
    let (bank, front) = before_obliging_bank(routes::RULES);
    let address = front.address("examplebank");
    run(routes::ROWS, address, &bank, |row| (*row, exchange(address, &bytes(row.1))));
}

#[test]
fn the_rows_of_http2_have_their_verdicts_too() {
    let (bank, front) = before_obliging_bank("");
    let address = front.address("examplebank");
    run(http2::ROWS, address, &bank, |row| {
        let mut app = std::net::TcpStream::connect(address).expect("somebody listens");
        app.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let _ = app.write_all(&http2::bytes(row.1));
        let outcome = http2::outcome(&mut app);
        assert!(outcome.complete || !outcome.answered, "{}: half an answer", row.0);
        (Row(row.0, "", row.2), as_http1(&outcome))
    });
}
