//! The app's side in HTTP: what reaches the bank as it was sent, what is refused before, and how failures are told.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use bankside::sandbox::{Door, Endpoint, Fault, Plan, Protocols, QwacOptions, RecordedRequest, Target};
use serde_json::Value;
use support::http::{get, get_unix, raw, send, send_http2};
use support::program::Sidecar;
use support::wait::{until, until_found};
use support::world::World;
use tokio::io::AsyncWriteExt;

/// Banks, and a sidecar in front of them with a grant at iCard.
async fn running() -> (World, Sidecar) {
    running_with(|_| {}).await
}

async fn running_with(change: impl FnOnce(&World)) -> (World, Sidecar) {
    let world = World::with(|options| options.icard.protocols = Protocols::Http1).await;
    change(&world);
    world.login("icard", "default").await;
    let sidecar = world.run();
    (world, sidecar)
}

/// The API and test requests that iCard saw.
fn seen(world: &World) -> Vec<RecordedRequest> {
    let requests = world.sandbox.icard().control().requests();
    requests.into_iter().filter(|request| matches!(request.endpoint, Endpoint::Api | Endpoint::Test)).collect()
}

fn token(world: &World) -> String {
    world.reveal("icard", "default")["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn field_lines_reach_an_http1_bank_in_their_case_order_and_interleaving() {
    let (world, sidecar) = running().await;
    let address = sidecar.address("icard");
    let request = format!(
        "POST /_test/echo/%7Ea;b=c//d?q=%20x&&y HTTP/1.1\r\nX-First: 1\r\nx-MIXED: a\r\nHost: {address}\r\n\
         X-Other: o\r\nX-Mixed: b\r\nAUTHORIZATION: Basic abc\r\nx-mixed:c\r\nContent-Length: 5\r\n\
         X-Odd: \tspaces  inside\t\r\nX-Empty:\r\nX-request-ID: my-own\r\nx-LAST: \u{fc}\r\nConnection: close\r\n\r\nhello"
    );
    let answer = raw(address, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let bank = world.sandbox.icard();
    let sent = seen(&world).pop().expect("the bank saw it");
    assert_eq!((sent.method.as_str(), sent.target.as_str()), ("POST", "/_test/echo/%7Ea;b=c//d?q=%20x&&y"));
    let (host, authorization) = (format!("localhost:{}", bank.address().port()), format!("Bearer {}", token(&world)));
    let expected: [(&str, &str); 12] = [
        ("X-First", "1"),
        ("x-MIXED", "a"),
        ("Host", &host),
        ("X-Other", "o"),
        ("X-Mixed", "b"),
        ("AUTHORIZATION", &authorization),
        ("x-mixed", "c"),
        ("Content-Length", "5"),
        ("X-Odd", "spaces  inside"),
        ("X-Empty", ""),
        ("X-request-ID", "my-own"),
        // The recorder gives each byte as the character of its number.
        ("x-LAST", "\u{c3}\u{bc}"),
    ];
    let lines: Vec<(&str, &str)> = sent.lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(lines, expected, "no line is added, moved, joined or spelt otherwise");
    assert_eq!(sent.body.bytes, 5);
}

#[tokio::test]
async fn fields_for_one_hop_and_for_the_sidecar_do_not_reach_the_bank() {
    let (world, sidecar) = running().await;
    let address = sidecar.address("icard");
    let request = format!(
        "GET /_test/echo HTTP/1.1\r\nHost: {address}\r\nConnection: close, X-Named\r\nX-Named: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: x\r\nProxy-Authorization: Basic abc\r\nUpgrade: h2c\r\nTE: gzip\r\n\
         Bankside-Grant: default\r\nBankside-Key: k\r\nX-Request-ID: 1\r\n\r\n"
    );
    assert!(raw(address, &request).await.starts_with("HTTP/1.1 200 "));
    let names: Vec<String> = seen(&world).pop().unwrap().lines.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Host", "X-Request-ID", "Authorization"], "and none that tells of the sidecar is added");
}

#[tokio::test]
async fn a_field_that_the_bank_demands_is_added_where_the_app_sent_none() {
    let (world, sidecar) = running().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        get(sidecar.address("icard"), "/v1/accounts").await.with(200);
        let sent = seen(&world).pop().unwrap();
        ids.push(sent.line("x-request-id").expect("the profile adds it").to_owned());
    }
    assert!(ids[0].len() == 36 && ids[0] != ids[1], "each request has a UUID of its own: {ids:?}");
}

#[tokio::test]
async fn the_context_of_a_trace_passes_as_the_app_sent_it_and_is_never_made() {
    let (world, sidecar) = running().await;
    let context = [
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
    ];
    send(sidecar.address("icard"), "GET", "/v1/accounts", &context, "").await.with(200);
    let sent = seen(&world).pop().unwrap();
    assert_eq!(context.map(|(name, _)| sent.line(name)), context.map(|(_, value)| Some(value)));
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    let sent = seen(&world).pop().unwrap();
    assert_eq!(context.map(|(name, _)| sent.line(name)), [None, None]);
}

#[tokio::test]
async fn an_http2_app_reaches_an_http1_bank() {
    let (world, sidecar) = running().await;
    let answer = send_http2(sidecar.address("icard"), "POST", "/_test/echo", &[("x-a", "1")], "hello").await.with(200);
    assert_eq!(answer.json()["version"], "HTTP/1.1");
    let sent = seen(&world).pop().unwrap();
    assert_eq!((sent.line("x-a"), sent.body.bytes), (Some("1"), 5));
    assert_eq!(sent.lines.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).count(), 1);
}

