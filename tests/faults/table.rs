//! Banks that fail, each in its own way, and what the app is told of it.

use std::net::SocketAddr;
use std::pin::Pin;

use crate::support::scripted::{Connection, Leaf, Setup};

/// What is known of the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It has not received the request.
    NotSent,
    /// It may have.
    MayHave,
}

use Told::{MayHave, NotSent};

/// How a bank fails, and what the app is told of it.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) bank: Way,
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) error: &'static str,
    pub(crate) told: Told,
}

/// What a script is.
pub(crate) type Script = fn(Connection) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the request goes.
pub(crate) enum Way {
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

pub(crate) fn faults() -> Vec<Fault> {
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
        ("a name that is no token", "HTTP/1.1 200 OK\r\nContent(Length): 0\r\n\r\n".into()),
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
pub(crate) async fn says(mut bank: Connection, answer: String) {
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
    format!("https://127.0.0.1:{}", crate::support::world::free_port())
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
