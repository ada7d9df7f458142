//! Tables of callers, hosts, targets and fields with the judgement on each.

use std::net::SocketAddr;

use http::{Method, Version};

use super::*;
use crate::message::Body;
use crate::words::Secret;

fn tcp() -> Caller {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    Caller::Tcp { remote: address("127.0.0.1:50000"), local: address("192.0.2.7:8080") }
}

fn judge(
    access: &Access,
    caller: &Caller,
    method: Method,
    target: &'static str,
    lines: &[(&str, &str)],
) -> &'static str {
    let mut request = Request::new(method, target, Body::absent());
    for (name, value) in lines {
        request.fields.push(name, value);
    }
    match check(access, &request, caller) {
        Ok(()) => "ok",
        Err(AccessRefusal::BadRequest(_)) => "bad",
        Err(AccessRefusal::Trace) => "trace",
        Err(AccessRefusal::WrongHost) => "host",
        Err(AccessRefusal::CallerRefused(_)) => "caller",
    }
}

fn get(lines: &[(&str, &str)]) -> &'static str {
    judge(&Access::default(), &tcp(), Method::GET, "/", lines)
}

#[test]
fn what_would_come_back_with_the_token_is_refused_in_any_case_of_its_letters() {
    for (method, verdict) in [("TRACE", "trace"), ("Trace", "trace"), ("TRACK", "trace"), ("TRACES", "ok")] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(judge(&Access::default(), &tcp(), method, "/", &[("Host", "localhost")]), verdict);
    }
}

#[test]
fn only_our_own_hosts_are_served() {
    let access = Access { hosts: vec!["bank.internal".into(), "192.0.2.99".into()], ..Access::default() };
    let table = [
        ("localhost", "ok"),
        ("LocalHost:8080", "ok"),
        ("localhost.", "ok"),
        ("localhost.:9", "ok"),
        ("localhost:", "ok"),
        ("127.0.0.1:8080", "ok"),
        ("127.9.8.7", "ok"),
        ("[::1]:8080", "ok"),
        ("[::ffff:127.0.0.1]", "ok"),
        ("192.0.2.7:8080", "ok"),
        ("192.0.2.8", "host"),
        ("192.0.2.99", "ok"),
        ("Bank.Internal.:1", "ok"),
        ("sub.bank.internal", "host"),
        ("evil.example", "host"),
        ("localhost.evil.example", "host"),
        ("evil-localhost", "host"),
        ("127.0.0.1.evil.example", "host"),
        ("127.1", "host"),
        ("2130706433", "host"),
        ("0x7f.0.0.1", "host"),
        ("0127.0.0.1", "host"),
        ("0.0.0.0", "host"),
        ("[::2]", "host"),
        ("", "bad"),
        (".", "bad"),
        (":8080", "bad"),
        ("::1", "bad"),
        ("[::1", "bad"),
        ("[::1]x", "bad"),
        ("[localhost]", "bad"),
        ("localhost:80a", "bad"),
        ("localhost:99999", "bad"),
        ("localhost:+80", "bad"),
        ("localhost:80:80", "bad"),
        ("user@localhost", "bad"),
        ("localhost, evil", "bad"),
        ("localhost/", "bad"),
        ("local\u{e9}host", "bad"),
    ];
    for (host, expected) in table {
        assert_eq!(judge(&access, &tcp(), Method::GET, "/", &[("Host", host)]), expected, "{host:?}");
    }
}

#[test]
fn a_unix_socket_takes_any_host_but_only_the_uids_that_may() {
    let unix = |uid| Caller::Unix { uid, is_stranger: false };
    let open = Access::default();
    let closed = Access { uids: Some(vec![7, 1000]), ..Access::default() };
    let host = [("Host", "anything.example")];
    assert_eq!(judge(&open, &unix(None), Method::GET, "/", &host), "ok");
    assert_eq!(judge(&closed, &unix(Some(1000)), Method::GET, "/", &host), "ok");
    assert_eq!(judge(&closed, &unix(Some(0)), Method::GET, "/", &host), "caller");
    assert_eq!(judge(&closed, &unix(None), Method::GET, "/", &host), "caller");
    assert_eq!(judge(&closed, &tcp(), Method::GET, "/", &[("Host", "localhost")]), "ok");
}

#[test]
fn a_stranger_needs_a_rule_that_lets_strangers_in() {
    let stranger = Caller::Unix { uid: Some(1000), is_stranger: true };
    let key = Access { key: Some(Secret::new("k")), ..Access::default() };
    let uids = |uid| Access { uids: Some(vec![uid]), ..Access::default() };
    let host = ("Host", "localhost");
    assert_eq!(judge(&Access::default(), &stranger, Method::GET, "/", &[host]), "caller");
    assert_eq!(judge(&uids(7), &stranger, Method::GET, "/", &[host]), "caller");
    assert_eq!(judge(&uids(1000), &stranger, Method::GET, "/", &[host]), "ok");
    assert_eq!(judge(&key, &stranger, Method::GET, "/", &[host]), "caller");
    assert_eq!(judge(&key, &stranger, Method::GET, "/", &[host, ("Bankside-Key", "k")]), "ok");
}

