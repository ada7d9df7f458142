//! A payment is never sent twice on the sidecar's account, and what was said not to have been sent was not: thousands of
//! POSTs through a proxy that cuts, delays and resets at random points, with tokens that expire on the way.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "numbers to look at are told, not asserted")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bankside::sandbox::{Fault, Plan, RefreshTokens, Target};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use support::chance::Chance;
use support::fault_proxy::FaultProxy;
use support::front::{Entry, Front};
use support::scripted::{Bank, Connection, Setup, Trust};
use support::seen::text;
use support::wait::{stays, time_passes, unless_it_hangs, until};
use support::world::World;

/// What an app was told of its payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The bank has it.
    Accepted,
    /// The bank says that the token is not valid.
    Unauthorized,
    /// The bank has not received it.
    NotSent,
    /// The bank may have received it.
    MayHave,
    /// The connection to the app broke off.
    Cut,
}

/// Where the apps pay.
#[derive(Clone, Copy)]
struct Till {
    address: SocketAddr,
    seed: u64,
    /// Apps at once, half of them with HTTP/2.
    apps: usize,
    /// Payments of each.
    payments: usize,
}

impl Till {
    /// Lets all apps pay; what each payment's app was told.
    async fn pay(self) -> BTreeMap<String, Outcome> {
        let apps: Vec<_> = (0..self.apps)
            .map(|app| {
                tokio::spawn(async move {
                    let mut chance = Chance::new(self.seed.wrapping_add(app as u64));
                    let mut told = Vec::new();
                    let mut line = None;
                    for payment in 0..self.payments {
                        let id = format!("payment-{:x}-{app}-{payment}-", self.seed);
                        let request = order(&id, self.address, &mut chance);
                        told.push((id, pay(&mut line, self.address, app % 2 == 1, request).await));
                    }
                    told
                })
            })
            .collect();
        let mut told = BTreeMap::new();
        for app in apps {
            told.extend(app.await.expect("the app lives"));
        }
        assert_eq!(told.len(), self.apps * self.payments);
        told
    }
}

