//! Connections that are hostile by what stands behind a request, speak HTTP/1.0, or no HTTP at all.
//! Written as `hostile.rs` says.

use super::Row;
use super::Verdict::{Passes, PassesThenRefused, Refused, Silent, Two};

pub(crate) const ROWS: &[Row] = &[
    // Behind a request.
    Row("garbage behind a request", "‹get›¶\u{1}\u{2}\u{3} garbage¶¶", PassesThenRefused("GET /row HTTP/1.1", "", 400)),
    Row("a body that nobody announced", "‹post›¶{\"a\":1}¶¶", PassesThenRefused("POST /row HTTP/1.1", "", 400)),
    Row(
        "one byte more than the length",
        "‹post›Content-Length: 5¶¶hello!¶¶",
        PassesThenRefused("POST /row HTTP/1.1", "hello", 400),
    ),
    Row(
        "a foreign request behind one",
        "‹get›¶GET /smuggled HTTP/1.1¶Host: evil.example¶¶",
        PassesThenRefused("GET /row HTTP/1.1", "", 421),
    ),
    Row(
        "a request of a web page behind one",
        "‹get›¶GET /smuggled HTTP/1.1¶Host: localhost¶Origin: null¶¶",
        PassesThenRefused("GET /row HTTP/1.1", "", 403),
    ),
    Row("a preface behind a request", "‹get›¶PRI * HTTP/2.0¶¶SM¶¶", PassesThenRefused("GET /row HTTP/1.1", "", 505)),
    Row("a request behind Connection: close", "‹get›Connection: close¶¶‹smuggled›", Passes("GET /row HTTP/1.1", "")),
    Row("a request behind close in a list", "‹get›Connection: x, CLOSE¶¶‹smuggled›", Passes("GET /row HTTP/1.1", "")),
    Row(
        "a request behind one of HTTP/1.0",
        "GET /row HTTP/1.0¶Host: localhost¶¶‹smuggled›",
        Passes("GET /row HTTP/1.1", ""),
    ),
    Row("half a head behind a request", "‹get›¶GET /smuggled HTTP/1.1¶Host: local", Passes("GET /row HTTP/1.1", "")),
    Row(
        "two requests at once are two",
        "‹get›¶GET /second HTTP/1.1¶Host: localhost¶¶",
        Two("GET /row HTTP/1.1", "GET /second HTTP/1.1"),
    ),
    Row(
        "a body and then a request are two",
        "‹post›Content-Length: 5¶¶helloGET /second HTTP/1.1¶Host: localhost¶¶",
        Two("POST /row HTTP/1.1", "GET /second HTTP/1.1"),
    ),
    Row(
        "chunks and then a request are two",
        "‹chunked›5¶hello¶0¶¶GET /second HTTP/1.1¶Host: localhost¶¶",
        Two("POST /row HTTP/1.1", "GET /second HTTP/1.1"),
    ),
    // HTTP/1.0.
    Row("HTTP/1.0 without Host", "GET /row HTTP/1.0¶¶", Passes("GET /row HTTP/1.1", "")),
    Row("HTTP/1.0 with a body", "POST /row HTTP/1.0¶Content-Length: 5¶¶hello", Passes("POST /row HTTP/1.1", "hello")),
    Row(
        "HTTP/1.0 with a body until the end has none",
        "POST /row HTTP/1.0¶¶‹smuggled›",
        Passes("POST /row HTTP/1.1", ""),
    ),
    Row(
        "HTTP/1.0 that expects",
        "POST /row HTTP/1.0¶Expect: 100-continue¶Content-Length: 5¶¶hello",
        Passes("POST /row HTTP/1.1", "hello"),
    ),
    Row(
        "HTTP/1.0 that is kept open",
        "GET /row HTTP/1.0¶Connection: keep-alive¶¶GET /second HTTP/1.0¶¶",
        Two("GET /row HTTP/1.1", "GET /second HTTP/1.1"),
    ),
    // Not HTTP.
    Row("nothing", "", Silent),
    Row("half a request line", "GET /ro", Silent),
    Row("half a head", "‹get›", Silent),
    Row("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}", Refused(400)),
    Row("SSH", "SSH-2.0-OpenSSH_9.9¶", Refused(400)),
    Row("SMTP", "EHLO localhost¶", Refused(400)),
    Row("the PROXY protocol", "PROXY TCP4 192.0.2.1 127.0.0.1 1 2¶‹get›¶", Refused(400)),
    Row("the PROXY protocol, version 2", "¶¶\0¶QUIT\n\u{21}\u{11}\0\u{c}", Refused(400)),
    Row("an answer", "HTTP/1.1 200 OK¶Content-Length: 0¶¶", Refused(400)),
    Row("half a preface", "PRI * HTTP/2.0¶¶S", Refused(505)),
    Row("a preface with another end", "PRI * HTTP/2.0¶¶XX¶¶", Refused(505)),
    Row("a preface in HTTP/1.1", "PRI * HTTP/1.1¶Host: localhost¶¶", Refused(400)),
];
