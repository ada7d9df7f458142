//! What an app is told when the bank, its TLS or the way to it fails: status, kind, `Proxy-Status`, whether the bank may
//! have got the request, and all of it in time. Each row of the table is a bank that fails in its own way.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "numbers to look at are told, not asserted")]

mod support;

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use support::front::{Entry, Front};
use support::http::{Answer, raw, send};
use support::scripted::{Bank, Connection, Leaf, Setup, Trust};

/// `timeouts.response` of every bank here; `connect` is the same.
const PATIENCE: Duration = Duration::from_secs(1);
/// What may come on top on a busy machine.
const BUSY: Duration = Duration::from_secs(20);

/// What is known of the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It has not received the request.
    NotSent,
    /// It may have.
    MayHave,
}

use Told::{MayHave, NotSent};

/// How a bank fails, and what the app is told of it.
struct Fault {
    name: &'static str,
    bank: Way,
    status: u16,
    kind: &'static str,
    error: &'static str,
    told: Told,
}

/// What a script is.
type Script = fn(Connection) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the request goes.
enum Way {
    /// To a bank with this TLS and script.
    Bank(fn() -> Setup, Script),
    /// To a bank that answers with this, and then waits for more.
    Answer(String),
    /// To this base URL.
    Url(fn() -> String),
}

macro_rules! script {
    ($connection:ident => $body:block) => {
        |#[allow(unused_mut)] mut $connection: Connection| -> Pin<Box<dyn Future<Output = ()> + Send>> { Box::pin(async move $body) }
    };
}

const fn fault(name: &'static str, bank: Way, outcome: (u16, &'static str, &'static str), told: Told) -> Fault {
    Fault { name, bank, status: outcome.0, kind: outcome.1, error: outcome.2, told }
}

fn http2() -> Setup {
    Setup { alpn: &["h2"], ..Setup::default() }
}

const CLOSED: (u16, &str, &str) = (502, "bank-unreachable", "connection_terminated");
const NONSENSE: (u16, &str, &str) = (502, "bank-unreachable", "http_protocol_error");
const SLOW: (u16, &str, &str) = (504, "bank-timeout", "http_response_timeout");
const UNTRUSTED: (u16, &str, &str) = (502, "bank-tls", "tls_certificate_error");
const REFUSED_US: (u16, &str, &str) = (502, "bank-tls", "tls_alert_received");

fn faults() -> Vec<Fault> {
    let all = ways_there().into_iter().chain(identities()).chain(connections()).chain(nonsense()).chain(http2_faults());
    all.collect()
}

/// The way there.
fn ways_there() -> [Fault; 6] {
    use Way::Url;
    [
        fault("nobody listens", Url(nobody), (502, "bank-unreachable", "connection_refused"), NotSent),
        fault(
            "a name that does not exist",
            Url(|| "https://bank.invalid".into()),
            (502, "bank-unreachable", "dns_error"),
            NotSent,
        ),
        fault("a TCP port that never speaks TLS", Url(silent), (504, "bank-timeout", "connection_timeout"), NotSent),
        fault("a TCP port that hangs up", Url(hangs_up), (502, "bank-unreachable", "destination_unavailable"), NotSent),
        fault("plain HTTP where TLS should be", Url(plain_http), (502, "bank-tls", "tls_protocol_error"), NotSent),
        fault(
            "nothing answers at the address",
            Url(full_backlog),
            (504, "bank-timeout", "connection_timeout"),
            NotSent,
        ),
    ]
}

/// Who is there, and who they take us for. The request never leaves.
fn identities() -> [Fault; 6] {
    let obliging = |name, setup, outcome| fault(name, Way::Bank(setup, serve), outcome, NotSent);
    [
        obliging("a certificate for another name", || Setup { leaf: Leaf::WrongName, ..Setup::default() }, UNTRUSTED),
        obliging("a certificate of a stranger", || Setup { leaf: Leaf::Untrusted, ..Setup::default() }, UNTRUSTED),
        obliging("a certificate whose time is over", || Setup { leaf: Leaf::Expired, ..Setup::default() }, UNTRUSTED),
        obliging("our certificate refused, TLS 1.2", || refusing(&rustls::version::TLS12), REFUSED_US),
        obliging("our certificate refused, TLS 1.3", || refusing(&rustls::version::TLS13), REFUSED_US),
        obliging(
            "our certificate refused, HTTP/2",
            || Setup { alpn: &["h2"], ..refusing(&rustls::version::TLS13) },
            REFUSED_US,
        ),
    ]
}