#[test]
fn host_is_there_exactly_once() {
    assert_eq!(get(&[]), "bad");
    assert_eq!(get(&[("Host", "localhost"), ("host", "localhost")]), "bad");
    let mut old = Request::new(Method::GET, "/", Body::absent());
    old.version = Version::HTTP_10;
    assert_eq!(check(&Access::default(), &old, &tcp()), Ok(()));
}

#[test]
fn a_target_of_another_authority_is_malformed_even_if_host_says_the_same() {
    let access = Access { hosts: vec!["bank.internal".to_owned()], ..Access::default() };
    for caller in [tcp(), Caller::Unix { uid: None, is_stranger: false }] {
        let judged = |target, host| judge(&access, &caller, Method::GET, target, &[("Host", host)]);
        assert_eq!(judged("http://evil.example/a", "evil.example"), "bad");
        assert_eq!(judged("http://bank.internal/a", "bank.internal"), "ok");
        assert_eq!(judged("http://localhost:1/a", "localhost:1"), "ok");
    }
}

#[test]
fn a_target_is_a_path_of_ours() {
    let table = [
        (Method::GET, "/", "ok"),
        (Method::GET, "//evil.example/", "ok"),
        (Method::GET, "http://localhost:8080/a", "ok"),
        (Method::GET, "HTTP://LOCALHOST.:8080", "ok"),
        (Method::GET, "http://localhost:8080?q", "ok"),
        (Method::GET, "http://localhost/a", "bad"),
        (Method::GET, "http://evil.example/", "bad"),
        (Method::GET, "http://localhost:8080@evil.example/", "bad"),
        (Method::GET, "https://localhost:8080/", "bad"),
        (Method::GET, "ftp://localhost:8080/", "bad"),
        (Method::GET, "http:/a", "bad"),
        (Method::GET, "a", "bad"),
        (Method::GET, "*", "bad"),
        (Method::OPTIONS, "*", "ok"),
        (Method::GET, "localhost:8080", "bad"),
        (Method::CONNECT, "localhost:8080", "bad"),
        (Method::CONNECT, "/", "bad"),
    ];
    for (method, target, expected) in table {
        let verdict = judge(&Access::default(), &tcp(), method, target, &[("Host", "localhost:8080")]);
        assert_eq!(verdict, expected, "{target}");
    }
}

#[test]
fn absolute_targets_become_paths() {
    let table = [
        ("/a?b", Some("/a?b")),
        ("*", Some("*")),
        ("http://h", Some("/")),
        ("http://h/", Some("/")),
        ("http://h//x;y", Some("//x;y")),
        ("http://h?q=/", Some("/?q=/")),
        ("https://h/", None),
        ("h:1", None),
    ];
    for (target, expected) in table {
        let path = origin_form(target.as_bytes());
        assert_eq!(path.as_deref(), expected.map(str::as_bytes), "{target}");
    }
}

#[test]
fn web_pages_are_refused() {
    let table = [
        ("Origin", "https://evil.example", "caller"),
        ("origin", "null", "caller"),
        ("Origin", "http://localhost:8080", "caller"),
        ("Sec-Fetch-Site", "cross-site", "caller"),
        ("sec-fetch-site", "same-site", "caller"),
        ("Sec-Fetch-Site", "none", "ok"),
        ("Sec-Fetch-Site", "same-origin", "ok"),
        ("Sec-Fetch-Site", "unheard-of", "caller"),
        ("Sec-Fetch-Site", "", "caller"),
        ("Sec-Fetch-Mode", "cors", "ok"),
    ];
    for (name, value, expected) in table {
        assert_eq!(get(&[("Host", "localhost"), (name, value)]), expected, "{name}: {value}");
    }
    let both = [("Host", "localhost"), ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(get(&both), "caller");
}

#[test]
fn the_key_must_be_sent_where_there_is_one() {
    let access = Access { key: Some(Secret::from("s3cret")), ..Access::default() };
    let with =
        |lines: &[(&str, &str)]| judge(&access, &tcp(), Method::GET, "/", &[&[("Host", "localhost")], lines].concat());
    assert_eq!(with(&[("bankside-KEY", "s3cret")]), "ok");
    assert_eq!(with(&[("Bankside-Key", "S3cret")]), "caller");
    assert_eq!(with(&[("Bankside-Key", "")]), "caller");
    assert_eq!(with(&[]), "caller");
}

#[test]
fn our_own_fields_may_not_be_repeated() {
    let host = ("Host", "localhost");
    assert_eq!(get(&[host, ("Bankside-Grant", "a"), ("bankside-grant", "b")]), "bad");
    assert_eq!(get(&[host, ("Bankside-Key", "a"), ("X", "y"), ("BANKSIDE-KEY", "a")]), "bad");
    assert_eq!(get(&[host, ("Bankside-Grant", "a"), ("Bankside-Key", "b")]), "ok");
    assert_eq!(get(&[host, ("X-Bankside-Grant", "a"), ("X-Bankside-Grant", "b")]), "ok");
}
