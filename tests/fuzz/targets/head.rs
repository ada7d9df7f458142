//! Whatever bytes an app sends as a head: what the bank gets for them is one request, however strictly it is read.
#![no_main]

use std::sync::{Arc, LazyLock};

use bankside::config::{Bank, Config};
use bankside::inbound::Caller;
use bankside::message::http1::{HeadLimits, HeadScan, parse_request_head};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

#[path = "../../support/seen.rs"]
mod seen;

static BANK: LazyLock<Arc<Bank>> = LazyLock::new(|| {
    let text = r#"
        [admin]
        listen = "off"
        [store]
        url = "sqlite:x.db"
        key = { file = "x.key" }
        [banks.examplebank]
        listen = "127.0.0.1:1"
        base_url = "https://bank.example/psd2"
        grant_type = "fixed"
        token = { value = "token" }
        [banks.examplebank.tls]
        client_certificate = false
        [banks.examplebank.headers]
        set = { X-Set = "s" }
        default = { X-Default = "d" }
        remove = ["X-Removed"]
    "#;
    let config = Config::parse(text, "x.toml".as_ref(), "/nowhere".as_ref(), &|_: &str| None).expect("valid");
    Arc::clone(&config.banks[0])
});

fuzz_target!(|data: &[u8]| {
    let caller = Caller::Tcp { remote: ([127, 0, 0, 1], 9).into(), local: ([127, 0, 0, 1], 8).into() };
    // All at once, and byte by byte: the same must come of it.
    let mut whole = BytesMut::from(data);
    let at_once = parse_request_head(&mut whole, &mut HeadScan::default(), &HeadLimits::default());
    if data.len() < 300 {
        let (mut buffer, mut scan) = (BytesMut::new(), HeadScan::default());
        let mut by_byte = Ok(None);
        for byte in data {
            buffer.extend_from_slice(&[*byte]);
            by_byte = parse_request_head(&mut buffer, &mut scan, &HeadLimits::default());
            if !matches!(by_byte, Ok(None)) {
                break;
            }
        }
        match (&at_once, &by_byte) {
            (Ok(Some(one)), Ok(Some(other))) => {
                assert_eq!((&one.method, &one.target, one.version), (&other.method, &other.target, other.version));
                assert!(one.fields.iter().eq(other.fields.iter()));
            }
            (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
            (Err(_), Ok(None)) | (Ok(None), Err(_)) => {}
            _ => panic!("{at_once:?} {by_byte:?}"),
        }
    }
    let Ok(Some(head)) = at_once else { return };
    let target = head.target.clone();
    let Some(out) = bankside::proxy::door::rewritten(&BANK, head, &caller) else { return };
    let (requests, rest) = seen::requests(&out).expect("strict HTTP");
    assert!(requests.len() == 1 && rest.is_empty());
    let request = &requests[0];
    assert_eq!(request.field("host"), Some("bank.example"));
    assert_eq!(request.field("x-set"), Some("s"));
    assert_eq!(request.field("authorization"), Some("Bearer token"));
    assert!(request.target().starts_with("/psd2/") || request.target() == "*", "{}", request.target());
    assert!(target.ends_with(request.target().strip_prefix("/psd2").unwrap_or("*").as_bytes()) || request.target().starts_with("/psd2/"));
    for (name, value) in &request.fields {
        let name = name.to_ascii_lowercase();
        // That trailers may come is the sidecar's own word.
        if [("te", "trailers"), ("connection", "TE")].contains(&(&*name, &**value)) {
            continue;
        }
        assert!(!name.starts_with("bankside-"));
        assert!(!["connection", "te", "upgrade", "transfer-encoding", "keep-alive", "x-removed"].contains(&&*name));
    }
});
