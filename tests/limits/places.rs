//! Requests under way and connections to the bank are bounded: who gets a place, who waits, and who is shed.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::support::front::{Entry, Front};
use crate::support::http::{Answer, get, metric, send, send_http2};
use crate::support::scripted::{Bank, Setup, Trust};
use crate::support::wait::{until, until_found, until_queued};

/// A sidecar before a bank that holds its answers' last byte until it is told.
struct Holding {
    front: Front,
    bank: Bank,
    /// Tells all connections that hold an answer.
    go: Arc<Notify>,
    /// The targets of the requests whose answers have begun, in the order of coming.
    begun: Arc<Mutex<Vec<String>>>,
}

impl Holding {
    /// With these limits.
    fn with(limits: &str) -> Self {
        Self::of(&Trust::new(), limits)
    }

    fn of(trust: &Trust, limits: &str) -> Self {
        let (go, begun) = (Arc::<Notify>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (told, noted) = (Arc::clone(&go), Arc::clone(&begun));
        let bank = Bank::start(trust, &Setup::default(), move |mut bank| {
            let (told, noted) = (Arc::clone(&told), Arc::clone(&noted));
            async move {
                while let Some(request) = bank.request().await {
                    bank.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
                    // Who is told before it waits is told all the same.
                    let turn = told.notified();
                    noted.lock().expect("no panic").push(request.target().to_owned());
                    turn.await;
                    bank.say("k").await;
                }
            }
        });
        let front = Front::start_observed(trust, &[Entry::new("examplebank", &bank).with(limits)]);
        Self { front, bank, go, begun }
    }

    fn address(&self) -> SocketAddr {
        self.front.address("examplebank")
    }

    /// Asks for this, and does not wait for the answer.
    fn ask(&self, path: &str) -> JoinHandle<Answer> {
        let (address, path) = (self.address(), path.to_owned());
        tokio::spawn(async move { get(address, &path).await })
    }

    /// Waits until so many answers have begun since the start: a head, and half of the content.
    async fn until_begun(&self, count: usize) {
        until("the answers have begun", || self.begun().len() == count).await;
    }

    fn begun(&self) -> Vec<String> {
        self.begun.lock().expect("no panic").clone()
    }

    /// The answers that have begun are ended.
    fn end_answers(&self) {
        self.go.notify_waiters();
    }
}

#[tokio::test]
async fn a_place_is_taken_until_the_end_of_the_body_and_who_waits_too_long_is_shed() {
    let holding = Holding::with("[@.limits]\nin_flight = 2\nqueue = \"300ms\"");
    let address = holding.address();
    let held = [holding.ask("/held"), holding.ask("/held")];
    holding.until_begun(2).await;
    for answer in [get(address, "/shed").await, send_http2(address, "POST", "/shed", &[], "{}").await] {
        answer.problem("overloaded", 503);
        assert_eq!(answer.header("proxy-status"), "bankside; error=connection_limit_reached");
        assert!(answer.header("retry-after").parse::<u32>().expect("whole seconds") >= 1);
    }
    assert_eq!(holding.begun().len(), 2, "what was shed was not sent");
    holding.end_answers();
    for held in held {
        assert_eq!(held.await.expect("an answer").with(200).body, "ok");
    }
    let next = holding.ask("/next");
    // There is a place again.
    holding.until_begun(3).await;
    holding.end_answers();
    next.await.expect("an answer").with(200);
}

#[tokio::test]
async fn an_app_that_hangs_up_gives_its_place_back() {
    let holding = Holding::with("[@.limits]\nin_flight = 1\nqueue = \"30s\"");
    for number in 0..5 {
        let mut app = TcpStream::connect(holding.address()).await.expect("somebody listens");
        app.write_all(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is taken");
        holding.until_begun(number + 1).await;
        drop(app);
    }
    let next = holding.ask("/next");
    holding.until_begun(6).await;
    holding.end_answers();
    next.await.expect("an answer").with(200);
}

#[tokio::test]
async fn who_waits_is_served_in_the_order_of_coming() {
    let holding = Holding::with("[@.limits]\nin_flight = 1\nqueue = \"30s\"");
    let first = holding.ask("/0");
    holding.until_begun(1).await;
    let mut apps = vec![first];
    for number in 1..5 {
        apps.push(holding.ask(&format!("/{number}")));
        until_queued(holding.front.address("admin"), "examplebank", number).await;
    }
    for (number, app) in apps.into_iter().enumerate() {
        holding.until_begun(number + 1).await;
        holding.end_answers();
        app.await.expect("an answer").with(200);
    }
    assert_eq!(holding.begun(), ["/0", "/1", "/2", "/3", "/4"]);
}

#[tokio::test]
async fn connections_to_the_bank_are_bounded_and_who_waits_for_one_too_long_is_shed() {
    let holding = Holding::with("[@.limits]\nconnections = 2\nqueue = \"300ms\"");
    let held = [holding.ask("/held"), holding.ask("/held")];
    holding.until_begun(2).await;
    let problem = send(holding.address(), "POST", "/shed", &[], "{}").await;
    let told = problem.problem("overloaded", 503);
    assert!(told["remedy"].as_str().expect("a text").contains("has not received"), "{told}");
    assert!(problem.header("retry-after").parse::<u32>().expect("whole seconds") >= 1);
    holding.end_answers();
    for held in held {
        held.await.expect("an answer").with(200);
    }
    assert_eq!(holding.bank.record.raw().len(), 2, "there were two connections");
}

/// A request waits for the only connection, and another configuration is loaded meanwhile.
async fn reload_while_they_wait(holding: &Holding, waiting: u64, change: impl Fn(String) -> String) {
    let admin = holding.front.sidecar.address("admin");
    let until_metric = async |name: &str, value| {
        until_found(name, async || (metric(admin, name).await == Some(value)).then_some(())).await;
    };
    until_metric("bankside_requests_in_flight{bank=\"examplebank\"}", 1 + waiting).await;
    let config = holding.front.dir.path().join("bankside.toml");
    let text = fs::read_to_string(&config).expect("it is there");
    fs::write(config, change(text)).expect("it can be written");
    until_metric("bankside_reloads_total{outcome=\"ok\"}", 1).await;
}

#[tokio::test]
async fn a_request_that_waits_for_a_connection_while_its_route_is_denied_does_not_leave() {
    let holding = Holding::with("[@.limits]\nconnections = 1\nqueue = \"60s\"");
    let held = holding.ask("/held");
    holding.until_begun(1).await;
    let (denied, allowed) = (holding.ask("/denied"), holding.ask("/allowed"));
    let routes =
        "[[banks.examplebank.routes]]\npath = \"/denied\"\ndeny = true\n[[banks.examplebank.routes]]\npath = \"/**\"\n";
    reload_while_they_wait(&holding, 2, |text| text + routes).await;
    holding.end_answers();
    held.await.expect("no panic").with(200);
    // Which of the two has the connection first is open.
    holding.until_begun(2).await;
    holding.end_answers();
    allowed.await.expect("no panic").with(200);
    denied.await.expect("no panic").problem("route-refused", 403);
    assert_eq!(holding.begun(), ["/held", "/allowed"]);
}

#[tokio::test]
async fn a_request_that_waits_for_a_connection_while_the_bank_moves_goes_where_it_is_then() {
    let trust = Trust::new();
    let moved = Bank::obliging(&trust, &Setup::default());
    let holding = Holding::of(&trust, "[@.limits]\nconnections = 1\nqueue = \"60s\"");
    let held = holding.ask("/held");
    holding.until_begun(1).await;
    let waiting = holding.ask("/waiting");
    let [from, to] = [holding.bank.address, moved.address].map(|address| address.to_string());
    reload_while_they_wait(&holding, 1, |text| text.replace(&from, &to)).await;
    holding.end_answers();
    held.await.expect("no panic").with(200);
    waiting.await.expect("no panic").with(200);
    assert_eq!(holding.begun(), ["/held"]);
    assert_eq!(moved.record.requests().0.len(), 1);
}
