//! The routes against their words in the contract, read one after the other.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::config::route::{PathPattern, Segment};

/// Routes as a configuration has them: each a path, and what else its table says.
fn routes(entries: &[(&str, &str)]) -> Routes {
    let mut text = String::from(
        "[admin]\nlisten = \"off\"\n[store]\nurl = \"sqlite:x.db\"\nkey = { file = \"x.key\" }\n[banks.examplebank]\n\
         listen = \"127.0.0.1:8080\"\nbase_url = \"https://bank.example\"\ngrant_type = \"fixed\"\n\
         token = { value = \"a-token-that-is-given-and-never-ends\" }\ntls.client_certificate = false\n",
    );
    for (path, more) in entries {
        let _ = write!(text, "[[banks.examplebank.routes]]\npath = \"{path}\"\n{more}\n");
    }
    let config = Config::parse(&text, "x.toml".as_ref(), "/nowhere".as_ref(), &|_: &str| None).expect("valid");
    Routes::new(Arc::clone(&config.banks[0]))
}

fn allows(pattern: &str, path: &str) -> bool {
    routes(&[(pattern, "")]).first(&Method::GET, path.as_bytes()).is_some()
}

fn denies(pattern: &str, path: &str) -> bool {
    routes(&[(pattern, "deny = true")]).first(&Method::GET, path.as_bytes()).is_some()
}

#[test]
fn literals_match_themselves_and_their_case() {
    assert!(allows("/v1/accounts", "/v1/accounts"));
    for other in ["/v1/account", "/v1/Accounts", "/v1/accounts/", "/v1", "/v1/accounts/1", "/"] {
        assert!(!allows("/v1/accounts", other), "{other}");
    }
}

#[test]
fn a_star_is_one_segment_and_not_an_empty_one() {
    assert!(allows("/v1/*/x", "/v1/a/x"));
    for other in ["/v1//x", "/v1/x", "/v1/a/b/x", "/v1/a/x/"] {
        assert!(!allows("/v1/*/x", other), "{other}");
    }
}

#[test]
fn two_stars_are_the_rest_behind_the_slash() {
    for path in ["/x/", "/x/a", "/x/a/b/"] {
        assert!(allows("/x/**", path), "{path}");
    }
    assert!(!allows("/x/**", "/x"));
    assert!(!allows("/x/**", "/xy/a"));
    assert!(allows("/**", "/") && allows("/**", "/a/b"));
}

#[test]
fn a_denial_cannot_be_slipped_by_case_or_escapes_or_what_stands_at_the_end() {
    for path in [
        "/v1/payments",
        "/V1/Payments",
        "/v1/payments/",
        "/v1/payments.",
        "/v1/payments%20",
        "/v1/payment%C5%BF",
        "/v1/payment%c5%bf/",
    ] {
        assert!(denies("/v1/payments", path), "{path}");
    }
    assert!(!denies("/v1/payments", "/v1/payment") && !denies("/v1/payments", "/v1/payments/1"));
}

#[test]
fn a_denial_holds_for_escapes_of_what_its_pattern_spells() {
    for path in ["/a:b@c", "/a%3Ab@c", "/a%3ab%40c", "/A%3AB%40C"] {
        assert!(denies("/a:b@c", path), "{path}");
        assert!(denies("/a%3Ab@c", path), "{path}");
    }
    assert!(!denies("/a:b@c", "/a%3Bb@c"));
}

#[test]
fn a_denial_holds_for_its_methods_in_any_case_and_an_allowance_does_not() {
    let post = Method::from_bytes(b"pOsT").expect("a method");
    let denial = routes(&[("/x", "deny = true\nmethods = [\"POST\"]")]);
    assert!(denial.first(&post, b"/x").is_some());
    assert!(denial.first(&Method::GET, b"/x").is_none());
    assert!(routes(&[("/x", "methods = [\"POST\"]")]).first(&post, b"/x").is_none());
}

#[test]
fn the_first_that_matches_decides_whatever_comes_later() {
    let entries = [
        ("/a/*/c", "methods = [\"GET\"]"),
        ("/a/b/c", "deny = true"),
        ("/a/**", ""),
        ("/a/b/d", "deny = true"),
        ("/**", "deny = true"),
    ];
    let routes = routes(&entries);
    for (method, path, expected) in [
        (Method::GET, "/a/b/c", 0),
        (Method::POST, "/a/b/c", 1),
        (Method::POST, "/A/B/C/", 1),
        (Method::GET, "/a/b/d", 2),
        (Method::GET, "/a/B/c", 0),
        (Method::GET, "/b", 4),
    ] {
        let first = routes.first(&method, path.as_bytes()).expect("a route");
        assert_eq!(first, &routes.bank.routes[expected], "{method} {path}");
    }
}

/// Whether a pattern matches a path, segment by segment.
fn matches(pattern: &PathPattern, path: &[u8], same: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let mut segments = path.strip_prefix(b"/").unwrap_or(path).split(|&byte| byte == b'/');
    let begins = pattern.segments.iter().all(|wanted| {
        segments.next().is_some_and(|segment| match wanted {
            Segment::Literal(text) => same(segment, text.as_bytes()),
            Segment::Any => !segment.is_empty(),
        })
    });
    begins && segments.next().is_some() == pattern.rest
}

/// Whether a route is for a method and path, as the contract says it.
fn is_for(route: &Route, method: &Method, path: &[u8]) -> bool {
    if !is_denial(route) {
        return is_for_method(route, method) && matches(&route.path, path, |one, other| one == other);
    }
    let same = |one: &[u8], other: &[u8]| one.eq_ignore_ascii_case(other) || path::folded(one) == path::folded(other);
    let without_slash = path.strip_suffix(b"/").unwrap_or(path);
    is_for_method(route, method) && [path, without_slash].iter().any(|path| matches(&route.path, path, same))
}

proptest! {
    /// What an allowing route takes, a denial with the same pattern takes too: no rule order can open a gap.
    #[test]
    fn a_denial_takes_whatever_an_allowance_takes(path in "(/[a-zA-Z.%2f]{0,3}){1,4}") {
        for pattern in ["/a/*", "/**", "/a/b", "/*/**", "/A"] {
            prop_assert!(!allows(pattern, &path) || denies(pattern, &path));
        }
    }

    #[test]
    fn looking_up_finds_what_reading_in_order_finds(
        entries in proptest::collection::vec(
            ("(/(a|b|B|%20|\\*)){1,3}(/|/\\*\\*)?|/|/\\*\\*", prop_oneof![
                Just(""), Just("deny = true"), Just("methods = [\"GET\"]"), Just("deny = true\nmethods = [\"POST\"]"),
            ]),
            0..12,
        ),
        paths in proptest::collection::vec("(/(a|A|b|B|%20|a%2E|)){0,4}/?", 1..20),
        method in prop_oneof![Just(Method::GET), Just(Method::POST)],
    ) {
        let entries: Vec<(&str, &str)> = entries.iter().map(|(path, more)| (path.as_str(), *more)).collect();
        let routes = routes(&entries);
        for path in &paths {
            let expected = routes.bank.routes.iter().find(|route| is_for(route, &method, path.as_bytes()));
            prop_assert_eq!(routes.first(&method, path.as_bytes()), expected, "{}", path);
        }
    }
}