/// HTTP/1.1 that ends before its answer, or has none.
fn connections() -> [Fault; 6] {
    let plain = |name, script, outcome| fault(name, Way::Bank(Setup::default, script), outcome, MayHave);
    [
        plain("hung up at once", script!(bank => { bank.more().await; }), CLOSED),
        plain("reset before the answer", script!(bank => { bank.request().await; bank.reset(); }), CLOSED),
        plain(
            "reset within the answer's head",
            script!(bank => { bank.request().await; bank.say("HTTP/1.1 200 OK\r\nX-A: b\r\n").await; bank.reset(); }),
            CLOSED,
        ),
        plain(
            "closed after an interim answer",
            script!(bank => { bank.request().await; bank.say("HTTP/1.1 103 Early Hints\r\n\r\n").await; }),
            CLOSED,
        ),
        plain("no answer", script!(bank => { bank.request().await; bank.request().await; }), SLOW),
        fault("half an answer's head", Way::Answer("HTTP/1.1 200 OK\r\n".into()), SLOW, MayHave),
    ]
}

/// Answers that HTTP/1.1 does not allow.
fn nonsense() -> Vec<Fault> {
    let answers = [
        ("interim answers without end", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000)),
        ("garbage", "\u{1}\u{2}garbage\r\n\r\n".into()),
        ("another protocol", "SSH-2.0-OpenSSH_9.9\r\n".into()),
        ("HTTP/0.9", "<html>hello</html>\r\n\r\n".into()),
        ("an empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()),
        (
            "a length and a coding",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        ),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello".into()),
        ("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".into()),
        ("a coding that nobody knows", "HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\n".into()),
        ("a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n".into()),
        ("a folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n".into()),
        ("a space before a colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n".into()),
        ("a head without end", format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(300_000))),
        ("fields without end", format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(500))),
        ("another protocol unasked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n".into()),
        ("a status that is none", "HTTP/1.1 99 Odd\r\n\r\n".into()),
    ];
    answers.map(|(name, answer)| fault(name, Way::Answer(answer), NONSENSE, MayHave)).into()
}

fn http2_faults() -> [Fault; 7] {
    let row = |name, script, outcome, told| fault(name, Way::Bank(http2, script), outcome, told);
    [
        row("HTTP/2: hung up at once", script!(bank => { bank.more().await; }), CLOSED, MayHave),
        row("HTTP/2: nothing", script!(bank => { while bank.more().await.is_some() {} }), SLOW, MayHave),
        row(
            "HTTP/2: HTTP/1.1 instead",
            script!(bank => { bank.more().await; bank.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await; while bank.more().await.is_some() {} }),
            NONSENSE,
            MayHave,
        ),
        row("HTTP/2: no answer", script!(bank => { streams(bank, Reply::Nothing).await; }), SLOW, MayHave),
        row(
            "HTTP/2: a stream that is reset",
            script!(bank => { streams(bank, Reply::Reset(h2::Reason::INTERNAL_ERROR)).await; }),
            NONSENSE,
            MayHave,
        ),
        row(
            "HTTP/2: streams that are refused",
            script!(bank => { streams(bank, Reply::Reset(h2::Reason::REFUSED_STREAM)).await; }),
            NONSENSE,
            NotSent,
        ),
        row("HTTP/2: GOAWAY before every stream", script!(bank => { goes_away(bank).await; }), NONSENSE, NotSent),
    ]
}

/// A bank that answers with this, and then waits for more.
async fn says(mut bank: Connection, answer: String) {
    bank.request().await;
    bank.say(answer).await;
    bank.request().await;
}

fn serve(mut bank: Connection) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        while bank.request().await.is_some() {
            bank.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
}

fn refusing(version: &'static rustls::SupportedProtocolVersion) -> Setup {
    Setup { takes_qwac: false, versions: vec![version], ..Setup::default() }
}

/// What an HTTP/2 bank does with a stream.
enum Reply {
    Nothing,
    Reset(h2::Reason),
}

async fn streams(bank: Connection, reply: Reply) {
    let Ok(mut connection) = h2::server::handshake(bank).await else { return };
    let mut held = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        match reply {
            Reply::Nothing => held.push((request, respond)),
            Reply::Reset(reason) => respond.send_reset(reason),
        }
    }
}

/// SETTINGS, and when a request has come GOAWAY with the last stream 0: nothing was processed.
async fn goes_away(mut bank: Connection) {
    bank.say(b"\0\0\0\x04\0\0\0\0\0").await;
    while !has_headers(bank.unread()) {
        if bank.more().await.is_none() {
            return;
        }
    }
    bank.say(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0").await;
    while bank.more().await.is_some() {}
}

/// Whether there is a HEADERS frame among these bytes of an HTTP/2 connection.
fn has_headers(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()..).unwrap_or_default();
    while let Some((head, after)) = rest.split_at_checked(9) {
        if head[3] == 1 {
            return true;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        rest = after.get(length..).unwrap_or_default();
    }
    false
}

fn nobody() -> String {
    format!("https://127.0.0.1:{}", support::world::free_port())
}

fn listening(serve: fn(std::net::TcpListener)) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || serve(listener));
    format!("https://{address}")
}

