//! Hostile requests of HTTP/2, frame by frame.

use super::Verdict::{Broken, Passes, Refused, Reset};

/// A name, the frames on one connection, and what must come of the stream 1.
pub(crate) struct Row(pub(crate) &'static str, pub(crate) &'static [Piece], pub(crate) super::Verdict);

/// Names and values, as HPACK literals.
type Lines = &'static [(&'static str, &'static str)];

/// A part of what is sent. All is on stream 1 but [`Piece::Raw`].
pub(crate) enum Piece {
    /// HEADERS, and CONTINUATION if it is long; whether the stream ends with it. `{{x*9}}` is nine times `x`.
    Head(Lines, bool),
    /// DATA; whether the stream ends with it.
    Data(&'static str, bool),
    /// Bytes as they are.
    Raw(&'static [u8]),
}

use Piece::{Data, Head, Raw};

const M: (&str, &str) = (":method", "GET");
const POST: (&str, &str) = (":method", "POST");
const S: (&str, &str) = (":scheme", "http");
const A: (&str, &str) = (":authority", "localhost");
const P: (&str, &str) = (":path", "/row");
const PASSES: super::Verdict = Passes("GET /row HTTP/1.1", "");

pub(crate) const ROWS: &[Row] = &[
    Row("a request", &[Head(&[M, S, A, P], true)], PASSES),
    // Fields of the connection (RFC 9113, section 8.2.2).
    Row("Connection", &[Head(&[M, S, A, P, ("connection", "close")], true)], Reset),
    Row(
        "Transfer-Encoding",
        &[
            Head(&[POST, S, A, P, ("transfer-encoding", "chunked")], false),
            Data("0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", true),
        ],
        Reset,
    ),
    Row("Keep-Alive", &[Head(&[M, S, A, P, ("keep-alive", "timeout=5")], true)], Reset),
    Row("Proxy-Connection", &[Head(&[M, S, A, P, ("proxy-connection", "keep-alive")], true)], Reset),
    Row("Upgrade", &[Head(&[M, S, A, P, ("upgrade", "websocket")], true)], Reset),
    Row("TE that asks for more than trailers", &[Head(&[M, S, A, P, ("te", "gzip")], true)], Reset),
    Row("TE: trailers", &[Head(&[M, S, A, P, ("te", "trailers")], true)], PASSES),
    // Pseudo-header fields (section 8.3).
    Row("no method", &[Head(&[S, A, P], true)], Reset),
    Row("no path", &[Head(&[M, S, A], true)], Reset),
    Row("no scheme", &[Head(&[M, A, P], true)], Reset),
    Row("no authority", &[Head(&[M, S, P], true)], Refused(400)),
    Row("Host for the authority", &[Head(&[M, S, P, ("host", "localhost")], true)], PASSES),
    Row("two methods", &[Head(&[M, POST, S, A, P], true)], Reset),
    Row("two paths", &[Head(&[M, S, A, P, (":path", "/smuggled")], true)], Reset),
    Row("two authorities", &[Head(&[M, S, A, (":authority", "evil.example"), P], true)], Reset),
    Row("a pseudo-header that is none", &[Head(&[M, S, A, P, (":row", "x")], true)], Reset),
    Row("a status", &[Head(&[M, S, A, P, (":status", "200")], true)], Reset),
    Row("a pseudo-header behind a field", &[Head(&[M, S, A, ("x", "y"), P], true)], Reset),
    Row("an empty path", &[Head(&[M, S, A, (":path", "")], true)], Reset),
    Row("a path without a slash", &[Head(&[M, S, A, (":path", "row")], true)], Broken),
    Row("an absolute path", &[Head(&[M, S, A, (":path", "http://evil.example/row")], true)], Broken),
    Row("a path with a space", &[Head(&[M, S, A, (":path", "/row HTTP/1.1")], true)], Broken),
    Row(
        "a path with line ends",
        &[Head(&[M, S, A, (":path", "/row HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled")], true)],
        Broken,
    ),
    Row("a path with NUL", &[Head(&[M, S, A, (":path", "/r\0w")], true)], Broken),
    Row("a path beyond ASCII", &[Head(&[M, S, A, (":path", "/r\u{f6}w")], true)], Broken),
    Row("an asterisk with GET", &[Head(&[M, S, A, (":path", "*")], true)], Broken),
    Row(
        "an asterisk with OPTIONS",
        &[Head(&[(":method", "OPTIONS"), S, A, (":path", "*")], true)],
        Passes("OPTIONS * HTTP/1.1", ""),
    ),
    Row("a method with a space", &[Head(&[(":method", "GET /smuggled HTTP/1.1\r\n"), S, A, P], true)], Reset),
    Row("an empty method", &[Head(&[(":method", ""), S, A, P], true)], Reset),
    Row("TRACE", &[Head(&[(":method", "TRACE"), S, A, P], true)], Refused(405)),
    Row("TRACE in small letters", &[Head(&[(":method", "trace"), S, A, P], true)], Refused(405)),
    Row("CONNECT", &[Head(&[(":method", "CONNECT"), A], false)], Refused(400)),
    Row("CONNECT with a path", &[Head(&[(":method", "CONNECT"), S, A, P], false)], Broken),
    Row("extended CONNECT", &[Head(&[(":method", "CONNECT"), (":protocol", "websocket"), S, A, P], false)], Broken),
    Row("a protocol with GET", &[Head(&[M, (":protocol", "websocket"), S, A, P], true)], Broken),
    // Authorities.
    Row("a foreign authority", &[Head(&[M, S, (":authority", "evil.example"), P], true)], Refused(421)),
    Row("an authority and another Host", &[Head(&[M, S, A, P, ("host", "evil.example")], true)], Refused(400)),
    Row(
        "a foreign authority and our Host",
        &[Head(&[M, S, (":authority", "evil.example"), P, ("host", "localhost")], true)],
        Refused(400),
    ),
    Row("two Hosts", &[Head(&[M, S, A, P, ("host", "localhost"), ("host", "localhost")], true)], Refused(400)),
    Row("an authority with user information", &[Head(&[M, S, (":authority", "evil@localhost"), P], true)], Broken),
    Row("an authority with a path", &[Head(&[M, S, (":authority", "localhost/smuggled"), P], true)], Broken),
    Row("an authority with a line end", &[Head(&[M, S, (":authority", "localhost\r\nX: y"), P], true)], Broken),
    Row("an empty authority", &[Head(&[M, S, (":authority", ""), P], true)], Broken),
    // Fields.
    Row("a name in capitals", &[Head(&[M, S, A, P, ("X-Row", "y")], true)], Reset),
    Row("a name with a colon", &[Head(&[M, S, A, P, ("x:y", "z")], true)], Reset),
    Row("a name with a line end", &[Head(&[M, S, A, P, ("x\r\ntransfer-encoding", "chunked")], true)], Reset),
    Row("a name with a space", &[Head(&[M, S, A, P, ("content-length ", "5")], true)], Reset),
    Row("an empty name", &[Head(&[M, S, A, P, ("", "y")], true)], Reset),
    Row("a value with a line end", &[Head(&[M, S, A, P, ("x", "y\r\nTransfer-Encoding: chunked")], true)], Reset),
    Row("a value with a bare LF", &[Head(&[M, S, A, P, ("x", "y\nz: a")], true)], Reset),
    Row("a value with a bare CR", &[Head(&[M, S, A, P, ("x", "y\rz: a")], true)], Reset),
    Row("a value with NUL", &[Head(&[M, S, A, P, ("x", "y\0z")], true)], Reset),
    Row("a key of ours with a line end", &[Head(&[M, S, A, P, ("bankside-key", "y\r\nx: z")], true)], Reset),
    Row(
        "two grants",
        &[Head(&[M, S, A, P, ("bankside-grant", "default"), ("bankside-grant", "other")], true)],
        Refused(400),
    ),
    Row(
        "fields of ours do not leave",
        &[Head(&[M, S, A, P, ("bankside-key", "k"), ("authorization", "Bearer smuggled")], true)],
        PASSES,
    ),
    Row("an Origin", &[Head(&[M, S, A, P, ("origin", "http://evil.example")], true)], Refused(403)),
    Row("cross-site", &[Head(&[M, S, A, P, ("sec-fetch-site", "cross-site")], true)], Refused(403)),
    Row("too many fields", &[Head(&[M, S, A, P, ("x", "{{y*10}}"), ("{{many*200}}", "y")], true)], Refused(431)),
    Row("a value that is too large", &[Head(&[M, S, A, P, ("x", "{{y*90000}}")], true)], Refused(431)),
    Row("a value that is far too large", &[Head(&[M, S, A, P, ("x", "{{y*250000}}")], true)], Refused(431)),
    Row("a value beyond all measure", &[Head(&[M, S, A, P, ("x", "{{y*900000}}")], true)], Broken),
    // No longer path fits into the library's address.
    Row("a path that is too long", &[Head(&[M, S, A, (":path", "/{{y*70000}}")], true)], Broken),
    Row(
        "a path and a value that are too large together",
        &[Head(&[M, S, A, (":path", "/{{y*60000}}"), ("x", "{{y*20000}}")], true)],
        Refused(431),
    ),
    // Content.
    Row(
        "a length",
        &[Head(&[POST, S, A, P, ("content-length", "5")], false), Data("hello", true)],
        Passes("POST /row HTTP/1.1", "hello"),
    ),
    Row("no length", &[Head(&[POST, S, A, P], false), Data("hello", true)], Passes("POST /row HTTP/1.1", "hello")),
    Row(
        "a request as content",
        &[Head(&[POST, S, A, P], false), Data("0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n", true)],
        Passes("POST /row HTTP/1.1", "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ),
    Row(
        "more than the length",
        &[Head(&[POST, S, A, P, ("content-length", "5")], false), Data("helloGET /smuggled HTTP/1.1\r\n\r\n", true)],
        Broken,
    ),
    Row(
        "less than the length",
        &[Head(&[POST, S, A, P, ("content-length", "50")], false), Data("hello", true)],
        Broken,
    ),
    Row("a length and nothing", &[Head(&[POST, S, A, P, ("content-length", "5")], true)], Broken),
    Row(
        "two lengths",
        &[Head(&[POST, S, A, P, ("content-length", "5"), ("content-length", "6")], false), Data("hello!", true)],
        Broken,
    ),
    Row("a list of lengths", &[Head(&[POST, S, A, P, ("content-length", "5, 5")], false), Data("hello", true)], Broken),
    Row("a length with plus", &[Head(&[POST, S, A, P, ("content-length", "+5")], false), Data("hello", true)], Broken),
    Row("an empty length", &[Head(&[POST, S, A, P, ("content-length", "")], false), Data("hello", true)], Broken),
    Row(
        "a length beyond 64 bits",
        &[Head(&[POST, S, A, P, ("content-length", "18446744073709551621")], false), Data("hello", true)],
        Broken,
    ),
    Row(
        "trailers of ours and trailers that frame",
        &[
            Head(&[POST, S, A, P], false),
            Data("hello", false),
            Head(
                &[("bankside-key", "k"), ("content-length", "9"), ("authorization", "smuggled"), ("x-sum", "1")],
                true,
            ),
        ],
        Passes("POST /row HTTP/1.1", "hello"),
    ),
    Row(
        "a pseudo-header among trailers",
        &[Head(&[POST, S, A, P], false), Data("hello", false), Head(&[(":path", "/smuggled")], true)],
        Passes("POST /row HTTP/1.1", "hello"),
    ),
    Row(
        "trailers that do not end the stream",
        &[Head(&[POST, S, A, P], false), Data("hello", false), Head(&[("x", "y")], false), Data("more", true)],
        Broken,
    ),
    Row("cookies in crumbs", &[Head(&[M, S, A, P, ("cookie", "a=b"), ("cookie", "c=d")], true)], PASSES),
    // Frames.
    Row("DATA before HEADERS", &[Data("hello", true)], Reset),
    Row("HTTP/1.1 behind the preface", &[Raw(b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")], Reset),
    Row("CONTINUATION without HEADERS", &[Raw(b"\0\0\x01\x09\x04\0\0\0\x01\x82")], Reset),
    Row("HEADERS on stream 0", &[Raw(b"\0\0\x01\x01\x05\0\0\0\0\x82")], Reset),
    Row("HEADERS on an even stream", &[Raw(b"\0\0\x01\x01\x05\0\0\0\x02\x82")], Reset),
    Row("HPACK that points nowhere", &[Raw(b"\0\0\x02\x01\x05\0\0\0\x01\xff\x7f")], Reset),
    Row("a frame that is too large", &[Raw(b"\xff\xff\xff\x01\x05\0\0\0\x01")], Reset),
    Row("PUSH_PROMISE from an app", &[Raw(b"\0\0\x05\x05\x04\0\0\0\x01\0\0\0\x02\x82")], Reset),
    Row("a window that overflows", &[Raw(b"\0\0\x04\x08\0\0\0\0\0\x7f\xff\xff\xff")], Reset),
    Row("an empty window update", &[Raw(b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0")], Reset),
    Row("HEADERS that depend on themselves", &[Raw(b"\0\0\x06\x01\x25\0\0\0\x01\0\0\0\x01\x10\x82")], Reset),
];

/// The bytes of a row, the preface and our SETTINGS first.
pub(crate) fn bytes(pieces: &[Piece]) -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for piece in pieces {
        match piece {
            Head(lines, ends) => head(&mut out, lines, *ends),
            Data(text, ends) => frame(&mut out, 0, u8::from(*ends), &super::bytes(text)),
            Raw(bytes) => out.extend_from_slice(bytes),
        }
    }
    out
}

fn head(out: &mut Vec<u8>, lines: Lines, ends: bool) {
    let mut block = Vec::new();
    for (name, value) in lines {
        if let Some(count) = name.strip_prefix("{{many*") {
            for index in 0..count.trim_end_matches("}}").parse::<usize>().expect("a count") {
                line(&mut block, format!("x-{index}").as_bytes(), value.as_bytes());
            }
            continue;
        }
        line(&mut block, &super::bytes(name), &super::bytes(value));
    }
    let mut parts = block.chunks(16_384).peekable();
    let (mut kind, mut flags) = (1, u8::from(ends));
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        frame(out, kind, flags | if is_last { 4 } else { 0 }, part);
        (kind, flags) = (9, 0);
    }
}

/// A literal that is never indexed (RFC 7541, section 6.2.3).
fn line(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0x10);
    for text in [name, value] {
        length(block, text.len());
        block.extend_from_slice(text);
    }
}

/// An integer with a prefix of 7 bits (RFC 7541, section 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return block.push(u8::try_from(length).expect("small"));
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).expect("small") | 0x80);
        rest /= 128;
    }
    block.push(u8::try_from(rest).expect("small"));
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a frame's length").to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
    out.extend_from_slice(payload);
}

/// What came of stream 1.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The content of the answer.
    pub(crate) body: Vec<u8>,
    /// Whether an answer began.
    pub(crate) answered: bool,
    /// Whether it ended well.
    pub(crate) complete: bool,
}

/// Reads frames until the stream or the connection is over.
pub(crate) fn outcome(mut read: impl std::io::Read) -> Outcome {
    let mut outcome = Outcome::default();
    let mut head = [0; 9];
    while read.read_exact(&mut head).is_ok() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        if read.read_exact(&mut payload).is_err() {
            break;
        }
        let is_ours = head[5..] == [0, 0, 0, 1];
        match head[3] {
            0 if is_ours => outcome.body.extend_from_slice(&payload),
            1 if is_ours => outcome.answered = true,
            3 if is_ours => break,
            7 if payload[4..8] != [0; 4] => break,
            _ => {}
        }
        if is_ours && head[3] <= 1 && head[4] & 1 == 1 {
            outcome.complete = true;
            break;
        }
    }
    outcome
}
