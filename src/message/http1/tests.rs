//! Tables of hostile heads and framings, and the proof that it does not matter how the bytes are cut into pieces.

use bytes::BytesMut;
use http::{Method, StatusCode, Version};
use proptest::prelude::*;

use super::*;
use crate::message::{BodyError, Fields, Frame, Size};

fn request(bytes: &[u8]) -> Result<Option<RequestHead>, ParseError> {
    parse_request_head(&mut BytesMut::from(bytes), &mut HeadScan::default(), &HeadLimits::default())
}

fn response(bytes: &[u8]) -> Result<Option<ResponseHead>, ParseError> {
    parse_response_head(&mut BytesMut::from(bytes), &mut HeadScan::default(), &HeadLimits::default())
}

fn lines(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

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
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
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
fn a_responses_framing_depends_on_the_request_and_the_status() {
    let table: [(Method, &str, Result<Framing, ()>); 14] = [
        (Method::GET, "200 OK\r\nContent-Length: 3", Ok(Framing::Length(3))),
        (Method::HEAD, "200 OK\r\nContent-Length: 3", Ok(Framing::None)),
        (Method::GET, "204 No Content\r\nContent-Length: 3", Ok(Framing::None)),
        (Method::GET, "304 Not Modified\r\nContent-Length: 3", Ok(Framing::None)),
        (Method::GET, "100 Continue", Ok(Framing::None)),
        (Method::GET, "200 OK\r\nTransfer-Encoding: Chunked", Ok(Framing::Chunked)),
        (Method::HEAD, "200 OK\r\nTransfer-Encoding: chunked", Ok(Framing::None)),
        (Method::GET, "200 OK", Ok(Framing::UntilClose)),
        (Method::GET, "404 Not Found", Ok(Framing::UntilClose)),
        (Method::GET, "200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked", Err(())),
        (Method::GET, "200 OK\r\nContent-Length: 3\r\nContent-Length: 3", Err(())),
        (Method::GET, "200 OK\r\nTransfer-Encoding: gzip, chunked", Err(())),
        (Method::GET, "200 OK\r\nContent-Length: three", Err(())),
        (Method::GET, "200 OK\r\nTransfer-Encoding: ", Err(())),
    ];
    for (method, head, expected) in table {
        let parsed = response(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).unwrap().unwrap();
        assert_eq!(response_framing(&method, &parsed).map_err(|_| ()), expected, "{head}");
    }
}

#[test]
fn a_connection_persists_as_version_and_fields_say() {
    let table = [
        (Version::HTTP_11, "", true),
        (Version::HTTP_11, "close", false),
        (Version::HTTP_11, "Keep-Alive, CLOSE", false),
        (Version::HTTP_10, "", false),
        (Version::HTTP_10, "Keep-Alive", true),
        (Version::HTTP_10, "close, keep-alive", false),
    ];
    for (version, value, expected) in table {
        let mut fields = Fields::new();
        fields.push("Connection", value);
        assert_eq!(persists(version, &fields), expected, "{version:?} {value}");
    }
}

#[test]
fn hostile_chunks_are_refused() {
    let table: [&str; 22] = [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\nhello\n",
        "5\r\nhelloX",
        "5\r\nhello0\r\n\r\n",
        "5\rhello\r\n",
        "5;a\rb\r\nhello\r\n",
        "5;a\nb\r\nhello\r\n",
        "5;a\0\r\nhello\r\n",
        "5 a\r\nhello\r\n",
        "00000000000000005\r\nhello\r\n",
        "fffffffffffffffff\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\r\nA: b\r\n c\r\n\r\n",
        "0\r\nA: b\nC: d\r\n\r\n",
        "0\r\nA: b\0\r\n\r\n",
        "0\r\n: b\r\n\r\n",
    ];
    for bytes in table {
        let error = decode(Framing::Chunked, &[bytes.as_bytes()]).unwrap_err();
        assert!(matches!(error, BodyError::Malformed(_)), "{bytes:?}: {error}");
    }
    let long_line = format!("5;{}\r\nhello\r\n", "x".repeat(300));
    let many_extensions = format!("1;{}\r\nx\r\n", "x".repeat(200)).repeat(100);
    let long_trailer = format!("0\r\nA: {}\r\n\r\n", "x".repeat(20_000));
    let many_trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(65));
    for bytes in [long_line, many_extensions, long_trailer, many_trailers] {
        let error = decode(Framing::Chunked, &[bytes.as_bytes()]).unwrap_err();
        assert!(matches!(error, BodyError::Malformed(_)), "{}: {error}", &bytes[..20]);
    }
}