fn silent() -> String {
    listening(|listener| {
        let held: Vec<_> = listener.incoming().collect();
        drop(held);
    })
}

fn hangs_up() -> String {
    listening(|listener| listener.incoming().for_each(drop))
}

fn plain_http() -> String {
    listening(|listener| {
        for stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut &stream, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            let _ = std::io::Read::read(&mut &stream, &mut [0; 1024]);
        }
    })
}

/// A listener that takes nobody, and whose backlog is full: SYNs get no answer, as behind a firewall that drops.
fn full_backlog() -> String {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    socket.listen(0).expect("it listens");
    let address = socket.local_addr().expect("an address").as_socket().expect("an address");
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let stream = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
            stream.set_nonblocking(true).expect("a socket");
            let _ = stream.connect(&address.into());
            stream
        })
        .collect();
    std::mem::forget((socket, waiting));
    format!("https://{address}")
}

fn check(fault: &Fault, method: &str, answer: &Answer, took: Duration) {
    let about = format!("{} {method}: {} {:?}", fault.name, answer.status, answer.body);
    assert_eq!(answer.status, fault.status, "{about}");
    let problem = answer.problem(fault.kind, fault.status);
    let error = answer.header("proxy-status").strip_prefix("bankside; error=").unwrap_or_default().to_owned();
    assert_eq!(error, fault.error, "{about}");
    let remedy = problem["remedy"].as_str().expect("a text");
    assert_eq!(remedy.contains("The bank has not received this request"), fault.told == NotSent, "{about}");
    assert_eq!(remedy.contains("The bank may have received this request"), fault.told == MayHave, "{about}");
    // A GET goes twice, a stream that was refused three times.
    assert!(took < 4 * PATIENCE + BUSY, "{about}: it took {took:?}");
}

#[tokio::test]
async fn every_fault_is_told_by_status_kind_and_type_and_in_time() {
    let (trust, faults) = (Trust::new(), faults());
    let names: Vec<String> = (0..faults.len()).map(|index| format!("fault{index}")).collect();
    let mut banks = Vec::new();
    let mut start = |bank: Bank| {
        let base_url = format!("https://{}", bank.address);
        banks.push(bank);
        base_url
    };
    let mut entries = Vec::new();
    for (fault, name) in faults.iter().zip(&names) {
        let more = "[@.timeouts]\nconnect = \"1s\"\nresponse = \"1s\"\nidle = \"1s\"";
        let (base_url, setup) = match &fault.bank {
            Way::Url(url) => (url(), Setup::default()),
            Way::Bank(setup, script) => {
                let (setup, script) = (setup(), *script);
                (start(Bank::start(&trust, &setup, script)), setup)
            }
            Way::Answer(answer) => {
                let answer = answer.clone();
                let bank = Bank::start(&trust, &Setup::default(), move |bank| says(bank, answer.clone()));
                (start(bank), Setup::default())
            }
        };
        entries.push(Entry { name, base_url, alpn: setup.alpn, more });
    }
    let front = Front::start(&trust, &entries);
    for (fault, name) in faults.iter().zip(&names) {
        let start = Instant::now();
        let answer = send(front.address(name), "POST", "/v1/payments", &[], "{}").await;
        let took = start.elapsed();
        check(fault, "POST", &answer, took);
        println!(
            "{:45} {} {:17} {:23} {:?} {:4} ms",
            fault.name,
            fault.status,
            fault.kind,
            fault.error,
            fault.told,
            took.as_millis()
        );
    }
}

