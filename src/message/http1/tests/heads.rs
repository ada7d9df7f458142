//! Hostile heads, and the proof that it does not matter how the bytes are cut into pieces.

use bytes::BytesMut;
use http::{Method, StatusCode, Version};
use proptest::prelude::*;

use super::*;

/// The status that a request with this head is refused with, or 200: by its head or by its framing.
fn verdict(bytes: &[u8]) -> u16 {
    match request(bytes) {
        Ok(Some(head)) => request_framing(&head).map_or_else(|error| error.status().as_u16(), |_| 200),
        Ok(None) => 0,
        Err(error) => error.status().as_u16(),
    }
}

#[test]
fn a_request_head_is_kept_as_it_came() {
    let head = b"POST /a//b/%2F;x?q=\"{ HTTP/1.1\r\nhOsT: localhost:1\r\nX-b:1\r\nX-A:\t caf\xe9 \r\nx-B: 2\r\nempty:\r\n\r\nbody";
    let mut buf = BytesMut::from(&head[..]);
    let head = parse_request_head(&mut buf, &mut HeadScan::default(), &HeadLimits::default()).unwrap().unwrap();
    assert_eq!((head.method, head.version), (Method::POST, Version::HTTP_11));
    assert_eq!(&head.target[..], b"/a//b/%2F;x?q=\"{");
    let expected: [(&[u8], &[u8]); 5] =
        [(b"hOsT", b"localhost:1"), (b"X-b", b"1"), (b"X-A", b"caf\xe9"), (b"x-B", b"2"), (b"empty", b"")];
    assert_eq!(lines(&head.fields), expected.map(|(name, value)| (name.to_vec(), value.to_vec())));
    assert_eq!(&buf[..], b"body");
}

#[test]
fn a_response_head_keeps_its_reason() {
    let cases: [(&[u8], u16, &[u8]); 5] = [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200, b"OK"),
        (b"HTTP/1.1 200 Fein\r\nA: b\r\n\r\n", 200, b"Fein"),
        (b"HTTP/1.0 404 caf\xe9 zu\r\n\r\n", 404, b"caf\xe9 zu"),
        (b"HTTP/1.1 200 \r\n\r\n", 200, b""),
        (b"HTTP/1.1 599\r\n\r\n", 599, b""),
    ];
    for (bytes, status, reason) in cases {
        let head = response(bytes).unwrap().unwrap();
        assert_eq!((head.status.as_u16(), &head.reason[..]), (status, reason));
    }
}

#[test]
fn white_space_before_the_colon_is_taken_off_an_answers_names() {
    let head = response(b"HTTP/1.1 200 OK\r\nA : 1\r\nContent-Length \t: 2\r\nB: 3\r\n\r\n").unwrap().unwrap();
    let expected: [(&[u8], &[u8]); 3] = [(b"A", b"1"), (b"Content-Length", b"2"), (b"B", b"3")];
    assert_eq!(lines(&head.fields), expected.map(|(name, value)| (name.to_vec(), value.to_vec())));
    for malformed in ["A b: 1", " A: 1", ": 1", " : 1", "A ", "A: 1\r\n b : 2"] {
        response(format!("HTTP/1.1 200 OK\r\n{malformed}\r\n\r\n").as_bytes()).expect_err(malformed);
    }
}

