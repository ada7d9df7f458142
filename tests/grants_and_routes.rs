//! Which request gets which grant's token, which requests pass at all, and grants as the command line shows them.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use bankside::sandbox::{Bank, Endpoint, RecordedRequest};
use serde_json::{Value, json};
use support::http::{Answer, get, send};
use support::program::bankside;
use support::wait::until_found;
use support::world::World;

/// The last API request that the bank saw.
fn last_request(bank: &Bank) -> RecordedRequest {
    let requests = bank.control().requests();
    requests.into_iter().rfind(|request| request.endpoint != Endpoint::Token).expect("the bank saw a request")
}

fn bearer(grant: &Value) -> String {
    format!("Bearer {}", grant["access_token"].as_str().expect("a token"))
}

/// How many API requests the bank saw.
fn api_requests(bank: &Bank) -> u64 {
    bank.control().counters().requests(Endpoint::Api)
}

const PAYMENT: &str = r#"{"paymentIdentification":{"instructionIdentification":"1"},"amount":{"instructedAmount":{"value":100.5,"currency":"CZK"}},"debtorAccount":{"identification":{"iban":"CZ9507100000000200014539"}},"creditorAccount":{"identification":{"iban":"CZ6508000000192000145399"}}}"#;

#[tokio::test]
async fn payments_go_with_the_grant_for_payments_and_accounts_with_the_one_for_accounts() {
    let world = World::start().await;
    world.login("cnb", "aisp").await;
    world.login("cnb", "pisp").await;
    let (aisp, pisp) = (world.reveal("cnb", "aisp"), world.reveal("cnb", "pisp"));
    assert_ne!(bearer(&aisp), bearer(&pisp));
    let sidecar = world.run();
    let cnb = sidecar.address("cnb");

    for version in ["2.0", "5.0"] {
        get(cnb, &format!("/cobs/{version}/my/accounts")).await.with(200);
        assert_eq!(last_request(world.sandbox.cnb()).line("authorization"), Some(bearer(&aisp).as_str()));
        let json = [("content-type", "application/json")];
        let answer = send(cnb, "POST", &format!("/cobs/{version}/my/payments"), &json, PAYMENT).await;
        assert!(![401, 403, 503].contains(&answer.status), "the scope is the right one: {answer:?}");
        assert_eq!(last_request(world.sandbox.cnb()).line("authorization"), Some(bearer(&pisp).as_str()));
    }
    get(cnb, "/cobs/5.0/my/accounts/A1F0C2D4E6/balance").await.with(200);
    assert_eq!(last_request(world.sandbox.cnb()).line("authorization"), Some(bearer(&aisp).as_str()));
}

#[tokio::test]
async fn a_routes_grant_is_not_overridden() {
    let world = World::start().await;
    world.login("cnb", "aisp").await;
    world.login("cnb", "pisp").await;
    let sidecar = world.run();
    let path = "/cobs/5.0/my/accounts";
    let before = api_requests(world.sandbox.cnb());
    for other in ["pisp", "default", "nobodys"] {
        let refused = send(sidecar.address("cnb"), "GET", path, &[("Bankside-Grant", other)], "").await;
        refused.problem("route-refused", 403);
    }
    assert_eq!(api_requests(world.sandbox.cnb()), before, "nothing reached the bank");
    send(sidecar.address("cnb"), "GET", path, &[("Bankside-Grant", "aisp")], "").await.with(200);
    assert_eq!(last_request(world.sandbox.cnb()).line("bankside-grant"), None);
}

#[tokio::test]
async fn with_routes_what_matches_none_is_refused() {
    let world = World::start().await;
    world.login("cnb", "aisp").await;
    let sidecar = world.run();
    let before = api_requests(world.sandbox.cnb());
    for path in ["/", "/cobs/5.0/my", "/cobs/5.0/my/accountsx", "/cobs/my/accounts", "/cobs/5.0/applications", "/other"]
    {
        get(sidecar.address("cnb"), path).await.problem("route-refused", 403);
    }
    // What one reads as one path and another as another one must not get past the routes.
    for path in ["/cobs/5.0/my/accounts/../payments", "/cobs/5.0/my/accounts/%2e%2e/payments", "//cobs/5.0/my/accounts"]
    {
        get(sidecar.address("cnb"), path).await.problem("route-refused", 403);
    }
    assert_eq!(api_requests(world.sandbox.cnb()), before, "nothing reached the bank");
}

#[tokio::test]
async fn a_path_that_reads_in_two_ways_passes_where_the_first_route_is_for_all_paths() {
    let for_all = "[[banks.icard.routes]]\npath = \"/**\"\nmethods = [\"GET\"]\n";
    let behind_another = format!("[[banks.icard.routes]]\npath = \"/other\"\ndeny = true\n{for_all}");
    for (routes, passes) in [(for_all, true), (&behind_another, false)] {
        let world = World::start().await;
        world.append(routes);
        world.login("icard", "default").await;
        let sidecar = world.run();
        let icard = sidecar.address("icard");
        for path in ["/v1/x%2Dy", "/v1/a%2Fb", "/v1//x", "/v1/x;a=b"] {
            let answer = get(icard, path).await;
            if passes {
                assert_eq!((answer.status, last_request(world.sandbox.icard()).target.as_str()), (404, path));
            } else {
                answer.problem("route-refused", 403);
            }
        }
        send(icard, "POST", "/v1//x", &[], "").await.problem("route-refused", 403);
    }
}

