//! What app and bank say to each other arrives unchanged: exchanges byte for byte, on both sides of the real program.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::front::{Entry, Front, TOKEN};
use support::http::send_http2;
use support::scripted::{Bank, Setup, Trust};
use support::seen::{Seen, requests, text};
use support::wait::{time_passes, unless_it_hangs, until};

/// A bank below `/psd2` that answers with whatever it is told, as bytes.
struct Stage {
    bank: Bank,
    front: Front,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Stage {
    fn new() -> Self {
        let trust = Trust::new();
        let answer = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&answer);
        let bank = Bank::start(&trust, &Setup::default(), move |mut bank| {
            let told = Arc::clone(&told);
            async move {
                while bank.request().await.is_some() {
                    let answer = told.lock().expect("no panic").clone();
                    bank.say(answer).await;
                }
            }
        });
        let front = Front::start(&trust, &[Entry::new("examplebank", &bank).below("/psd2")]);
        Self { bank, front, answer }
    }

    fn address(&self) -> SocketAddr {
        self.front.address("examplebank")
    }

    /// What the bank sees of this request, and what the app gets for the bank's answer.
    async fn exchange(&self, request: &str, answer: &str) -> (Seen, String) {
        self.bank.record.clear();
        *self.answer.lock().expect("no panic") = latin1(answer);
        let got = whole(self.address(), &latin1(request)).await;
        let mut seen: Vec<Seen> = Vec::new();
        for raw in self.bank.record.raw() {
            let (all, rest) = requests(&raw).expect("strict HTTP");
            assert!(rest.is_empty());
            seen.extend(all);
        }
        assert_eq!(seen.len(), 1, "{got}");
        (seen.remove(0), got)
    }
}

/// The bytes of these characters.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(u32::from(char)).expect("a byte")).collect()
}

/// Sends this, says that nothing more comes, and reads to the end.
async fn whole(address: SocketAddr, request: &[u8]) -> String {
    unless_it_hangs("the answer", async {
        let mut app = TcpStream::connect(address).await.expect("somebody listens");
        app.write_all(request).await.expect("it is taken");
        app.shutdown().await.expect("half a close");
        let mut answer = Vec::new();
        app.read_to_end(&mut answer).await.expect("an answer");
        text(&answer)
    })
    .await
}

/// Reads until this has come; all of it.
async fn read_until(app: &mut TcpStream, end: &str) -> String {
    let mut got = Vec::new();
    while !text(&got).contains(end) {
        let mut buffer = [0; 4096];
        let count = unless_it_hangs(end, app.read(&mut buffer)).await.expect("an answer");
        assert_ne!(count, 0, "{:?}", text(&got));
        got.extend_from_slice(&buffer[..count]);
    }
    text(&got)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn names_values_order_and_interleaving_arrive_byte_for_byte_both_ways() {
    let stage = Stage::new();
    let request = "POST /x HTTP/1.1\r\nX-b: 1\r\nHOST: localhost\r\nx-A:2\r\nX-B:  3 \r\nDigest: sha-256=:x:\r\nContent-LENGTH: 2\r\n\
                   x-raw: caf\u{e9}\u{80}\u{ff}\tx\r\nX-b:\r\n\r\n{}";
    let answer = "HTTP/1.1 299 Alles g\u{fc}t\r\nx-B: 1\r\nX-a: 2\r\nX-b: 3\r\nSet-Cookie: a=b\r\nX-Raw: \u{e9}\u{ff}\r\nset-cookie: c=d\r\n\
                  content-length: 2\r\n\r\nok";
    let (seen, got) = stage.exchange(request, answer).await;
    let names: Vec<&str> = seen.fields.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["X-b", "HOST", "x-A", "X-B", "Digest", "Content-LENGTH", "x-raw", "X-b"];
    assert_eq!(names[..expected.len()], expected, "{names:?}");
    assert_eq!(seen.fields[6].1, "caf\u{e9}\u{80}\u{ff}\tx");
    assert_eq!(seen.field("host"), Some(&*stage.bank.address.to_string()));
    assert_eq!(seen.field("authorization"), Some(&*format!("Bearer {TOKEN}")));
    assert_eq!(got, answer);
}

#[tokio::test]
async fn what_is_for_one_hop_stays_there_both_ways() {
    let stage = Stage::new();
    let request = "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
                   Proxy-Connection: close\r\nUpgrade: h2c\r\nX-End: 2\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nConnection: X-Bank-Hop, keep-alive\r\nX-Bank-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n\
                  Upgrade: h2c\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n";
    let (seen, got) = stage.exchange(request, answer).await;
    let names: Vec<&str> = seen.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["Host", "X-End"]);
    for hop in ["connection", "x-hop", "keep-alive", "te", "proxy-connection", "upgrade"] {
        assert_eq!(seen.field(hop), None, "{hop}");
    }
    assert_eq!(got, "HTTP/1.1 200 OK\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n");
}