#[test]
fn hostile_request_heads_are_refused() {
    let table: [(&str, u16); 58] = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\nB: c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA:\nB: c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA:\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\tc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\x0bc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA\0: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\x7f\r\n\r\n", 400),
        ("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /é HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/11\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ];
    for (bytes, status) in table {
        assert_eq!(verdict(bytes.as_bytes()), status, "{bytes:?}");
    }
}

#[test]
fn hostile_response_heads_are_refused() {
    let table: [&[u8]; 10] = [
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
    ];
    for bytes in table {
        assert!(matches!(response(bytes), Err(ParseError::Malformed(_))), "{:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(response(b"HTTP/2.0 200 OK\r\n\r\n").unwrap_err(), ParseError::Version);
}

#[test]
fn a_head_of_64_kib_with_100_fields_passes_and_far_larger_ones_do_not() {
    let head = |fields: usize, length: usize| {
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        for index in 1..fields {
            head.extend_from_slice(format!("X-{index}: {}\r\n", "v".repeat(length)).as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    };
    assert_eq!(verdict(&head(100, 640)), 200);
    assert_eq!(verdict(&head(129, 1)), 431);
    assert_eq!(verdict(&head(100, 1500)), 431);
    let endless = [&head(2, 100_000)[..], b"x"].concat();
    assert_eq!(verdict(&endless[..90_000]), 431);
    assert_eq!(verdict(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000)).as_bytes()), 414);
    assert_eq!(verdict(format!("GET /{}", "a".repeat(80_000)).as_bytes()), 414);
}

#[test]
fn a_bare_line_feed_is_refused_as_soon_as_it_is_seen() {
    let mut buf = BytesMut::from("GET / HTTP/1.1\nHo");
    let mut scan = HeadScan::default();
    assert!(matches!(parse_request_head(&mut buf, &mut scan, &HeadLimits::default()), Ok(None)));
    buf.extend_from_slice(b"st: a\n");
    assert!(parse_request_head(&mut buf, &mut scan, &HeadLimits::default()).is_err());
}

#[test]
fn statuses_of_refusals_are_those_of_http() {
    assert_eq!(ParseError::HeadTooLarge.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(ParseError::TargetTooLong.status(), StatusCode::URI_TOO_LONG);
}

proptest! {
    #[test]
    fn a_request_head_survives_writing_and_any_cutting(
        given in proptest::collection::vec(a_field(), 0..8),
        target in "/[!-\"$-~]{0,30}",
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut fields = Fields::new();
        fields.push("Host", "localhost");
        for (name, value) in &given {
            fields.push(name, value);
        }
        let mut bytes = Vec::new();
        write_request_head(&mut bytes, &Method::PUT, target.as_bytes(), &fields);
        bytes.extend_from_slice(b"rest");

        let (mut buf, mut scan, mut found) = (BytesMut::new(), HeadScan::default(), None);
        for piece in cut(&bytes, &cuts) {
            buf.extend_from_slice(piece);
            if found.is_none() {
                found = parse_request_head(&mut buf, &mut scan, &HeadLimits::default()).unwrap();
            }
        }
        let head = found.unwrap();
        prop_assert_eq!(&head.target[..], target.as_bytes());
        prop_assert_eq!(lines(&head.fields), lines(&fields));
        prop_assert_eq!(&buf[..], b"rest");
    }

    #[test]
    fn a_response_head_survives_writing_and_any_cutting(
        given in proptest::collection::vec(a_field(), 0..8),
        status in 100_u16..=999,
        reason in "[ -~]{0,20}",
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut fields = Fields::new();
        for (name, value) in &given {
            fields.push(name, value);
        }
        let mut bytes = Vec::new();
        write_response_head(&mut bytes, StatusCode::from_u16(status).unwrap(), reason.as_bytes(), &fields);

        let (mut buf, mut scan, mut found) = (BytesMut::new(), HeadScan::default(), None);
        for piece in cut(&bytes, &cuts) {
            buf.extend_from_slice(piece);
            if found.is_none() {
                found = parse_response_head(&mut buf, &mut scan, &HeadLimits::default()).unwrap();
            }
        }
        let head = found.unwrap();
        prop_assert_eq!((head.status.as_u16(), &head.reason[..]), (status, reason.as_bytes()));
        prop_assert_eq!(lines(&head.fields), lines(&fields));
    }

    #[test]
    fn no_head_panics_and_cutting_does_not_change_the_verdict(
        bytes in "(GET|POST|\r\n| |/|HTTP/1\\.[01]|:|Host|\r|\n|a|\\x00|5|;|0\r\n){0,24}",
        cuts in proptest::collection::vec(any::<usize>(), 0..9),
    ) {
        let whole = request(bytes.as_bytes()).map(|head| head.map(|head| lines(&head.fields)));
        let (mut buf, mut scan, mut pieced) = (BytesMut::new(), HeadScan::default(), Ok(None));
        for piece in cut(bytes.as_bytes(), &cuts) {
            buf.extend_from_slice(piece);
            if matches!(pieced, Ok(None)) {
                let head = parse_request_head(&mut buf, &mut scan, &HeadLimits::default());
                pieced = head.map(|head| head.map(|head| lines(&head.fields)));
            }
        }
        // What is refused late when whole may be refused early in pieces, but what passes is the same.
        prop_assert_eq!(whole.as_ref().ok().cloned().flatten(), pieced.as_ref().ok().cloned().flatten());
    }
}
