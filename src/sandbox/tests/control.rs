//! The control surface: faults, records, probes.

use super::super::{Endpoint, Fault, Options, Plan, Sandbox, Target};
use super::client::*;

#[tokio::test]
async fn each_fault_does_what_it_says() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.icard(), Client::licensed(&sandbox));
    let (access, _) = icard_tokens(&sandbox, &client).await;
    let url = format!("{}/v1/accounts", bank.urls().base);
    let bearer = format!("Authorization: Bearer {access}");
    let get = async |fault: Fault| {
        bank.control().plan(Plan::next(1, Target::API, fault));
        client.send("GET", &url, &[&bearer], "").await
    };
    assert_eq!(get(Fault::status(500)).await.expect("an answer").status, 500);
    assert_eq!(get(Fault::too_many(7)).await.expect("an answer").headers["retry-after"], "7");
    assert!(get(Fault::html(503)).await.expect("an answer").text().contains("<title>"));
    assert_eq!(get(Fault::garbage()).await.expect("an answer").status, 200);
    for fault in [Fault::Cut, Fault::CutHandled, Fault::CutAfterHead, Fault::CutMidBody] {
        get(fault.clone()).await.expect_err(&format!("{fault:?}"));
    }
    for fault in [Fault::Delay(1), Fault::DelayAnswer(1)] {
        assert_eq!(get(fault).await.expect("an answer").status, 200);
    }
    assert_eq!(client.get(&url, &access).await.status, 200, "each fault was planned for one request");
    assert_eq!(bank.control().counters().faults, 10);
}

#[tokio::test]
async fn requests_are_recorded_with_the_lines_that_were_sent() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.icard(), Client::licensed(&sandbox));
    let (access, _) = icard_tokens(&sandbox, &client).await;
    bank.control().clear_requests();
    let url = format!("{}/_test/echo/a%2Fb//c?x=1&x=2", bank.urls().base);
    let lines = [&*format!("authorization: Bearer {access}"), "X-Odd: \u{e9}", "x-oDD: 2", "Digest: SHA-256=abc"];
    let answer = client.send("POST", &url, &lines, "hello").await.expect("an answer");
    let echoed = answer.json();
    assert_eq!(echoed["target"], "/_test/echo/a%2Fb//c?x=1&x=2");
    assert_eq!(echoed["bytes"], 5);
    assert_eq!(echoed["sha256"], "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");

    let recorded = bank.control().requests();
    assert_eq!(recorded.len(), 1);
    let request = &recorded[0];
    let names: Vec<_> = request.lines.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Host", "authorization", "X-Odd", "x-oDD", "Digest", "Connection", "Content-Length"]);
    assert_eq!(request.line("x-odd"), Some("\u{c3}\u{a9}"));
    assert_eq!((request.body.bytes, &*request.body.sha256), (5, echoed["sha256"].as_str().expect("a digest")));
    assert_eq!((request.endpoint, request.serial.as_deref()), (Endpoint::Test, Some(sandbox.qwac().serial())));
    let (_, raw) = bank.control().raw().remove(0);
    assert!(raw.starts_with(b"POST /_test/echo/a%2Fb//c?x=1&x=2 HTTP/1.1\r\n") && raw.ends_with(b"\r\n\r\nhello"));
}

#[tokio::test]
async fn a_blob_is_as_long_as_asked_and_probes_need_a_token() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.cnb(), Client::licensed(&sandbox));
    let (access, _) = cnb_tokens(&sandbox, &client, "aisp").await;
    let url = format!("{}/_test/blob?bytes=200000", bank.urls().base);
    let blob = client.get(&url, &access).await;
    assert_eq!((blob.status, blob.body.len(), blob.body[199_999]), (200, 200_000, 199_999_u32.to_le_bytes()[0]));
    assert_eq!(client.get(&url, "nonsense").await.status, 401);
    let lines = [&*format!("Authorization: Bearer {access}"), "TE: trailers"];
    let chunked = client.send("GET", &format!("{url}&trailer=true"), &lines, "").await.expect("an answer");
    assert!(chunked.text().contains("x-sha256: "));
}

#[tokio::test]
async fn without_the_control_surface_nothing_is_recorded_and_no_probe_is_there() {
    let sandbox = Sandbox::start(Options::default()).await.expect("the sandbox starts");
    let (bank, client) = (sandbox.icard(), Client::licensed(&sandbox));
    let (access, _) = icard_tokens(&sandbox, &client).await;
    assert_eq!(client.get(&format!("{}/_test/echo", bank.urls().base), &access).await.status, 404);
    assert!(bank.control().requests().is_empty() && bank.control().raw().is_empty());
    assert_eq!(bank.control().counters().token_calls("authorization_code"), 1);
}

#[tokio::test]
async fn another_process_controls_a_bank_over_plain_http() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.icard(), Client::licensed(&sandbox));
    let (access, _) = icard_tokens(&sandbox, &client).await;
    let control = sandbox.serve_control(0).await.expect("a port");
    let url = format!("{}/v1/accounts", bank.urls().base);
    let fault = r#"{"target":{"endpoint":"api"},"fault":{"answer":{"status":500}},"times":1}"#;
    assert_eq!(plain(control, "POST", "/icard/faults", fault).await.0, 200);
    assert_eq!([client.get(&url, &access).await.status, client.get(&url, &access).await.status], [500, 200]);
    let (status, seen) = plain(control, "GET", "/icard", "").await;
    assert_eq!((status, seen["counters"]["faults"].as_u64()), (200, Some(1)));
    assert_eq!(
        plain(control, "POST", "/icard/rules", r#"{"access_lifetime_ms":1,"refresh_tokens":"none"}"#).await.0,
        200
    );
    assert_eq!(plain(control, "POST", "/icard/rules", r#"{"nonsense":1}"#).await.0, 422);
    assert_eq!(plain(control, "POST", "/nobank/expire", "").await.0, 404);
    assert_eq!(plain(control, "POST", "/icard/expire", "").await.0, 200);
    assert_eq!(client.get(&url, &access).await.status, 401);
    let (_, recorded) = plain(control, "GET", "/icard/requests", "").await;
    assert_eq!(recorded["requests"].as_array().expect("a list").last().expect("one")["target"], "/v1/accounts");
}

#[tokio::test]
async fn a_grant_can_be_ended_and_a_token_bound_to_its_certificate() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.icard(), Client::licensed(&sandbox));
    let url = format!("{}/v1/accounts", bank.urls().base);
    bank.control().change_rules(|rules| rules.certificate_bound = true);
    let (access, refresh_token) = icard_tokens(&sandbox, &client).await;
    let next = sandbox.pki().qwac(&super::super::QwacOptions::default()).expect("a QWAC");
    let next = Client::new(&sandbox, Some(&next), b"http/1.1");
    assert_eq!([client.get(&url, &access).await.status, next.get(&url, &access).await.status], [200, 401]);
    let renewed = refresh(&next, bank, &refresh_token).await;
    assert_eq!(next.get(&url, &renewed.text_at("/access_token")).await.status, 200);

    let grant = bank.control().grants().remove(0);
    assert_eq!((grant.refreshes, grant.revoked), (1, false));
    bank.control().revoke_grant(grant.number);
    assert_eq!(next.get(&url, &renewed.text_at("/access_token")).await.status, 401);
    let again = refresh(&next, bank, &renewed.text_at("/refresh_token")).await;
    assert_eq!(again.text_at("/error"), "invalid_grant");
}
