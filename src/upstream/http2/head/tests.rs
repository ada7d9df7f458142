//! Heads as field sections: what is sent, what is refused, and what is taken.

use super::*;
use crate::message::Body;
use crate::message::http2::hpack::Decoder;

fn request(target: &'static str, lines: &[(&str, &str)], body: Body) -> Request {
    let mut request = Request::new(Method::PUT, target, body);
    for (name, value) in lines {
        request.fields.push(name, value);
    }
    request
}

/// What the bank reads.
fn sent(request: &Request) -> Vec<(String, String)> {
    let mut out = Vec::new();
    write_request(&mut out, request).unwrap();
    let (mut lines, text) = (Vec::new(), |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned());
    Decoder::default().decode(&out, |name, value| lines.push((text(name), text(value)))).unwrap();
    lines
}

fn lines(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn host_becomes_the_authority_and_the_target_the_path_byte_for_byte() {
    let target = "/a%2Fb//c;x=1/../?q={'a':1}|&b=%zz`^";
    let pseudo = [(":method", "PUT"), (":scheme", "https"), (":authority", "bank.example:8443"), (":path", target)];
    assert_eq!(sent(&request(target, &[("Host", "bank.example:8443")], Body::absent())), lines(&pseudo));
    let mut get = request("/", &[("Host", "[::1]:8443")], Body::absent());
    get.method = Method::GET;
    assert_eq!(sent(&get)[0], (":method".to_owned(), "GET".to_owned()));
}

#[test]
fn the_asterisk_is_a_path_too() {
    assert_eq!(sent(&request("*", &[("Host", "bank.example")], Body::absent()))[3].1, "*");
}

#[test]
fn what_http_2_has_no_room_for_is_refused() {
    let host = ("Host", "bank.example");
    for request in [
        request("/a b", &[host], Body::absent()),
        request("/<a>", &[host], Body::absent()),
        request("/a#b", &[host], Body::absent()),
        request("a", &[host], Body::absent()),
        request("/", &[], Body::absent()),
        request("/", &[("Host", "bank example")], Body::absent()),
        request("/", &[("Host", "bank.example/a")], Body::absent()),
        request("/", &[("Host", "")], Body::absent()),
        request("/", &[host, ("a b", "c")], Body::absent()),
        request("/", &[host, (":path", "/b")], Body::absent()),
        request("/", &[host, ("", "c")], Body::absent()),
        request("/", &[host, ("a", "b\u{1}c")], Body::absent()),
        request("/", &[host, ("a", "b\r\nc: d")], Body::absent()),
    ] {
        assert!(matches!(write_request(&mut Vec::new(), &request), Err(Failure::Unsendable(_))), "{request:?}");
    }
}

#[test]
fn fields_of_http_1_1_stay_behind_and_te_only_asks_for_trailers() {
    let given = [
        ("Host", "bank.example"),
        ("Connection", "close"),
        ("Keep-Alive", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("Proxy-Connection", "close"),
        ("TE", "gzip"),
        ("TE", "trailers"),
        ("X-A", "1"),
        ("x-a", "2"),
    ];
    let sent = sent(&request("/", &given, Body::absent()));
    assert_eq!(sent[4..], lines(&[("te", "trailers"), ("x-a", "1"), ("x-a", "2")]));
}

#[test]
fn the_length_is_told_once_and_the_token_is_never_indexed() {
    let given = [("Host", "bank.example"), ("content-length", "3"), ("authorization", "Bearer abc")];
    let request = request("/", &given, Body::full("abc"));
    assert_eq!(sent(&request)[4..], lines(&[("authorization", "Bearer abc"), ("content-length", "3")]));
    let mut out = Vec::new();
    write_request(&mut out, &request).unwrap();
    assert!(out.windows(12).any(|part| part == b"\x1f\x08\x0aBearer ab"), "{out:?}");
}

fn read(lines: &[(&str, &str)]) -> Reader {
    let mut reader = Reader::new(64);
    for (name, value) in lines {
        reader.take(name.as_bytes(), value.as_bytes());
    }
    reader
}

#[test]
fn an_answer_has_one_status_first_and_fields_that_http_1_1_can_carry() {
    let head = read(&[(":status", "201"), ("x-a", "1"), ("x-a", " 2 ")]).into_head().unwrap();
    assert_eq!(head.status, StatusCode::CREATED);
    assert_eq!(head.fields.get_all("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
    for wrong in [
        &[("x-a", "1")][..],
        &[("x-a", "1"), (":status", "200")],
        &[(":status", "200"), (":status", "200")],
        &[(":status", "20")],
        &[(":status", "200"), (":path", "/")],
        &[(":status", "200"), ("X-A", "1")],
        &[(":status", "200"), ("x a", "1")],
        &[(":status", "200"), ("x-a", "1\r\nx-b: 2")],
        &[(":status", "200"), ("x-a", "1\0")],
        &[(":status", "200"), ("transfer-encoding", "chunked")],
        &[(":status", "200"), ("connection", "close")],
    ] {
        assert!(read(wrong).into_head().is_err(), "{wrong:?}");
    }
    assert!(read(&[(":status", "200")]).into_trailers().is_err());
    assert!(read(&[("x-a", "1")]).into_trailers().is_ok());
}

#[test]
fn a_field_section_may_be_so_large_and_no_larger() {
    let value = "x".repeat(1000);
    let mut reader = read(&[(":status", "200")]);
    for _ in 0..70 {
        reader.take(b"x-a", value.as_bytes());
    }
    assert!(reader.wrong.is_none());
    for _ in 0..10 {
        reader.take(b"x-a", value.as_bytes());
    }
    assert!(reader.into_head().is_err());
}