#[tokio::test]
async fn an_options_request_goes_no_further_than_it_may() {
    let stage = Stage::new();
    let request = "OPTIONS /x HTTP/1.1\r\nHost: localhost\r\nA: b\r\nMAX-forwards: 2\r\nC: d\r\n\r\n";
    let (seen, _) = stage.exchange(request, "HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(seen.field("max-forwards"), Some("1"));
    stage.bank.record.clear();
    let got = whole(stage.address(), b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nMax-Forwards: 0\r\n\r\n").await;
    assert!(got.starts_with("HTTP/1.1 204 No Content\r\nAllow: "), "{got}");
    assert!(stage.bank.record.raw().is_empty());
}

#[tokio::test]
async fn targets_arrive_byte_for_byte_below_the_base_path() {
    let stage = Stage::new();
    for target in [
        "/",
        "/a%2Fb",
        "//",
        "//a//b//",
        "/a;b=c;d",
        "/a/./b/../c",
        "/%2e%2E/%7E~",
        "/a?b=%20+&c=/?d;e",
        "/a?",
        "/?",
        "/a%",
        "/%zz",
        "/a'b\"c<d>",
        "/a|b\\c^d`e{f}",
        "/http://x/",
        "/:@!$&()*+,=",
        "/a/..",
        "/..",
    ] {
        let (seen, _) = stage.exchange(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"), OK).await;
        assert_eq!(seen.target(), format!("/psd2{target}"));
    }
}

#[tokio::test]
async fn a_location_below_the_base_leads_back_and_any_other_stays() {
    let stage = Stage::new();
    let bank = stage.bank.address;
    for (location, expected) in [
        (format!("https://{bank}/psd2/v1/x?y#z"), "http://localhost:1234/v1/x?y#z".to_owned()),
        (format!("HTTPS://{bank}/psd2"), "http://localhost:1234/".to_owned()),
        ("/psd2/v1/x".to_owned(), "/v1/x".to_owned()),
        (format!("https://{bank}/psd2x/v1"), format!("https://{bank}/psd2x/v1")),
        (format!("https://{bank}.evil.example/psd2/v1"), format!("https://{bank}.evil.example/psd2/v1")),
        ("https://login.example/psd2/v1".to_owned(), "https://login.example/psd2/v1".to_owned()),
        ("v1/x".to_owned(), "v1/x".to_owned()),
        ("/other".to_owned(), "/other".to_owned()),
    ] {
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let request = "GET /x HTTP/1.1\r\nHost: localhost:1234\r\n\r\n";
        let (_, got) = stage.exchange(request, &answer).await;
        assert!(got.contains(&format!("Location: {expected}\r\n")), "{location}: {got}");
    }
}

#[tokio::test]
async fn answers_without_content_have_none_and_keep_what_describes_it() {
    let stage = Stage::new();
    let head = "HEAD /x HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (request, answer) in [
        (head, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: \"a\"\r\n\r\n"),
        (head, "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n"),
        (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"a\"\r\n\r\n"),
        (GET, "HTTP/1.1 204 No Content\r\nETag: \"a\"\r\n\r\n"),
        (GET, "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let (_, got) = stage.exchange(request, answer).await;
        assert_eq!(got, answer);
    }
}

#[tokio::test]
async fn content_keeps_its_framing_and_trailers_arrive_both_ways() {
    let stage = Stage::new();
    let request = "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n";
    let answer =
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 3\r\n\r\n";
    let (seen, got) = stage.exchange(request, answer).await;
    assert_eq!((&*seen.body, seen.field("transfer-encoding")), (&b"abcde"[..], Some("chunked")));
    assert_eq!(seen.trailers, [("X-Sum".to_owned(), "1".to_owned()), ("x-sum".to_owned(), "2".to_owned())]);
    assert_eq!(got, answer);
    let (seen, got) = stage.exchange("PUT /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", OK).await;
    assert_eq!((seen.field("content-length"), got.as_str()), (Some("0"), OK));
    let (seen, _) = stage.exchange("POST /x HTTP/1.1\r\nHost: localhost\r\n\r\n", OK).await;
    assert_eq!((seen.field("content-length"), seen.field("transfer-encoding")), (None, None));
}

#[tokio::test]
async fn interim_answers_are_passed_on_in_their_order() {
    let stage = Stage::new();
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                  HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (_, got) = stage.exchange(GET, answer).await;
    assert_eq!(got, answer);
    // HTTP/1.0 has none.
    let (_, got) = stage.exchange("GET /x HTTP/1.0\r\n\r\n", answer).await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
}

#[tokio::test]
async fn an_expectation_goes_to_the_bank_and_its_word_comes_back_before_the_content() {
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        while let Some(head) = bank.head().await {
            if head.contains("/refused") {
                return bank
                    .say("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .await;
            }
            bank.say("HTTP/1.1 100 Continue\r\n\r\n").await;
            bank.request().await;
            bank.say(OK).await;
        }
    });
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank)]);
    let expecting = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    };
    let mut app = TcpStream::connect(front.address("examplebank")).await.expect("somebody listens");
    app.write_all(expecting("/x").as_bytes()).await.expect("it is taken");
    assert_eq!(read_until(&mut app, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    app.write_all(b"hello").await.expect("it is taken");
    assert_eq!(read_until(&mut app, "ok").await, OK);

    let mut app = TcpStream::connect(front.address("examplebank")).await.expect("somebody listens");
    app.write_all(expecting("/refused").as_bytes()).await.expect("it is taken");
    let refused = read_until(&mut app, "\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 417 ") && refused.contains("Connection: close"), "{refused}");
    let last = bank.record.raw().pop().expect("a connection");
    assert!(!text(&last).contains("hello"));
}