/// An app's connection.
enum Line {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

async fn connect(address: SocketAddr, is_http2: bool) -> Line {
    let stream = TokioIo::new(TcpStream::connect(address).await.expect("somebody listens"));
    if is_http2 {
        let (line, driver) = http2::handshake(TokioExecutor::new(), stream).await.expect("a connection");
        tokio::spawn(driver);
        Line::Http2(line)
    } else {
        let (line, driver) = http1::handshake(stream).await.expect("a connection");
        tokio::spawn(driver);
        Line::Http1(line)
    }
}

fn order(id: &str, address: SocketAddr, chance: &mut Chance) -> Request<Full<Bytes>> {
    let filler = "x".repeat(usize::try_from(chance.below(3_000)).expect("small"));
    let body = serde_json::json!({
        "endToEndIdentification": id,
        "instructedAmount": { "currency": "EUR", "amount": "12.34" },
        "creditorName": "Wilfrid",
        "creditorAccount": { "iban": "DE89370400440532013000" },
        "remittanceInformationUnstructured": filler,
    });
    Request::post(format!("http://{address}/v1/payments/sepa-credit-transfers"))
        .header("host", address.to_string())
        .header("x-request-id", id)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .expect("a request")
}

async fn pay(
    line: &mut Option<Line>,
    address: SocketAddr,
    is_http2: bool,
    mut request: Request<Full<Bytes>>,
) -> Outcome {
    let mut open = match line.take() {
        Some(Line::Http1(open)) if open.is_closed() => connect(address, is_http2).await,
        Some(Line::Http2(open)) if open.is_closed() => connect(address, is_http2).await,
        Some(open) => open,
        None => connect(address, is_http2).await,
    };
    if !is_http2 {
        *request.uri_mut() = request.uri().path().parse().expect("a path");
    }
    let answer = unless_it_hangs("a payment", async {
        let answer = match &mut open {
            Line::Http1(open) => {
                open.ready().await?;
                open.send_request(request).await?
            }
            Line::Http2(open) => {
                open.ready().await?;
                open.send_request(request).await?
            }
        };
        let status = answer.status().as_u16();
        Ok::<_, hyper::Error>((status, answer.into_body().collect().await?.to_bytes()))
    })
    .await;
    let Ok((status, body)) = answer else { return Outcome::Cut };
    *line = Some(open);
    let text = String::from_utf8_lossy(&body);
    match status {
        200 | 201 => Outcome::Accepted,
        401 => Outcome::Unauthorized,
        _ if text.contains("The bank has not received this request") => Outcome::NotSent,
        _ if text.contains("The bank may have received this request") => Outcome::MayHave,
        // Whatever is refused before the bank is asked.
        503 if text.contains("urn:bankside:") => Outcome::NotSent,
        _ => panic!("{status} {text}"),
    }
}

fn tell(name: &str, told: &BTreeMap<String, Outcome>) {
    let mut counts = BTreeMap::<_, usize>::new();
    for outcome in told.values() {
        *counts.entry(outcome).or_default() += 1;
    }
    println!("{name}: {} payments: {counts:?}", told.len());
    // A proxy that lets everything pass, or nothing, shows nothing.
    assert!(counts.get(&Outcome::Accepted).is_some_and(|count| *count > told.len() / 10), "{counts:?}");
    assert!(counts.get(&Outcome::MayHave).is_some_and(|count| *count > 0), "{counts:?}");
}

/// Payments through the proxy to a simulated bank that rotates its tokens and lets them expire.
async fn pay_through_faults(name: &str, alpn: &str, seed: u64) {
    let world = World::start().await;
    let (bank, control) = (world.sandbox.icard(), world.sandbox.icard().control());
    control.change_rules(|rules| {
        rules.refresh_tokens = RefreshTokens::Rotate;
        // A renewal revokes the token before it: whatever is under way then has a 401.
        rules.access_lifetime = Duration::from_secs(1);
    });
    let proxy = FaultProxy::start(bank.address(), seed).await;
    let base = format!("base_url = \"{}\"", bank.urls().base);
    world.replace(&base, &format!("base_url = \"https://localhost:{}\"", proxy.address.port()));
    world.in_table("banks.icard.tls", &format!("alpn = [\"{alpn}\"]"));
    world.append("[banks.icard.timeouts]\nresponse = \"2s\"\nconnect = \"2s\"");
    world.login("icard", "default").await;
    let sidecar = world.run();

    let till = Till { address: sidecar.address("icard"), seed, apps: 16, payments: 50 };
    let paying = tokio::spawn(till.pay());
    // Tokens end before their time too, as when a customer's other app makes the bank forget them.
    let mut chance = Chance::new(seed ^ 7);
    while !paying.is_finished() {
        time_passes(Duration::from_millis(500 + chance.below(400))).await;
        control.expire_access_tokens();
    }
    let told = paying.await.expect("the apps live");
    sidecar.terminate();
    until("the bank's connections are closed", || control.counters().open_connections == 0).await;

    let mut taken = BTreeMap::<String, usize>::new();
    for payment in control.payments() {
        let id = payment.order["endToEndIdentification"].as_str().expect("an id").to_owned();
        *taken.entry(id).or_default() += 1;
    }
    let mut noticed = BTreeMap::<String, usize>::new();
    for request in control.requests() {
        if let Some(id) = request.line("x-request-id") {
            *noticed.entry(id.to_owned()).or_default() += 1;
        }
    }
    let raw: Vec<String> = control.raw().iter().map(|(_, raw)| text(raw)).collect();
    for (id, outcome) in &told {
        let (taken, noticed) = (taken.get(id).copied().unwrap_or(0), noticed.get(id).copied().unwrap_or(0));
        assert!(taken <= 1, "{id} was taken {taken} times");
        assert!(noticed <= 2, "{id} was seen {noticed} times");
        match outcome {
            Outcome::Accepted => assert_eq!(taken, 1, "{id} was accepted"),
            Outcome::Unauthorized => assert_eq!(taken, 0, "{id} was refused"),
            Outcome::NotSent => {
                assert_eq!((taken, noticed), (0, 0), "{id} was said not to have been sent");
                assert!(!raw.iter().any(|raw| raw.contains(id)), "{id} was said not to have been sent");
            }
            Outcome::MayHave | Outcome::Cut => {}
        }
    }
    // Whatever was seen a second time, had a 401 the first time.
    let again: usize = noticed.values().map(|noticed| noticed - 1).sum();
    let unauthorized = control.counters().unauthorized;
    assert!(again as u64 <= unauthorized, "{again} were seen again after {unauthorized} 401s");
    tell(name, &told);
    println!(
        "{name}: {again} sent once more after one of {unauthorized} 401s, {} renewals, {} of {} connections ended",
        control.counters().token_calls("refresh_token"),
        proxy.ended.load(Ordering::Relaxed),
        proxy.connections.load(Ordering::Relaxed)
    );
}

#[tokio::test]
async fn payments_over_http1_are_taken_once_at_most() {
    pay_through_faults("HTTP/1.1", "http/1.1", 0x00c0_ffee).await;
}

#[tokio::test]
async fn payments_over_http2_are_taken_once_at_most() {
    pay_through_faults("HTTP/2", "h2", 0x0bad_cafe).await;
}

/// What a bank has processed.
type Processed = Arc<Mutex<Vec<String>>>;

/// An HTTP/2 bank that refuses streams, goes away and drops connections at random, and notes what it processes.
async fn moody(bank: Connection, seed: u64, processed: Processed) {
    let mut chance = Chance::new(seed.wrapping_add(bank.number as u64));
    let Ok(mut connection) = h2::server::handshake(bank).await else { return };
    let mut left = chance.below(40);
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if chance.percent(10) {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
            continue;
        }
        let (processed, answers, delay) = (Arc::clone(&processed), chance.percent(95), chance.below(20));
        tokio::spawn(async move {
            let id = request.headers()["x-request-id"].to_str().expect("text").to_owned();
            let mut body = request.into_body();
            while let Some(data) = body.data().await {
                let Ok(data) = data else { return };
                let _ = body.flow_control().release_capacity(data.len());
            }
            processed.lock().expect("no panic").push(id);
            time_passes(Duration::from_millis(delay)).await;
            if answers {
                let _ = respond.send_response(http::Response::builder().status(201).body(()).expect("an answer"), true);
            } else {
                respond.send_reset(h2::Reason::INTERNAL_ERROR);
            }
        });
        left = left.saturating_sub(1);
        if left == 0 {
            match chance.below(3) {
                0 => connection.graceful_shutdown(),
                1 => connection.abrupt_shutdown(h2::Reason::NO_ERROR),
                _ => return,
            }
            left = u64::MAX;
        }
    }
}