/// The resolver of this machine is replaced by one that never answers, in a mount namespace of the sidecar's own.
#[tokio::test]
async fn a_name_server_that_never_answers_is_waited_for_no_longer_than_a_connection() {
    let Ok(_name_server) = std::net::UdpSocket::bind("127.0.0.53:53") else {
        println!("left out: a name server needs port 53");
        return;
    };
    let trust = Trust::new();
    let more = "[@.timeouts]\nconnect = \"1s\"";
    let entry =
        Entry { base_url: "https://bank.example".into(), ..Entry::at("examplebank", ([127, 0, 0, 1], 1).into()) };
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let resolver = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(resolver.path(), "nameserver 127.0.0.53\noptions timeout:30 attempts:1\n")
        .expect("it can be written");
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", script]).arg(resolver.path());
    if !unshare.arg("true").status().is_ok_and(|status| status.success()) {
        println!("left out: there are no mount namespaces");
        return;
    }
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", script]).arg(resolver.path()).arg(support::program::PROGRAM);
    let front = Front::start_prepared(&trust, &[entry.with(more)], unshare);
    let start = Instant::now();
    let answer = send(front.address("examplebank"), "POST", "/x", &[], "{}").await;
    let problem = answer.problem("bank-timeout", 504);
    assert_eq!(answer.header("proxy-status"), "bankside; error=connection_timeout");
    assert!(problem["remedy"].as_str().expect("a text").contains("has not received"), "{problem}");
    assert!(start.elapsed() < PATIENCE + BUSY, "{:?}", start.elapsed());
    println!("a slow name server: 504 after {} ms", start.elapsed().as_millis());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_a_whole_one() {
    let trust = Trust::new();
    let (length, chunked) = ("Content-Length: 50\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let broken = [
        ("length", length.to_owned()),
        ("chunked", chunked.to_owned()),
        ("chunk", format!("{chunked}xyz\r\n")),
        ("trailer", format!("{chunked}0\r\nX: y\r\n")),
        ("stalls", length.to_owned()),
    ];
    let banks = broken.each_ref().map(|(name, rest)| {
        let (answer, stalls) = (format!("HTTP/1.1 200 OK\r\n{rest}"), *name == "stalls");
        Bank::start(&trust, &Setup::default(), move |mut bank| {
            let answer = answer.clone();
            async move {
                if stalls {
                    return says(bank, answer).await;
                }
                bank.request().await;
                bank.say(answer).await;
            }
        })
    });
    let more = "[@.timeouts]\nidle = \"1s\"";
    let entries: Vec<_> =
        broken.iter().zip(&banks).map(|((name, _), bank)| Entry::new(name, bank).with(more)).collect();
    let front = Front::start(&trust, &entries);
    for (name, _) in broken {
        let request = "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let answer = raw(front.address(name), request).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{name}: {answer}");
        // A length that is not met, or chunks without their last one.
        assert!(answer.contains("Content-Length: 50\r\n") || answer.contains("chunked\r\n"), "{name}: {answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{name}: {answer}");
    }
}

#[tokio::test]
async fn an_answer_until_close_is_whole_and_its_connection_is_not_used_again() {
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        bank.request().await;
        bank.say("HTTP/1.0 200 Fine\r\nX-A: b\r\n\r\nuntil the end").await;
        bank.close().await;
    });
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank)]);
    for _ in 0..2 {
        let answer = send(front.address("examplebank"), "GET", "/x", &[], "").await.with(200);
        assert_eq!(answer.body, "until the end");
    }
    assert_eq!(bank.record.raw().len(), 2);
}

#[tokio::test]
async fn a_connection_that_the_bank_closed_while_it_was_idle_costs_no_payment() {
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        bank.request().await;
        bank.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    });
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank)]);
    for number in 0..20 {
        let path = format!("/v1/payments/{number}");
        send(front.address("examplebank"), "POST", &path, &[], "{}").await.with(200);
    }
    let (seen, left) = bank.record.requests();
    assert_eq!((seen.len(), left), (20, 0));
}

#[tokio::test]
async fn a_get_goes_once_more_when_its_connection_dies_and_a_post_never() {
    let trust = Trust::new();
    // Every other connection dies before its answer.
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        let number = bank.number;
        bank.request().await;
        if number.is_multiple_of(2) {
            return bank.reset();
        }
        bank.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    });
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank)]);
    let address = front.address("examplebank");
    send(address, "GET", "/get", &[], "").await.with(200);
    send(address, "POST", "/post", &[], "{}").await.problem("bank-unreachable", 502);
    send(address, "POST", "/post-2", &[], "{}").await.with(200);
    let lines: Vec<String> = bank.record.requests().0.into_iter().map(|seen| seen.target().to_owned()).collect();
    assert_eq!(lines, ["/get", "/get", "/post", "/post-2"]);
}

/// The first time it may have arrived, the second time nobody listens any more: that says nothing of the first.
#[tokio::test]
async fn a_request_that_was_sent_once_is_never_said_not_to_have_been_sent() {
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        bank.request().await;
        bank.request().await;
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let front = Front::start(&trust, &[Entry::at("examplebank", listener.local_addr().expect("an address"))]);
    let cut_when_sent = async {
        let (mut app, _) = listener.accept().await.expect("a connection");
        drop(listener);
        let mut way = tokio::net::TcpStream::connect(bank.address).await.expect("the bank");
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut app, &mut way) => panic!("it ended by itself"),
            () = support::wait::until("the request is there", || bank.record.requests().0.len() == 1) => {}
        }
    };
    let (answer, ()) = tokio::join!(send(front.address("examplebank"), "GET", "/x", &[], ""), cut_when_sent);
    let problem = answer.problem("bank-unreachable", 502);
    let remedy = problem["remedy"].as_str().expect("a text");
    assert!(remedy.contains("may have received"), "{remedy}");
}