#[tokio::test]
async fn an_answer_comes_while_the_app_still_sends() {
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        bank.head().await;
        bank.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch").await;
        while bank.more().await.is_some() {}
    });
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank)]);
    let mut app = TcpStream::connect(front.address("examplebank")).await.expect("somebody listens");
    app.write_all(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\nfirst")
        .await
        .expect("it is taken");
    let answer = read_until(&mut app, "much").await;
    assert!(answer.starts_with("HTTP/1.1 413 Content Too Large\r\n"), "{answer}");
}

/// Neither side has room for all that is under way: whoever stopped reading to write first would wait for ever.
#[tokio::test]
async fn a_large_upload_is_echoed_while_it_comes() {
    const LENGTH: usize = 16 << 20;
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        let head = bank.head().await.expect("a request");
        bank.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
        bank.say(bank.unread()[head.len() + 4..].to_vec()).await;
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = bank.read(&mut buffer).await {
            bank.say(&buffer[..count]).await;
        }
    });
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank)]);
    let app = TcpStream::connect(front.address("examplebank")).await.expect("somebody listens");
    let (mut answers, mut requests) = app.into_split();
    tokio::spawn(async move {
        let head = format!("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LENGTH}\r\n\r\n");
        requests.write_all(head.as_bytes()).await.expect("it is taken");
        requests.write_all(&vec![b'x'; LENGTH]).await.expect("it is taken");
        requests
    });
    let (mut got, mut buffer) = (0, vec![0; 64 * 1024]);
    while got < LENGTH {
        let count = unless_it_hangs("the echo", answers.read(&mut buffer)).await.expect("an answer");
        assert_ne!(count, 0, "{got} came");
        got += count;
    }
}