#[tokio::test]
async fn payments_to_a_bank_that_refuses_streams_and_goes_away_are_processed_once_at_most() {
    let trust = Trust::new();
    let processed = Processed::default();
    let seed = 0x5eed;
    let noted = Arc::clone(&processed);
    let setup = Setup { alpn: &["h2"], ..Setup::default() };
    let bank = Bank::start(&trust, &setup, move |bank| moody(bank, seed, Arc::clone(&noted)));
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank).http2()]);
    let till = Till { address: front.address("examplebank"), seed, apps: 16, payments: 25 };
    let told = till.pay().await;
    drop(front);
    drop(bank);
    let processed = processed.lock().expect("no panic");
    let once: BTreeSet<&String> = processed.iter().collect();
    assert_eq!(once.len(), processed.len(), "some were processed twice");
    for (id, outcome) in &told {
        match outcome {
            Outcome::Accepted => assert!(once.contains(id), "{id} was accepted"),
            Outcome::NotSent => assert!(!once.contains(id), "{id} was said not to have been sent"),
            _ => {}
        }
    }
    tell("HTTP/2 with GOAWAY and REFUSED_STREAM", &told);
}

/// Longer after its request than an app closes its side only.
const LATE: Duration = Duration::from_millis(1200);

/// An app that has sent a payment, in one piece or in two.
async fn paying(address: SocketAddr, id: &str, pieces: usize) -> TcpStream {
    let order = serde_json::json!({
        "endToEndIdentification": id,
        "instructedAmount": { "currency": "EUR", "amount": "12.34" },
        "creditorName": "Wilfrid",
        "creditorAccount": { "iban": "DE89370400440532013000" },
    })
    .to_string();
    let head = format!(
        "POST /v1/payments/sepa-credit-transfers HTTP/1.1\r\nHost: {address}\r\nX-Request-ID: {id}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        order.len()
    );
    let mut app = TcpStream::connect(address).await.expect("somebody listens");
    app.set_nodelay(true).expect("a socket");
    let all = if pieces == 1 { vec![head + &order] } else { vec![head, order] };
    for piece in all {
        app.write_all(piece.as_bytes()).await.expect("it is taken");
        time_passes(Duration::from_millis(50)).await;
    }
    app
}

