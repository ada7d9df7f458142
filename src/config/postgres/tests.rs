//! Database URLs: taken apart, and refused.

use super::*;

#[test]
fn a_url_is_taken_apart() {
    let tcp = |host: &str| PostgresHost::Tcp(host.to_owned());
    let unix = || PostgresHost::Unix("/run/pg".into());
    for (text, host, port, verified) in [
        ("u@Host.example/d", tcp("host.example"), 5432, true),
        ("u:p%40%2F%25@h:5433/d?sslmode=verify-full&sslrootcert=ca.pem", tcp("h"), 5433, true),
        ("u:p%40%2F%25@h/d?port=5433", tcp("h"), 5433, true),
        ("u@localhost/d?sslmode=disable", tcp("localhost"), 5432, false),
        ("u@127.0.0.1/d", tcp("127.0.0.1"), 5432, true),
        ("u@[::1]/d?sslmode=disable", tcp("::1"), 5432, false),
        ("u@[::1]:5/d?sslmode=disable", tcp("::1"), 5, false),
        ("u@/d?host=/run/pg&sslmode=disable", unix(), 5432, false),
        ("u@/d?host=%2Frun%2Fpg&port=5433", unix(), 5433, false),
        ("u@%2Frun%2Fpg:7/d", unix(), 7, false),
    ] {
        let url = parse(text).unwrap_or_else(|why| panic!("{text}: {why:?}"));
        assert_eq!((url.host, url.port, url.verified), (host, port, verified), "{text}");
        assert_eq!((url.user.as_str(), url.database.as_str()), ("u", "d"), "{text}");
        assert!(url.password.is_none_or(|password| password.matches(b"p@/%")), "{text}");
    }
}

#[test]
fn what_is_no_store_or_not_safe_is_refused() {
    for bad in [
        "",
        "h/d",
        "u@h",
        "@h/d",
        "u@h:x/d",
        "u@h:0/d",
        "u@/d",
        "u@a b/d",
        "u@h/d#x",
        "u:%@h/d",
        "u:%zz@h/d",
        "u:%ff@h/d",
        "u@h/d%00",
        "u@h/d?sslmode=disable",
        "u@192.0.2.1/d?sslmode=disable",
        "u@localhost.evil.example/d?sslmode=disable",
        "u@h/d?sslmode=require",
        "u@h/d?sslmode=verify-ca",
        "u@h/d?sslmode=prefer",
        "u@h/d?sslmode=maybe",
        "u@h/d?sslmode=",
        "u@h/d?sslmode=verify-full&sslmode=verify-full",
        "u@h/d?sslmod=verify-full",
        "u@h/d?password=p",
        "u@h/d?host=other",
        "u@localhost/d?sslmode=disable&sslrootcert=ca.pem",
        "u@/d?host=/run/pg&sslmode=verify-full",
    ] {
        let (reason, _) = parse(bad).expect_err(bad);
        assert!(!reason.is_empty(), "{bad}");
    }
}