#[tokio::test]
async fn what_names_another_method_is_not_sent_once_more_as_if_it_only_read() {
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        bank.request().await;
    });
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank)]);
    for (target, field) in [("/x", "X-HTTP-Method-Override: POST\r\n"), ("/x?_method=POST", "")] {
        bank.record.clear();
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n");
        let got = whole(front.address("examplebank"), request.as_bytes()).await;
        assert!(got.contains("The bank may have received this request"), "{got}");
        assert_eq!(bank.record.requests().0.len(), 1);
    }
    bank.record.clear();
    whole(front.address("examplebank"), GET.as_bytes()).await;
    assert_eq!(bank.record.requests().0.len(), 2, "a plain one goes once more");
}

#[tokio::test]
async fn an_app_that_has_said_all_and_half_closed_still_gets_its_answer() {
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        bank.request().await;
        time_passes(Duration::from_millis(500)).await;
        bank.say(OK).await;
    });
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank)]);
    for request in [GET, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"] {
        assert!(whole(front.address("examplebank"), request.as_bytes()).await.ends_with("\r\n\r\nok"));
    }
    until("both requests are there", || bank.record.raw().len() == 2).await;
}

/// An HTTP/2 bank that answers with two cookies, a trailer and the request's path.
async fn http2_bank(bank: support::scripted::Connection) {
    let Ok(mut connection) = h2::server::handshake(bank).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let answer = http::Response::builder()
            .header("set-cookie", "a=b")
            .header("x-path", request.uri().path_and_query().expect("a path").as_str())
            .header("x-host", request.uri().authority().expect("an authority").as_str())
            .header("set-cookie", "c=d")
            .header("x-cookie", request.headers().get("cookie").map_or("", |value| value.to_str().expect("text")));
        let mut stream = respond.send_response(answer.body(()).expect("an answer"), false).expect("an answer");
        stream.send_data("ok".into(), false).expect("content");
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("1"));
        trailers.insert("content-length", http::HeaderValue::from_static("50"));
        stream.send_trailers(trailers).expect("trailers");
    }
}

#[tokio::test]
async fn both_versions_on_both_sides_keep_path_cookies_and_trailers() {
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup { alpn: &["h2"], ..Setup::default() }, http2_bank);
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank).http2().below("/psd2")]);
    let address = front.address("examplebank");
    let target = "/a%2Fb//c;d/../e?f=%20&g";
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nCookie: x=y\r\n\r\n");
    let got = whole(address, request.as_bytes()).await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
    for line in [
        &*format!("x-path: /psd2{target}"),
        "set-cookie: a=b",
        "set-cookie: c=d",
        "x-cookie: x=y",
        &format!("x-host: {}", bank.address),
    ] {
        assert!(got.contains(&format!("{line}\r\n")), "{line}: {got}");
    }
    assert!(got.ends_with("\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"), "{got}");
    let answer = send_http2(address, "GET", target, &[("cookie", "x=y"), ("cookie", "z=a")], "").await.with(200);
    assert_eq!(answer.header("x-path"), format!("/psd2{target}"));
    assert_eq!(answer.header("x-cookie"), "x=y; z=a");
    assert_eq!(answer.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=b", "c=d"]);
    assert_eq!((&*answer.body, answer.trailers.len()), (&b"ok"[..], 1));
}