/// What an app reads that closes its side only.
async fn half_closed(mut app: TcpStream) -> String {
    app.shutdown().await.expect("half a close");
    let mut answer = Vec::new();
    unless_it_hangs("the answer", app.read_to_end(&mut answer)).await.expect("an answer");
    text(&answer)
}

/// How often the bank saw each of these payments.
fn seen(world: &World, ids: &[&str]) -> Vec<usize> {
    let requests = world.sandbox.icard().control().requests();
    let times = |id| requests.iter().filter(|request| request.line("x-request-id") == Some(id)).count();
    ids.iter().map(|id| times(*id)).collect()
}

#[tokio::test]
async fn a_payment_whose_app_hangs_up_while_a_token_is_waited_for_is_not_sent() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    control.change_rules(|rules| rules.access_lifetime = Duration::from_secs(1));
    world.login("icard", "default").await;
    time_passes(Duration::from_secs(1)).await;
    control.change_rules(|rules| rules.access_lifetime = Duration::from_hours(1));
    control.plan(Plan::always(Target::TOKEN, Fault::DelayAnswer(4000)));
    let sidecar = world.run();
    let address = sidecar.address("icard");

    for ids in [["first-whole", "first-in-two", "first-half"], ["again-whole", "again-in-two", "again-half"]] {
        let (whole, in_two, half) =
            (paying(address, ids[0], 1).await, paying(address, ids[1], 2).await, paying(address, ids[2], 1).await);
        let half = tokio::spawn(half_closed(half));
        time_passes(LATE).await;
        let before = seen(&world, &ids);
        drop((whole, in_two));
        let answer = half.await.expect("the app lives");
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
        // A second time, the bank refuses the token, and a renewal is waited for before each is sent once more.
        let refused = usize::from(ids[0].starts_with("again"));
        assert_eq!(before, [refused; 3], "what the bank had seen when the apps hung up");
        let wanted = [refused, refused, refused + 1];
        stays(Duration::from_millis(500), "nothing of theirs is sent", || seen(&world, &ids) == wanted).await;
        control.expire_access_tokens();
    }
    assert_eq!(control.payments().len(), 2);
}

#[tokio::test]
async fn a_payment_whose_app_hangs_up_while_the_bank_is_connected_to_is_not_sent() {
    let trust = Trust::new();
    let bank = Bank::obliging(&trust, &Setup::default());
    let way = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let entry = Entry::at("examplebank", way.local_addr().expect("an address"));
    let (target, (open, opened)) = (bank.address, watch::channel(false));
    tokio::spawn(async move {
        loop {
            let (mut here, _) = way.accept().await.expect("it connects");
            let mut opened = opened.clone();
            tokio::spawn(async move {
                opened.wait_for(|open| *open).await.expect("it opens");
                let mut there = TcpStream::connect(target).await.expect("the bank listens");
                // It ends as either side likes.
                let _ = copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    let front = Front::start(&trust, &[entry]);
    let address = front.address("examplebank");
    let (gone, half) = (paying(address, "gone", 1).await, paying(address, "half", 1).await);
    let half = tokio::spawn(half_closed(half));
    let mut empty = TcpStream::connect(address).await.expect("it listens");
    let request = "POST /gone HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    empty.write_all(request.as_bytes()).await.expect("it reads");
    time_passes(LATE).await;
    drop((gone, empty));
    time_passes(Duration::from_millis(100)).await;
    open.send_replace(true);
    let answer = half.await.expect("the app lives");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let seen = || bank.record.raw().iter().map(|raw| text(raw)).collect::<String>();
    stays(Duration::from_millis(500), "nothing of it is sent", || !seen().contains("gone")).await;
    assert!(seen().contains("half"));
}