#[tokio::test]
async fn a_denied_route_and_another_method_than_the_routes_are_refused() {
    let world = World::start().await;
    world.append(
        "[[banks.icard.routes]]\npath = \"/v1/consents/**\"\ndeny = true\n\
         [[banks.icard.routes]]\npath = \"/v1/**\"\nmethods = [\"GET\"]\n",
    );
    world.login("icard", "default").await;
    let sidecar = world.run();
    let icard = sidecar.address("icard");
    get(icard, "/v1/accounts").await.with(200);
    get(icard, "/v1/consents/1").await.problem("route-refused", 403);
    get(icard, "/V1/Consents/1").await.problem("route-refused", 403);
    send(icard, "POST", "/v1/payments/sepa-credit-transfers", &[], "{}").await.problem("route-refused", 403);
    assert!(world.sandbox.icard().control().payments().is_empty());
    let events: Vec<Value> = until_found("the events are written", async || {
        let log = sidecar.log();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let refused: Vec<Value> = events.filter(|event| event["kind"] == "route-refused").collect();
        (refused.len() == 3).then_some(refused)
    })
    .await;
    let routes = events.iter().map(|event| (event["method"].as_str(), event["route"].as_str()));
    let mut routes: Vec<_> = routes.map(|(method, route)| (method.unwrap_or_default(), route)).collect();
    routes.sort_unstable();
    let denied = ("GET", Some("/v1/consents/**"));
    assert_eq!(routes, [denied, denied, ("POST", None)], "the log names the route that denied");
}

#[tokio::test]
async fn a_bank_with_fixed_tokens_has_them_as_named_grants_and_is_shown_no_certificate() {
    let world = World::start().await;
    let sidecar = world.run();
    let (bank, address) = (world.sandbox.cnb_sandbox(), sidecar.address("cnb-sandbox"));
    for (grant, token) in [("aisp", "token-aisp"), ("pisp", "token-pisp"), ("no-scope", "token-no-scope")] {
        let answer = send(address, "GET", "/cobs/5.0/my/accounts", &[("Bankside-Grant", grant)], "").await;
        assert_eq!(answer.status == 200, grant == "aisp", "{grant}: {answer:?}");
        let seen = last_request(bank);
        assert_eq!(seen.line("authorization"), Some(format!("Bearer {token}").as_str()));
        assert_eq!(seen.serial, None, "no client certificate");
    }
    // There is no default token, and no login could make one.
    get(address, "/cobs/5.0/my/accounts").await.problem("unknown-grant", 400);
    let unknown = send(address, "GET", "/cobs/5.0/my/accounts", &[("Bankside-Grant", "other")], "").await;
    unknown.problem("unknown-grant", 400);
}

#[tokio::test]
async fn an_apps_certificate_field_passes_in_cnbs_sandbox_and_nowhere_else() {
    let world = World::start().await;
    world.append_icard("icard-sandbox", "icard-sandbox");
    world.login_everywhere().await;
    world.login("icard-sandbox", "default").await;
    let sidecar = world.run();
    let field = ("X-Client-Certificate", "an-apps-certificate");
    let sandbox = &world.sandbox;
    for (name, path, bank) in [
        ("icard", "/v1/accounts", sandbox.icard()),
        ("icard-sandbox", "/v1/accounts", sandbox.icard()),
        ("cnb", "/cobs/5.0/my/accounts", sandbox.cnb()),
    ] {
        send(sidecar.address(name), "GET", path, &[field], "").await.with(200);
        let seen = last_request(bank);
        assert_eq!((seen.line("x-client-certificate"), seen.serial.is_some()), (None, true), "{name}");
    }
    let headers = [field, ("Bankside-Grant", "aisp")];
    send(sidecar.address("cnb-sandbox"), "GET", "/cobs/5.0/my/accounts", &headers, "").await;
    assert_eq!(last_request(sandbox.cnb_sandbox()).line("x-client-certificate"), Some("an-apps-certificate"));
}