#[tokio::test]
async fn a_foreign_host_is_answered_421_and_reaches_no_bank() {
    let (world, sidecar) = running_with(|world| {
        world.append("[banks.icard.access]\nhosts = [\"bank.internal\"]");
    })
    .await;
    let address = sidecar.address("icard");
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "bank.internal.evil.example", "127.0.0.1.nip.io"]
    {
        send(address, "GET", "/v1/accounts", &[("host", host)], "").await.problem("wrong-host", 421);
    }
    assert!(seen(&world).is_empty());
    let port = address.port();
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "bank.internal", &format!("localhost:{port}")] {
        send(address, "GET", "/v1/accounts", &[("host", host)], "").await.with(200);
    }
}

#[tokio::test]
async fn web_pages_and_callers_without_the_key_are_refused() {
    let (world, sidecar) = running().await;
    let address = sidecar.address("icard");
    for header in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let problem = send(address, "GET", "/v1/accounts", &[header], "").await.problem("caller-refused", 403);
        assert_eq!(problem["bank"], "icard");
    }
    assert!(seen(&world).is_empty());

    world.write("access-key", "open sesame\n");
    world.append("[banks.icard.access]\nkey = { file = \"access-key\" }");
    let sidecar = world.run();
    let address = sidecar.address("icard");
    get(address, "/v1/accounts").await.problem("caller-refused", 403);
    for key in ["", "open", "open sesame2"] {
        send(address, "GET", "/v1/accounts", &[("Bankside-Key", key)], "").await.problem("caller-refused", 403);
    }
    assert!(seen(&world).is_empty());
    send(address, "GET", "/v1/accounts", &[("Bankside-Key", "open sesame")], "").await.with(200);
    assert_eq!(seen(&world)[0].line("bankside-key"), None);
}

#[tokio::test]
async fn what_http_forbids_is_answered_with_a_problem_and_reaches_no_bank() {
    let (world, sidecar) = running().await;
    let address = sidecar.address("icard");
    let host = format!("Host: {address}\r\n");
    for request in [
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n".to_owned(),
        format!("GET http://evil.example/v1/accounts HTTP/1.1\r\n{host}\r\n"),
        format!("GET https://evil.example/v1/accounts HTTP/1.1\r\n{host}\r\n"),
        format!("GET v1/accounts HTTP/1.1\r\n{host}\r\n"),
        "GET /v1/accounts HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET /v1/accounts HTTP/1.1\r\n{host}{host}\r\n"),
        format!("POST /v1/accounts HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        format!("POST /v1/accounts HTTP/1.1\r\n{host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("GET /v1/accounts HTTP/1.1\r\n{host}X Y: z\r\n\r\n"),
        format!("GET /v1/accounts HTTP/1.1\r\n{host}X: a\r\n folded\r\n\r\n"),
        format!("GET /v1/ac counts HTTP/1.1\r\n{host}\r\n"),
    ] {
        // It reads to the end: the connection is closed.
        let answer = raw(address, &request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request}"));
        assert!(head.starts_with("HTTP/1.1 400 "), "{request}\n{head}");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("proxy-status: bankside; error="), "{request}\n{head}");
        assert!(head.contains("content-type: application/problem+json"), "{request}\n{head}");
        let problem: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{request}\n{body}"));
        assert_eq!((&problem["type"], &problem["status"]), (&"urn:bankside:bad-request".into(), &400.into()));
    }
    assert!(seen(&world).is_empty());
}