#[test]
fn chunks_are_decoded_with_extensions_and_trailers() {
    let bytes = b"5;a=b;c=\"d e\"\r\nhello\r\n000A \t;x\r\n 0123456\r\n\r\n0;last\r\nDigest: x\r\nContent-Length: 9\r\nx-Y:z\r\n\r\nGET";
    let (content, trailers, left) = decode(Framing::Chunked, &[bytes]).unwrap();
    assert_eq!(content, b"hello 0123456\r\n");
    assert_eq!(trailers, [(b"Digest".to_vec(), b"x".to_vec()), (b"x-Y".to_vec(), b"z".to_vec())]);
    assert_eq!(left, b"GET");
}

#[test]
fn a_body_that_is_cut_off_is_incomplete() {
    for (framing, bytes) in [
        (Framing::Length(5), &b"hell"[..]),
        (Framing::Chunked, b"5\r\nhello\r\n"),
        (Framing::Chunked, b"5\r\nhel"),
        (Framing::Chunked, b"0\r\n"),
        (Framing::Chunked, b"0\r\nA: b\r\n"),
        (Framing::Chunked, b""),
    ] {
        let error = decode(framing, &[bytes]).unwrap_err();
        assert!(matches!(error, BodyError::Incomplete), "{bytes:?}: {error}");
    }
    assert_eq!(decode(Framing::UntilClose, &[b"all"]).unwrap().0, b"all");
}

#[test]
fn the_size_of_a_body_is_what_its_framing_says() {
    assert_eq!(Decoder::new(Framing::None).size(), Size::Exact(0));
    assert_eq!(Decoder::new(Framing::Length(7)).size(), Size::Exact(7));
    assert_eq!(Decoder::new(Framing::Chunked).size(), Size::Unknown);
    assert!(Decoder::new(Framing::Length(0)).is_at_end());
}

#[test]
fn an_empty_chunk_is_not_written() {
    let mut out = Vec::new();
    encode_chunk(&mut out, b"");
    assert_eq!(out, b"");
}

#[test]
fn statuses_of_refusals_are_those_of_http() {
    assert_eq!(ParseError::HeadTooLarge.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(ParseError::TargetTooLong.status(), StatusCode::URI_TOO_LONG);
}

type Parts = (Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, Vec<u8>);

/// Content, trailers and what is left over, of a body whose bytes come in these pieces before the connection closes.
fn decode(framing: Framing, pieces: &[&[u8]]) -> Result<Parts, BodyError> {
    let mut decoder = Decoder::new(framing);
    let (mut buf, mut content, mut trailers) = (BytesMut::new(), Vec::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buf)? {
                Decoded::Frame(Frame::Data(data)) => content.extend_from_slice(&data),
                Decoded::Frame(Frame::Trailers(fields)) => trailers = lines(&fields),
                Decoded::NeedMore | Decoded::End => break,
            }
        }
    }
    decoder.close()?;
    assert!(decoder.is_at_end());
    Ok((content, trailers, buf.to_vec()))
}

/// `bytes` cut at these places (taken modulo its length).
fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, &end)| &bytes[start..end]).collect()
}

fn a_field() -> impl Strategy<Value = (String, Vec<u8>)> {
    let value = proptest::collection::vec(prop_oneof![0x21_u8..=0x7e, 0x80_u8..=0xff], 0..20);
    ("[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", value).prop_filter("has meaning", |(name, _)| {
        !["host", "content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str())
            && !is_forbidden_trailer(name.as_bytes())
    })
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
        given.iter().for_each(|(name, value)| fields.push(name, value));
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
        given.iter().for_each(|(name, value)| fields.push(name, value));
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
    fn a_chunked_body_survives_writing_and_any_cutting(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
        given in proptest::collection::vec(a_field(), 0..4),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut trailers = Fields::new();
        given.iter().for_each(|(name, value)| trailers.push(name, value));
        let mut bytes = Vec::new();
        chunks.iter().for_each(|chunk| encode_chunk(&mut bytes, chunk));
        encode_end(&mut bytes, (!trailers.is_empty()).then_some(&trailers));
        bytes.extend_from_slice(b"0\r\n\r\n");

        let (content, found, left) = decode(Framing::Chunked, &cut(&bytes, &cuts)).unwrap();
        prop_assert_eq!(content, chunks.concat());
        prop_assert_eq!(found, lines(&trailers));
        prop_assert_eq!(left, b"0\r\n\r\n");
    }

    #[test]
    fn a_body_with_a_length_survives_any_cutting(
        content in proptest::collection::vec(any::<u8>(), 0..60),
        cuts in proptest::collection::vec(any::<usize>(), 0..9),
    ) {
        let bytes = [&content[..], b"next"].concat();
        let (found, _, left) = decode(Framing::Length(content.len() as u64), &cut(&bytes, &cuts)).unwrap();
        prop_assert_eq!((found, left), (content, b"next".to_vec()));
    }

    #[test]
    fn no_bytes_panic_and_cutting_does_not_change_the_verdict(
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
        let chunked = decode(Framing::Chunked, &[bytes.as_bytes()]).map_err(drop);
        prop_assert_eq!(chunked, decode(Framing::Chunked, &cut(bytes.as_bytes(), &cuts)).map_err(drop));
    }
}