#[tokio::test]
async fn bankside_grant_picks_the_grant_and_a_grant_nobody_gave_needs_authorization() {
    let world = World::start().await;
    world.login("icard", "default").await;
    world.login("icard", "alice").await;
    let sidecar = world.run();
    let icard = sidecar.address("icard");
    for (headers, grant) in [(&[("Bankside-Grant", "alice")][..], "alice"), (&[], "default")] {
        send(icard, "GET", "/v1/accounts", headers, "").await.with(200);
        let seen = last_request(world.sandbox.icard());
        assert_eq!(seen.line("authorization"), Some(bearer(&world.reveal("icard", grant)).as_str()));
    }
    let missing = send(icard, "GET", "/v1/accounts", &[("Bankside-Grant", "bob")], "").await;
    let problem = missing.problem("needs-authorization", 503);
    assert_eq!((problem["grant"].as_str(), problem["bank"].as_str()), (Some("bob"), Some("icard")));
    assert!(problem["remedy"].as_str().unwrap().contains("bankside login icard bob"), "{problem}");
    for name in ["", "no such name", "../etc/passwd", &"x".repeat(300)] {
        send(icard, "GET", "/v1/accounts", &[("Bankside-Grant", name)], "").await.problem("unknown-grant", 400);
    }
}

#[tokio::test]
async fn listed_and_shown_grants_say_all_but_their_tokens() {
    let world = World::start().await;
    world.in_table("banks.icard", "consent_days = 90");
    world.login("icard", "default").await;
    let revealed = world.reveal("icard", "default");
    let tokens = ["access_token", "refresh_token"].map(|name| revealed[name].as_str().expect("a token").to_owned());

    let listed = bankside(&["grant", "list", "--json", "-c", world.config_arg()], "").with(0);
    let grants = listed.json();
    let grant = grants.as_array().unwrap().iter().find(|grant| grant["bank"] == "icard").expect("it is listed").clone();
    assert_eq!((&grant["grant"], &grant["state"]), (&json!("default"), &json!("active")));
    assert_eq!(grant["scopes"], json!(["ais", "cof", "pis"]));
    assert!(grant["expires_at"].as_str().is_some_and(|time| time.ends_with('Z')), "{grant}");
    assert!(grant["consent_until"].as_str().is_some_and(|time| time.ends_with('Z')), "{grant}");

    let config = world.config_arg();
    let shown = bankside(&["grant", "show", "icard", "default", "--json", "-c", config], "").with(0);
    assert_eq!(shown.json()["state"], "active");
    let for_people = bankside(&["grant", "show", "icard", "-c", config], "").with(0);
    let table = bankside(&["grant", "list", "-c", config], "").with(0);
    for said in [&listed, &shown, &for_people, &table] {
        assert!(tokens.iter().all(|token| !said.out.contains(token) && !said.err.contains(token)), "{said:?}");
    }
    let with_tokens = bankside(&["grant", "show", "icard", "--reveal", "-c", config], "").with(0);
    assert!(tokens.iter().all(|token| with_tokens.out.contains(token)));
}

#[tokio::test]
async fn a_running_sidecar_sees_an_imported_grant_and_one_that_is_removed() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    let headers = [("Bankside-Grant", "imported")];
    let ask = async || send(sidecar.address("icard"), "GET", "/v1/accounts", &headers, "").await;
    ask().await.problem("needs-authorization", 503);

    let token = world.reveal("icard", "default")["access_token"].as_str().unwrap().to_owned();
    let response = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": "ais"});
    let config = world.config_arg();
    bankside(&["grant", "import", "icard", "imported", "-c", config], &response.to_string()).with(0);
    within_seconds(async || ask().await.status == 200).await;

    bankside(&["grant", "remove", "icard", "imported", "--local", "-c", config], "").with(0);
    within_seconds(async || ask().await.status == 503).await;
    ask().await.problem("needs-authorization", 503);
    get(sidecar.address("icard"), "/v1/accounts").await.with(200);
}

/// The promise is two seconds; the rest is for a busy machine.
async fn within_seconds(mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    until_found("the sidecar sees the change", async || is_so().await.then_some(())).await;
    assert!(start.elapsed() < Duration::from_secs(6), "it took {:?}", start.elapsed());
}

#[tokio::test]
async fn what_is_no_token_response_is_not_imported_and_not_repeated() {
    let world = World::start().await;
    let config = world.config_arg();
    for response in ["", "hunter2", "{}", r#"{"access_token":5}"#, r#"["hunter2"]"#, r#"{"access_token":"hun ter\n2"}"#]
    {
        let said = bankside(&["grant", "import", "icard", "x", "-c", config], response).with(1);
        assert!(!said.err.contains("hun"), "{}", said.err);
    }
    assert_eq!(world.state("icard", "x"), None);
}

#[tokio::test]
async fn a_removed_grant_is_ended_at_the_bank() {
    let world = World::start().await;
    world.login("cnb", "aisp").await;
    bankside(&["grant", "remove", "cnb", "aisp", "-c", world.config_arg()], "").with(0);
    assert!(world.sandbox.cnb().control().grants().iter().all(|grant| grant.revoked));
    assert_ne!(world.state("cnb", "aisp").as_deref(), Some("active"));
}

/// What the answer of a bank with a problem of its own looks like: nothing of the sidecar's is on it.
#[tokio::test]
async fn the_banks_own_refusal_is_not_taken_for_the_sidecars() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    let answer: Answer = get(sidecar.address("icard"), "/_test/status/503").await.with(503);
    assert_eq!((answer.header("proxy-status"), answer.header("content-type").contains("problem")), ("", false));
}
