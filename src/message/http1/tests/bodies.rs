//! Hostile framings and chunks, and the proof that it does not matter how the bytes are cut into pieces.

use bytes::{Bytes, BytesMut};
use http::{Method, Version};
use proptest::prelude::*;

use super::*;
use crate::message::{BodyError, Fields, Frame, Size};

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

proptest! {
    #[test]
    fn a_chunked_body_survives_writing_and_any_cutting(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
        given in proptest::collection::vec(a_field(), 0..4),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut trailers = Fields::new();
        for (name, value) in &given {
            trailers.push(name, value);
        }
        let mut bytes = Vec::new();
        for chunk in &chunks {
            encode_chunk(&mut bytes, chunk);
        }
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
    fn a_body_that_is_passed_on_as_it_came_is_the_same_as_one_that_is_decoded(
        content in proptest::collection::vec(any::<u8>(), 0..60),
        cuts in proptest::collection::vec(any::<usize>(), 0..9),
        has_length in any::<bool>(),
    ) {
        let bytes = [&content[..], b"next"].concat();
        let framing = if has_length { Framing::Length(content.len() as u64) } else { Framing::UntilClose };
        let (expected, _, left_over) = decode(framing, &[&bytes]).unwrap();
        let (mut decoder, mut passed, mut left) = (Decoder::new(framing), Vec::new(), Vec::new());
        for piece in cut(&bytes, &cuts) {
            let mut piece = Bytes::copy_from_slice(piece);
            prop_assert!(decoder.is_plain() || decoder.is_at_end());
            passed.extend_from_slice(&decoder.pass(&mut piece));
            left.extend_from_slice(&piece);
        }
        decoder.close().unwrap();
        prop_assert_eq!((passed, left), (expected, left_over));
    }

    #[test]
    fn no_chunks_panic_and_cutting_does_not_change_the_verdict(
        bytes in "(\r\n| |:|\r|\n|a|5|;|\t|0\r\n|3\r\nabc\r\n|A: b\r\n){0,16}",
        cuts in proptest::collection::vec(any::<usize>(), 0..9),
    ) {
        let whole = decode(Framing::Chunked, &[bytes.as_bytes()]).map_err(|error| error.to_string());
        let pieced = decode(Framing::Chunked, &cut(bytes.as_bytes(), &cuts)).map_err(|error| error.to_string());
        prop_assert_eq!(whole.ok(), pieced.ok());
    }
}
