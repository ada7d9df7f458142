//! The operator's side: the API, the page in a real browser, the metrics, and what is made of them in `deploy/`.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use browser::Browser;
use fantoccini::Locator;
use serde_json::{Value, json};
use support::http::{Answer, get, raw, send};
use support::parts::have;
use support::program::Sidecar;
use support::wait::until_found;
use support::world::{World, free_port};

const MEANT: (&str, &str) = ("Bankside-Admin", "1");

/// A change as a program makes it.
async fn change(admin: SocketAddr, method: &str, path: &str) -> Answer {
    send(admin, method, path, &[MEANT], "").await
}

/// One bank of `GET /api/banks`.
async fn bank(admin: SocketAddr, name: &str) -> Value {
    let banks = get(admin, "/api/banks").await.with(200).json();
    let found = banks.as_array().expect("an array").iter().find(|bank| bank["bank"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {banks}")).clone()
}

fn grant<'a>(bank: &'a Value, name: &str) -> Option<&'a Value> {
    bank["grants"].as_array().expect("grants").iter().find(|grant| grant["grant"] == name)
}

/// The problem that this is.
fn problem(answer: &Answer, kind: &str, status: u16) {
    let problem = answer.json();
    assert_eq!((answer.status, &problem["type"]), (status, &json!(format!("urn:bankside:{kind}"))), "{problem}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(problem["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{problem}");
}

#[tokio::test]
async fn a_grant_is_authorized_renewed_and_removed_by_the_api_alone() {
    let world = World::start().await;
    let sidecar = world.run();
    let admin = sidecar.address("admin");
    let before = bank(admin, "icard").await;
    assert_eq!((&before["ready"], &before["reachability"]["last"]), (&json!(false), &json!("untried")), "{before}");
    assert_eq!(grant(&before, "default").unwrap()["state"], "needs_authorization");
    assert!(before["certificate"]["roles"].as_array().is_some_and(|roles| roles.contains(&json!("PSP_AI"))));
    assert!(before["certificate"]["days_left"].is_i64(), "{before}");

    let begun = change(admin, "POST", "/api/banks/icard/grants/default/authorize").await.with(200).json();
    assert!(begun["expires_in"].as_u64().is_some_and(|seconds| seconds > 60), "{begun}");
    let url = begun["authorization_url"].as_str().expect("a text");
    let callback = world.sandbox.approve(url).await.expect("the customer approves");
    let pasted = json!({ "url": callback }).to_string();
    let granted = send(admin, "POST", "/api/banks/icard/callback", &[MEANT], pasted.clone()).await.with(200).json();
    assert_eq!((&granted["grant"], &granted["state"]), (&json!("default"), &json!("active")));
    problem(&send(admin, "POST", "/api/banks/icard/callback", &[MEANT], pasted).await, "unknown-login", 400);

    let first = bank(admin, "icard").await;
    assert_eq!((&first["ready"], &first["reachability"]["last"]), (&json!(true), &json!("reached")), "{first}");
    change(admin, "POST", "/api/banks/icard/grants/default/renew").await.with(200);
    change(admin, "DELETE", "/api/banks/icard/grants/default").await.with(204);
    assert_eq!(grant(&bank(admin, "icard").await, "default").unwrap()["state"], "needs_authorization");
    problem(&change(admin, "DELETE", "/api/banks/icard/grants/default").await, "unknown-grant", 404);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_with_a_remedy() {
    let world = World::start().await;
    let sidecar = world.run();
    let admin = sidecar.address("admin");
    for name in ["a%2Fb", "-x", "..", "a%20b", "%C3%A4", &"x".repeat(129)] {
        let path = format!("/api/banks/icard/grants/{name}/authorize");
        problem(&change(admin, "POST", &path).await, "unknown-grant", 400);
    }
    problem(&change(admin, "POST", "/api/banks/icard/grants/%FF/authorize").await, "bad-request", 400);
    problem(&change(admin, "POST", "/api/banks/nobody/grants/default/authorize").await, "not-found", 404);
    problem(&change(admin, "POST", "/api/banks/cnb-sandbox/grants/default/authorize").await, "no-login", 409);
    problem(&change(admin, "DELETE", "/api/banks/cnb-sandbox/grants/default").await, "fixed", 409);
    problem(&change(admin, "POST", "/api/banks/icard/grants/other/renew").await, "unknown-grant", 404);
    for content in ["", "{}", "[]", "url=x"] {
        problem(&send(admin, "POST", "/api/banks/icard/callback", &[MEANT], content).await, "bad-request", 400);
    }
    let no_callback = send(admin, "POST", "/api/banks/icard/callback", &[MEANT], r#"{"url":"https://x/"}"#).await;
    problem(&no_callback, "not-a-callback", 400);
    problem(&get(admin, "/nothing").await, "not-found", 404);
    let back = get(admin, "/callback?code=x&state=never-given-out").await.with(400);
    assert!(String::from_utf8_lossy(&back.body).contains("was not begun here"));
}

#[tokio::test]
async fn a_change_that_is_not_meant_or_comes_from_elsewhere_is_refused() {
    let world = World::start().await;
    let sidecar = world.run();
    let admin = sidecar.address("admin");
    let path = "/api/banks/icard/grants/default/authorize";
    let own = format!("http://{admin}");
    send(admin, "POST", path, &[("origin", &own)], "").await.with(200);
    for headers in [
        vec![],
        vec![("Bankside-Admin", "yes")],
        vec![MEANT, ("origin", "http://evil.example")],
        vec![MEANT, ("origin", "null")],
        vec![("origin", own.as_str()), ("sec-fetch-site", "cross-site")],
    ] {
        problem(&send(admin, "POST", path, &headers, "").await, "caller-refused", 403);
    }
    problem(&send(admin, "POST", path, &[MEANT, ("host", "evil.example")], "").await, "wrong-host", 421);
    let back = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    send(admin, "GET", "/callback?state=x&code=y", &back, "").await.with(400);
}

#[tokio::test]
async fn a_request_that_can_be_read_as_one_for_another_host_or_from_another_page_is_refused() {
    let world = World::start().await;
    let sidecar = world.run();
    let admin = sidecar.address("admin");
    let status = async |target: &str, fields: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
        raw(admin, &request).await.get(9..12).unwrap_or_default().to_owned()
    };
    assert_eq!(status("/api/banks", "").await, "200");
    assert_eq!(status("/api/banks", "Host: evil.example\r\n").await, "400");
    assert_eq!(status("http://evil.example/api/banks", "").await, "400");
    assert_eq!(status(&format!("http://{admin}/api/banks"), "").await, "200");
    assert_eq!(status("/api/banks", "Origin: http://localhost\r\nOrigin: http://evil.example\r\n").await, "403");
}

#[tokio::test]
async fn the_document_describes_what_is_served() {
    let world = World::start().await;
    let sidecar = world.run();
    let admin = sidecar.address("admin");
    let document = get(admin, "/api/openapi.json").await.with(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let described: BTreeSet<&str> = methods.as_object().expect("methods").keys().map(String::as_str).collect();
        let path = path.replace("{bank}", "icard").replace("{grant}", "some");
        for method in ["get", "post", "delete", "put"] {
            let answer = send(admin, &method.to_uppercase(), &path, &[MEANT], "").await;
            assert_eq!(answer.status != 405, described.contains(method), "{method} {path}: {}", answer.status);
            if described.contains(method) {
                let status = answer.status.to_string();
                assert!(
                    !document["paths"][&path_of(&path)][method]["responses"][&status].is_null(),
                    "{method} {path}: {status}"
                );
            }
        }
    }
}

fn path_of(path: &str) -> String {
    path.replace("/icard", "/{bank}").replace("/some", "/{grant}")
}

#[tokio::test]
async fn a_scrape_counts_what_happened_and_names_no_grant() {
    let world = World::start().await;
    world.in_table("banks.icard", "consent_days = 90");
    world.login("icard", "a-customer-of-ours").await;
    let sidecar = world.run();
    let (app, admin) = (sidecar.address("icard"), sidecar.address("admin"));
    let named = [("Bankside-Grant", "a-customer-of-ours")];
    send(app, "GET", "/v1/accounts", &named, "").await.with(200);
    get(app, "/v1/accounts").await.problem("needs-authorization", 503);
    let text = scrape(admin).await;
    for line in [
        r#"bankside_requests_total{bank="icard",status="2xx"} 1"#,
        r#"bankside_problems_total{bank="icard",kind="needs-authorization"} 1"#,
        r#"bankside_bank_duration_seconds_count{bank="icard"} 1"#,
        r#"bankside_handshakes_total{bank="icard",endpoint="api",outcome="full"} 1"#,
        r#"bankside_grants{bank="icard",state="active"} 1"#,
        r#"bankside_grants{bank="icard",state="needs_authorization"} 1"#,
        r#"bankside_bank_ready{bank="icard"} 0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("bankside_consent_end_timestamp_seconds{bank=\"icard\"} "), "{text}");
    assert!(text.contains("bankside_certificate_end_timestamp_seconds{bank=\"icard\"} "), "{text}");
    assert!(!text.contains("a-customer-of-ours"));
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    assert!(families.clone().count() > 15 && families.clone().all(|line| line.starts_with("bankside_")), "{text}");
}

#[tokio::test]
async fn a_scrape_comes_in_the_format_that_is_asked_for() {
    let world = World::start().await;
    let sidecar = world.run();
    let admin = sidecar.address("admin");
    let prometheus = ("text/plain; version=0.0.4; charset=utf-8", "# TYPE bankside_build_info gauge");
    let openmetrics = ("application/openmetrics-text; version=1.0.0; charset=utf-8", "# TYPE bankside_build info");
    for (accept, (media_type, line), has_end) in [
        (&[][..], prometheus, false),
        (&[("Accept", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")], prometheus, false),
        (&[("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.3")], openmetrics, true),
    ] {
        let answer = send(admin, "GET", "/metrics", accept, "").await.with(200);
        assert_eq!(answer.headers["content-type"], media_type);
        let text = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        assert_eq!(text.ends_with("# EOF\n"), has_end, "{text}");
    }
}

async fn scrape(admin: SocketAddr) -> String {
    String::from_utf8(get(admin, "/metrics").await.with(200).body.to_vec()).expect("UTF-8")
}

fn deployed(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// The metrics that a text speaks of.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("bankside_")).map(str::to_owned).collect()
}

#[tokio::test]
async fn rules_and_dashboard_speak_of_metrics_that_there_are() {
    let world = World::start().await;
    world.in_table("banks.icard", "consent_days = 90");
    world.login("icard", "default").await;
    let sidecar = world.run();
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    let there = metrics_in(&scrape(sidecar.address("admin")).await);
    for name in ["prometheus-rules.yaml", "grafana-dashboard.json"] {
        let text = fs::read_to_string(deployed(name)).expect("it is there");
        let spoken_of = metrics_in(&text);
        let missing: Vec<_> = spoken_of.difference(&there).collect();
        assert!(spoken_of.len() > 8 && missing.is_empty(), "{name}: {missing:?}");
    }
    let dashboard = fs::read_to_string(deployed("grafana-dashboard.json")).expect("it is there");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 8));
}

#[test]
fn prometheus_takes_the_rules() {
    if !have("promtool", "the check of the alert rules") {
        return;
    }
    let checked = Command::new("promtool").args(["check", "rules"]).arg(deployed("prometheus-rules.yaml")).output();
    let checked = checked.expect("promtool runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// Whether there is a browser.
fn have_browser(test: &str) -> bool {
    have("chromedriver", test) && have("chromium", test)
}

/// Banks whose logins end at the sidecar's own listener.
async fn world_that_ends_here() -> World {
    let port = free_port();
    let world = World::with(|options| options.icard.redirect_uri = format!("http://127.0.0.1:{port}/callback")).await;
    world.replace("[admin]\nlisten = \"127.0.0.1:0\"", &format!("[admin]\nlisten = \"127.0.0.1:{port}\""));
    world
}

fn page(sidecar: &Sidecar) -> String {
    format!("http://{}/", sidecar.address("admin"))
}

const STATE: &str = "tr[data-grant^='default of'] .badge";

#[tokio::test]
async fn from_nothing_to_an_authorized_bank_by_the_page_alone() {
    if !have_browser("an authorization by the page") {
        return;
    }
    let world = world_that_ends_here().await;
    let sidecar = world.run();
    let browser = Browser::start().await;
    browser.open(&page(&sidecar)).await;
    pictures(&browser, "nothing").await;
    browser.shows(STATE, "needs authorization").await;
    browser.click("[id='icard/default/authorize']").await;
    browser.shows("h1", "asks for access").await;
    browser.click("#approve").await;
    browser.shows("h1", "Access is authorized").await;
    pictures(&browser, "came-back").await;
    browser.click("a.button").await;
    browser.shows(STATE, "active").await;
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    browser.shows("#icard-live", "reached").await;
    pictures(&browser, "authorized").await;
    assert_no_secret(&world, &browser.client.source().await.expect("the page"));

    browser.click("[id='icard/default/renew']").await;
    browser.shows("#news", "fresh token").await;
    browser.click("[id='icard/default/remove']").await;
    browser.shows("#remove-title", "default").await;
    browser.shows("#remove", "no revocation is configured for this bank").await;
    pictures(&browser, "removal").await;
    browser.click("#remove [data-close]").await;
    assert_eq!(world.state("icard", "default").as_deref(), Some("active"), "who does not confirm removes nothing");
    browser.click("[id='icard/default/remove']").await;
    browser.click("#remove-yes").await;
    browser.shows(STATE, "needs authorization").await;
    browser.close().await;
}

#[tokio::test]
async fn a_login_that_ends_elsewhere_is_pasted_and_the_page_shows_others_changes() {
    if !have_browser("a pasted login by the page") {
        return;
    }
    let world = World::start().await;
    let sidecar = world.run();
    let browser = Browser::start().await;
    browser.open(&page(&sidecar)).await;
    browser.click("[id='icard/default/authorize']").await;
    let link = until_found("the link to the bank", async || {
        let link = browser.client.find(Locator::Css("#authorize[open] #authorize-open")).await.ok()?;
        link.attr("href").await.ok()?
    })
    .await;
    pictures(&browser, "paste").await;
    let callback = world.sandbox.approve(&link).await.expect("the customer approves");
    let field = browser.client.find(Locator::Css("#authorize-url")).await.expect("the field");
    field.send_keys("https://app.example/nothing").await.expect("it can be typed");
    browser.click("#authorize-form button[type=submit]").await;
    browser.shows("#authorize .problem", "not the address").await;
    field.clear().await.expect("it can be cleared");
    field.send_keys(&callback).await.expect("it can be typed");
    browser.click("#authorize-form button[type=submit]").await;
    browser.shows(STATE, "active").await;

    // Another process changes something; nobody touches the page.
    world.login("icard", "work").await;
    browser.shows("tr[data-grant^='work of'] .badge", "active").await;
    browser.shows("#news", "work of").await;
    browser.close().await;
}

#[tokio::test]
async fn trouble_is_seen_on_the_page_before_anybody_is_refused() {
    if !have_browser("trouble on the page") {
        return;
    }
    let world = World::start().await;
    world.in_table("banks.icard", "consent_days = 10");
    world.login("icard", "default").await;
    let sidecar = world.run();
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    let browser = Browser::start().await;
    browser.open(&page(&sidecar)).await;
    browser.shows("#icard-live .note.watch", "The consent of default ends in 9 days").await;
    world.write("icard-client-secret", "another");
    // The reload is told by the log; the token is still good.
    until_found("the reload", async || sidecar.log().contains("\"message\":\"reload\"").then_some(())).await;
    browser.click("[id='icard/default/renew']").await;
    browser.shows("#news", "invalid_client").await;
    browser.shows("#icard-live .why", "401: invalid_client").await;
    browser.shows("#icard-live .why", "Check client_id, client_secret").await;
    pictures(&browser, "trouble").await;
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
    browser.close().await;
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_change_anything() {
    if !have_browser("a foreign page") {
        return;
    }
    let world = World::start().await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    let browser = Browser::start().await;
    // The page of a bank's listener is of another origin, though of the same machine.
    browser.open(&format!("http://{}/", sidecar.address("icard"))).await;
    let attack = r"
        const [admin, done] = [arguments[0], arguments[1]];
        const path = admin + 'api/banks/icard/grants/default';
        const tries = [
            fetch(path, { method: 'DELETE', headers: { 'Bankside-Admin': '1' } }),
            fetch(path + '/authorize', { method: 'POST' }),
            fetch(path + '/renew', { method: 'POST', mode: 'no-cors' }),
            fetch(admin + 'api/banks'),
        ];
        Promise.allSettled(tries).then((all) => done(all.map((one) => one.status)));";
    let told = browser.client.execute_async(attack, vec![json!(page(&sidecar))]).await.expect("it runs");
    assert_eq!(told, json!(["rejected", "rejected", "rejected", "rejected"]), "what came of it is not to be seen");
    assert_eq!(world.state("icard", "default").as_deref(), Some("active"));
    assert!(
        scrape(sidecar.address("admin")).await.contains(r#"bankside_renewals_total{bank="icard",outcome="renewed"} 0"#)
    );
    browser.close().await;
}

#[tokio::test]
async fn the_page_can_be_read_without_its_script_and_shows_no_secret() {
    let world = World::start().await;
    world.login_everywhere().await;
    let sidecar = world.run();
    let admin = sidecar.address("admin");
    let answer = get(admin, "/").await.with(200);
    let csp = answer.header("content-security-policy");
    assert!(csp.contains("default-src 'none'") && !csp.contains("unsafe"), "{csp}");
    let html = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
    for word in ["active", "PSP_AI", "days</strong> left", "Consent ends", "reachab"] {
        assert!(html.to_lowercase().contains(&word.to_lowercase()), "{word} is not in {html}");
    }
    assert!(!html.contains(" style=") && !html.contains("onclick") && !html.contains("<style"), "{html}");
    assert_eq!(html.matches("<script").count(), 1, "{html}");
    assert_no_secret(&world, &html);
    assert_no_secret(&world, &get(admin, "/api/banks").await.json().to_string());
    assert_no_secret(&world, &scrape(admin).await);
}

fn assert_no_secret(world: &World, text: &str) {
    for (bank, grant) in bankside::sandbox::tour::GRANTS {
        if world.state(bank, grant).as_deref() != Some("active") {
            continue;
        }
        let revealed = world.reveal(bank, grant);
        for token in ["access_token", "refresh_token"] {
            if let Some(token) = revealed[token].as_str() {
                assert!(!text.contains(token), "a token of {bank}");
            }
        }
    }
    let secret = fs::read_to_string(world.dir().join("icard-client-secret")).expect("it is there");
    assert!(!text.contains(secret.trim()), "the client's secret");
}

/// Pictures of the page on a desk and on a phone, light and dark, where somebody wants to look.
async fn pictures(browser: &Browser, name: &str) {
    if std::env::var_os("BANKSIDE_TEST_PICTURES").is_none() {
        return;
    }
    for (device, width, height) in [("desk", 1200, 1100), ("phone", 500, 1000)] {
        browser.client.set_window_size(width, height).await.expect("a size");
        for scheme in ["light", "dark"] {
            scheme_is(browser, scheme).await;
            browser.picture(&format!("{name}-{device}-{scheme}.png")).await;
        }
    }
    scheme_is(browser, "light").await;
    browser.client.set_window_size(1200, 1100).await.expect("a size");
}

/// What the person prefers, through the browser's developer protocol.
async fn scheme_is(browser: &Browser, scheme: &str) {
    let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    browser.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
}