#[tokio::test]
async fn an_absolute_target_of_this_listener_is_served() {
    let (world, sidecar) = running().await;
    let address = sidecar.address("icard");
    let request =
        format!("GET http://{address}/v1/accounts?x HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    assert!(raw(address, &request).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(seen(&world)[0].target, "/v1/accounts?x");
}

#[tokio::test]
async fn a_bank_that_is_gone_is_unreachable() {
    let (world, sidecar) = running().await;
    let address = sidecar.address("icard");
    let World { sandbox, .. } = world;
    get(address, "/v1/accounts").await.with(200);
    sandbox.stop().await;
    let answer = get(address, "/v1/accounts").await;
    answer.problem("bank-unreachable", 502);
    assert_eq!(answer.header("proxy-status"), "bankside; error=connection_refused");
}

#[tokio::test]
async fn a_bank_that_resets_or_cuts_is_unreachable_and_a_post_is_not_sent_again() {
    let (world, sidecar) = running().await;
    let (address, control) = (sidecar.address("icard"), world.sandbox.icard().control());
    control.set_door(Door::Reset);
    control.cut_connections();
    until_found("the reset is told", async || (get(address, "/v1/accounts").await.status == 502).then_some(())).await;
    get(address, "/v1/accounts").await.problem("bank-unreachable", 502);
    control.set_door(Door::Open);

    control.clear_requests();
    control.plan(Plan::always(Target::Path("/v1/payments".into()), Fault::CutHandled));
    let json = [("content-type", "application/json")];
    let answer = send(address, "POST", "/v1/payments/sepa-credit-transfers", &json, "{}").await;
    let problem = answer.problem("bank-unreachable", 502);
    assert!(problem["remedy"].as_str().unwrap().contains("may have received this request"), "{problem}");
    assert_eq!(seen(&world).len(), 1);
}

#[tokio::test]
async fn a_bank_whose_authority_is_not_trusted_is_told_as_such() {
    let (world, sidecar) = running().await;
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    drop(sidecar);
    let other =
        bankside::sandbox::Pki::new(bankside::words::Clock::system(), bankside::words::Random::system()).unwrap();
    world.write("ca.pem", other.server_ca_pem());
    let sidecar = world.run();
    let answer = get(sidecar.address("icard"), "/v1/accounts").await;
    let problem = answer.problem("bank-tls", 502);
    assert_eq!(answer.header("proxy-status"), "bankside; error=tls_certificate_error");
    assert!(problem["detail"].as_str().unwrap().contains("certificate or TLS was not accepted"), "{problem}");
}

#[tokio::test]
async fn a_refused_certificate_is_told_as_such() {
    let (world, sidecar) = running().await;
    let control = world.sandbox.icard().control();
    control.refuse_certificate(world.sandbox.qwac().serial());
    control.cut_connections();
    let answer = until_found("a handshake is refused", async || {
        let answer = get(sidecar.address("icard"), "/v1/accounts").await;
        (answer.status != 200).then_some(answer)
    });
    let answer = answer.await;
    let problem = answer.problem("bank-tls", 502);
    assert_eq!(answer.header("proxy-status"), "bankside; error=tls_alert_received");
    assert!(problem["detail"].as_str().unwrap().contains("refused our certificate"), "{problem}");
}

#[tokio::test]
async fn a_certificate_of_nobody_the_bank_knows_is_refused_by_it() {
    let (world, sidecar) = running().await;
    drop(sidecar);
    let other =
        bankside::sandbox::Pki::new(bankside::words::Clock::system(), bankside::words::Random::system()).unwrap();
    let stranger = other.qwac(&QwacOptions::default()).unwrap();
    world.write("qwac.pem", stranger.chain_pem());
    world.write("qwac-key.pem", stranger.key_pem().expose());
    let sidecar = world.run();
    get(sidecar.address("icard"), "/v1/accounts").await.problem("bank-tls", 502);
}

#[tokio::test]
async fn a_bank_that_takes_too_long_is_a_timeout() {
    let (world, sidecar) = running_with(|world| {
        world.append("[banks.icard.timeouts]\nconnect = \"300ms\"\nresponse = \"300ms\"");
    })
    .await;
    let (address, control) = (sidecar.address("icard"), world.sandbox.icard().control());
    control.plan(Plan::next(1, Target::API, Fault::Delay(60_000)));
    let answer = send(address, "POST", "/v1/consents", &[], "{}").await;
    answer.problem("bank-timeout", 504);
    assert_eq!(answer.header("proxy-status"), "bankside; error=http_response_timeout");

    control.set_door(Door::Stall);
    control.cut_connections();
    let stalled = until_found("no connection is made", async || {
        let answer = get(address, "/v1/accounts").await;
        (answer.status != 200).then_some(answer)
    });
    let stalled = stalled.await;
    stalled.problem("bank-timeout", 504);
    assert_eq!(stalled.header("proxy-status"), "bankside; error=connection_timeout");
}

#[tokio::test]
async fn a_routes_own_timeout_counts() {
    let (world, sidecar) = running_with(|world| {
        world.append(
            "[[banks.icard.routes]]\npath = \"/v1/consents\"\ntimeout = \"300ms\"\n[[banks.icard.routes]]\npath = \"/**\"",
        );
    })
    .await;
    let control = world.sandbox.icard().control();
    control.plan(Plan::always(Target::Path("/v1/consents".into()), Fault::Delay(60_000)));
    control.plan(Plan::always(Target::Path("/v1/accounts".into()), Fault::Delay(600)));
    send(sidecar.address("icard"), "POST", "/v1/consents", &[], "{}").await.problem("bank-timeout", 504);
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
}

#[tokio::test]
async fn one_request_more_than_there_are_places_for_is_told_to_come_again() {
    let (world, sidecar) = running_with(|world| {
        world.append("[banks.icard.limits]\nin_flight = 1\nqueue = \"100ms\"");
    })
    .await;
    let (address, control) = (sidecar.address("icard"), world.sandbox.icard().control());
    control.plan(Plan::next(1, Target::API, Fault::Hang));
    let mut hanging = tokio::net::TcpStream::connect(address).await.expect("somebody listens");
    let request = format!("GET /v1/accounts HTTP/1.1\r\nHost: {address}\r\n\r\n");
    hanging.write_all(request.as_bytes()).await.expect("it is taken");
    until("the first one is at the bank", || control.counters().faults == 1).await;
    let answer = get(address, "/v1/accounts").await;
    answer.problem("overloaded", 503);
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1), "{answer:?}");
    // Its place is free again when the app is gone. A reset says so at once; an app that has only closed may still listen.
    socket2::SockRef::from(&hanging).set_linger(Some(Duration::ZERO)).expect("it can be set");
    drop(hanging);
    until_found("a place is free", async || (get(address, "/v1/accounts").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_location_that_leads_into_the_bank_leads_back_to_the_sidecar() {
    let world = World::start().await;
    world.login_everywhere().await;
    let sidecar = world.run();
    let icard = sidecar.address("icard");
    let answer = get(icard, "/_test/redirect").await.with(302);
    assert_eq!(answer.header("location"), format!("http://{icard}/v1/accounts"));
    let followed = answer.header("location").strip_prefix(&format!("http://{icard}")).unwrap().to_owned();
    get(icard, &followed).await.with(200);
    let named = send(icard, "GET", "/_test/redirect", &[("host", "localhost:1234")], "").await.with(302);
    assert_eq!(named.header("location"), "http://localhost:1234/v1/accounts");
    let elsewhere = get(icard, "/_test/redirect?to=https://login.example/x").await.with(302);
    assert_eq!(elsewhere.header("location"), "https://login.example/x");

    // A base URL with a path: what is below it comes back without it, what is beside it stays.
    let (cnb, base) = (sidecar.address("cnb"), &world.sandbox.cnb().urls().base);
    for (to, expected) in [
        (format!("{base}/cobs/5.0/my/accounts?page=2"), format!("http://{cnb}/cobs/5.0/my/accounts?page=2")),
        ("/psd2-cobs/cobs/5.0/my/accounts".to_owned(), "/cobs/5.0/my/accounts".to_owned()),
        ("/elsewhere".to_owned(), "/elsewhere".to_owned()),
    ] {
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("to", &to).finish();
        let answer = get(cnb, &format!("/_test/redirect?{query}")).await.with(302);
        assert_eq!(answer.header("location"), expected);
    }
}

#[tokio::test]
async fn a_unix_socket_is_listened_on_a_stale_one_is_replaced_and_both_addresses_serve() {
    let world = World::start().await;
    world.replace(
        "[banks.icard]\nprofile = \"icard\"\nlisten = \"127.0.0.1:0\"",
        "[banks.icard]\nprofile = \"icard\"\nlisten = [\"unix:icard.sock\", \"127.0.0.1:0\"]",
    );
    world.replace("[admin]\nlisten = \"127.0.0.1:0\"", "[admin]\nlisten = \"unix:admin.sock\"");
    world.login("icard", "default").await;
    let socket = world.dir().join("icard.sock");
    // What a killed process leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let sidecar = world.run();
    get_unix(&socket, "/v1/accounts").await.with(200);
    get_unix(&world.dir().join("admin.sock"), "/livez").await.with(200);
    let tcp = sidecar.listeners("icard").into_iter().find(|address| !address.contains("sock")).expect("a port");
    get(tcp.parse().unwrap(), "/v1/accounts").await.with(200);
    assert_eq!(sidecar.terminate(), Some(0));
    assert!(!socket.exists(), "the socket goes with its listener");
}

#[tokio::test]
async fn an_http_1_0_app_gets_no_chunks() {
    let (_world, sidecar) = running().await;
    let address = sidecar.address("icard");
    let answer = raw(address, "GET /_test/blob?bytes=1000&chunked=true HTTP/1.0\r\n\r\n").await;
    let (head, _) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1."), "{head}");
    assert!(head.contains(" 200 ") && !head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    let request = "GET /v1/accounts HTTP/1.0\r\nHost: localhost\r\n\r\n";
    let accounts = raw(address, request).await;
    let (_, body) = accounts.split_once("\r\n\r\n").expect("a head");
    let accounts: Value = serde_json::from_str(body).expect("JSON, whole and unchunked");
    assert!(accounts["accounts"].is_array());
}

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    let (world, sidecar) = running().await;
    let address = sidecar.address("icard");
    let one = format!("GET /v1/accounts HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let last = format!("GET /v1/accounts HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answers = raw(address, &format!("{one}{one}{last}")).await;
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 3, "{answers}");
    assert_eq!(seen(&world).len(), 3);
    let connections: std::collections::BTreeSet<u64> = seen(&world).iter().map(|request| request.connection).collect();
    assert_eq!(connections.len(), 1, "the bank's connection is used again");
}

#[tokio::test]
async fn the_operators_side_says_what_lives_what_is_missing_and_what_was_counted() {
    let world = World::start().await;
    let sidecar = world.run();
    let admin = sidecar.address("admin");
    get(admin, "/livez").await.with(200);
    let missing = get(admin, "/readyz").await.with(503).json();
    let bank = |readiness: &Value, name: &str| -> Value {
        let banks = readiness["banks"].as_array().expect("the banks").clone();
        banks.into_iter().find(|bank| bank["bank"] == name).expect("the bank")
    };
    assert_eq!(missing["ready"], false);
    assert_eq!(
        (&bank(&missing, "icard")["ready"], &bank(&missing, "cnb-sandbox")["ready"]),
        (&false.into(), &true.into())
    );
    assert!(bank(&missing, "icard").to_string().contains("bankside login icard"), "{missing}");
    assert!(bank(&missing, "cnb").to_string().contains("aisp"), "{missing}");

    world.login_everywhere().await;
    let ready = until_found("all banks are ready", async || {
        let answer = get(admin, "/readyz").await;
        (answer.status == 200).then(|| answer.json())
    });
    let ready = ready.await;
    assert_eq!((&ready["ready"], &bank(&ready, "icard")["missing"]), (&true.into(), &serde_json::json!([])));

    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    let metrics = String::from_utf8(get(admin, "/metrics").await.with(200).body.to_vec()).unwrap();
    assert!(metrics.lines().any(|line| line.starts_with("bankside_") && line.contains("bank=\"icard\"")), "{metrics}");
    let foreign = metrics.lines().find(|line| !line.starts_with("bankside_") && !line.starts_with("# "));
    assert_eq!(foreign, None);

    let foreign = send(admin, "GET", "/readyz", &[("host", "evil.example")], "").await;
    assert_eq!(foreign.status, 421);
    let page = send(admin, "GET", "/metrics", &[("sec-fetch-site", "cross-site")], "").await;
    assert_eq!(page.status, 403);
}

#[tokio::test]
async fn the_log_has_one_event_a_request_with_the_keys_of_the_contract() {
    let (_world, sidecar) = running().await;
    let headers = [("X-Request-ID", "99391c7e-ad88-49ec-a2ad-99ddcb1f7721")];
    send(sidecar.address("icard"), "GET", "/v1/accounts?iban=SECRETQUERY", &headers, "").await.with(200);
    send(sidecar.address("icard"), "GET", "/v1/accounts", &[("Bankside-Grant", "bob")], "").await.with(503);
    let events = until_found("the events are written", async || {
        let log = sidecar.log();
        let events: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let requests: Vec<Value> = events.into_iter().filter(|event| event["method"].is_string()).collect();
        (requests.len() >= 2).then_some(requests)
    });
    let mut events = events.await;
    assert_eq!(events.len(), 2, "{events:?}");
    // Each came from a connection of its own, so from another worker, and they may be written in any order.
    events.sort_by_key(|event| event["status"].as_u64());
    let first = &events[0];
    for (key, value) in [
        ("bank", "icard".into()),
        ("grant", "default".into()),
        ("method", "GET".into()),
        ("path", "/v1/accounts".into()),
        ("status", Value::from(200)),
        ("request_id", "99391c7e-ad88-49ec-a2ad-99ddcb1f7721".into()),
    ] {
        assert_eq!(first[key], value, "{key}: {first}");
    }
    assert!(first["duration_ms"].is_u64(), "{first}");
    assert_eq!((&events[1]["kind"], &events[1]["status"]), (&"needs-authorization".into(), &503.into()));
    let made = events[1]["request_id"].as_str().expect("an id of the log alone");
    assert_eq!(made.len(), first["request_id"].as_str().expect("an id").len(), "{made}");
    assert!(!sidecar.log().contains("SECRETQUERY"));
}

#[tokio::test]
async fn a_method_does_not_fill_the_log() {
    let (_world, sidecar) = running().await;
    let request =
        format!("{} /v1/accounts HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n", "M".repeat(60_000));
    assert!(raw(sidecar.address("icard"), &request).await.starts_with("HTTP/1.1 421 "));
    let method = until_found("the event is written", async || {
        let log = sidecar.log();
        let mut events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.find_map(|event| Some(event["method"].as_str()?.to_owned()))
    });
    assert_eq!(method.await, "M".repeat(256));
}

#[tokio::test]
async fn what_is_refused_before_it_is_a_request_leaves_an_event_too() {
    let (_world, sidecar) = running().await;
    let answer = raw(sidecar.address("icard"), "GET /SECRETPATH HTTP/1.1\r\nHost localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let event = until_found("the event is written", async || {
        let log = sidecar.log();
        let mut events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.find(|event| event["target"] == "bankside::access")
    })
    .await;
    assert_eq!(
        (&event["bank"], &event["kind"], &event["status"]),
        (&"icard".into(), &"bad-request".into(), &400.into())
    );
    assert_eq!((&event["method"], &event["path"], &event["complete"]), (&Value::Null, &Value::Null, &true.into()));
    assert!(!sidecar.log().contains("SECRETPATH"));
}

#[tokio::test]
async fn sigterm_lets_the_request_under_way_end_and_exits_0() {
    let (world, sidecar) = running().await;
    let (address, control) = (sidecar.address("icard"), world.sandbox.icard().control());
    control.plan(Plan::next(1, Target::API, Fault::Delay(700)));
    let under_way = tokio::spawn(async move { get(address, "/v1/accounts").await });
    until("it is at the bank", || control.counters().faults == 1).await;
    let ended = tokio::task::spawn_blocking(move || sidecar.terminate());
    assert_eq!(under_way.await.expect("an answer").status, 200);
    assert_eq!(ended.await.expect("an exit code"), Some(0));
    assert!(refuses(address), "nobody listens any more");
}

fn refuses(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_err()
        && TcpListener::bind(address).is_ok()
}
