//! What a bank has seen: counters, and a record of requests down to the bytes of their heads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use serde::Serialize;

use super::fault::Endpoint;

/// How many requests are remembered; older ones are forgotten.
const REQUESTS: usize = 20_000;
/// How many bytes of a connection are remembered from its beginning.
const RAW: usize = 256 * 1024;
/// How many connections' bytes are remembered.
const CONNECTIONS: usize = 1_000;

/// How often what happened at a bank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// TCP connections that were accepted.
    pub connections: u64,
    /// Connections that are open.
    pub open_connections: u64,
    /// TLS handshakes that succeeded.
    pub handshakes: u64,
    /// Those of them that resumed a session.
    pub handshakes_resumed: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Connections on which HTTP/2 was agreed on.
    pub http2_connections: u64,
    /// Requests by endpoint.
    pub requests: BTreeMap<Endpoint, u64>,
    /// Calls that the token endpoint handled, by grant type.
    pub token_calls: BTreeMap<String, u64>,
    /// Access tokens that were issued.
    pub tokens_issued: u64,
    /// Refresh tokens that were presented after they had been rotated away.
    pub refresh_reuse: u64,
    /// API requests that were answered with 401.
    pub unauthorized: u64,
    /// Faults that struck.
    pub faults: u64,
    /// Serial numbers of the client certificates that were seen in requests.
    pub serials: BTreeSet<String>,
}

impl Counters {
    /// Calls of the token endpoint with this grant type.
    pub fn token_calls(&self, grant_type: &str) -> u64 {
        self.token_calls.get(grant_type).copied().unwrap_or(0)
    }

    /// Requests to an endpoint.
    pub fn requests(&self, endpoint: Endpoint) -> u64 {
        self.requests.get(&endpoint).copied().unwrap_or(0)
    }
}

/// A request as the bank saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedRequest {
    /// The connection's number at this bank.
    pub connection: u64,
    /// What the path is for.
    pub endpoint: Endpoint,
    /// The method.
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub version: String,
    /// Names and values in order; from HTTP/1.1 in their own case. A byte of a value is a `char` of the same number.
    pub lines: Vec<(String, String)>,
    /// The client certificate's serial number.
    pub serial: Option<String>,
    /// The body, as far as it was read.
    pub body: RecordedBody,
}

impl RecordedRequest {
    /// The value of the first line with this name, in any case.
    pub fn line(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|(line, _)| line.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What is remembered of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecordedBody {
    /// How many bytes came.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal digits, once the body has ended; empty before, and where it was cut.
    pub sha256: String,
}

/// A request in the making: its body may still be arriving.
pub(super) struct OpenRecord {
    head: RecordedRequest,
    body: Arc<Mutex<RecordedBody>>,
}

/// The requests and raw bytes that are remembered.
#[derive(Default)]
pub(super) struct Records {
    requests: VecDeque<OpenRecord>,
    raw: BTreeMap<u64, Arc<Mutex<RawRead>>>,
}

impl Records {
    pub(super) fn add(&mut self, head: RecordedRequest) -> Arc<Mutex<RecordedBody>> {
        if self.requests.len() == REQUESTS {
            self.requests.pop_front();
        }
        let body = Arc::default();
        self.requests.push_back(OpenRecord { head, body: Arc::clone(&body) });
        body
    }

    pub(super) fn add_connection(&mut self, number: u64, raw: Arc<Mutex<RawRead>>) {
        if self.raw.len() == CONNECTIONS {
            self.raw.pop_first();
        }
        self.raw.insert(number, raw);
    }

    pub(super) fn requests(&self) -> Vec<RecordedRequest> {
        self.requests
            .iter()
            .map(|record| RecordedRequest { body: lock(&record.body).clone(), ..record.head.clone() })
            .collect()
    }

    pub(super) fn raw(&self) -> Vec<(u64, Vec<u8>)> {
        self.raw.iter().map(|(number, raw)| (*number, lock(raw).beginning.clone())).collect()
    }

    pub(super) fn clear(&mut self) {
        self.requests.clear();
        self.raw.clear();
    }
}

/// Locks, also after a panic elsewhere: what is guarded here is whole between statements.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes that a connection has brought, inside TLS.
#[derive(Default)]
pub(super) struct RawRead {
    beginning: Vec<u8>,
    /// What came since the last head that was found, and a bounded part of it only.
    recent: Vec<u8>,
}

impl RawRead {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = RAW - self.beginning.len();
        self.beginning.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.recent.extend_from_slice(bytes);
        if self.recent.len() > 2 * RAW {
            self.recent.drain(..self.recent.len() - RAW);
        }
    }

    /// The field lines of the next head with this request line: name and value, in order and as they were sent.
    pub(super) fn take_head(&mut self, method: &str, target: &str) -> Option<Vec<(String, String)>> {
        let request_line = format!("{method} {target} HTTP/1.");
        let start = find(&self.recent, request_line.as_bytes())?;
        let end = start + find(&self.recent[start..], b"\r\n\r\n")?;
        let head = self.recent[start..end].to_vec();
        self.recent.drain(..end + 4);
        Some(head.split(|&byte| byte == b'\n').skip(1).map(split_line).collect())
    }
}

fn split_line(line: &[u8]) -> (String, String) {
    let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
    let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
    (text(&line[..colon]), text(value))
}

/// Each byte as the `char` of the same number: nothing is lost, and ASCII reads as it is.
pub(super) fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or_default());
        text.push(char::from_digit(u32::from(byte & 0xf), 16).unwrap_or_default());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_one_after_the_other_with_the_case_and_order_of_their_lines() {
        let mut raw = RawRead::default();
        raw.push(b"POST /a HTTP/1.1\r\nHost: b\r\nX-oDD:  1 \r\nx-odd:2\r\nContent-Length: 3\r\n\r\nabc");
        raw.push(b"GET /a HTTP/1.1\r\nHost: c\r\n\r\n");
        let first = raw.take_head("POST", "/a").expect("the first head");
        let expected = [("Host", "b"), ("X-oDD", "1"), ("x-odd", "2"), ("Content-Length", "3")];
        assert_eq!(first, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(raw.take_head("GET", "/a").expect("the second head")[0].1, "c");
        assert!(raw.take_head("GET", "/a").is_none());
    }
}
