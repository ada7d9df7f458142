//! Clients that authenticate by a JWT which the QWAC's key signs (RFC 7523): the real program, over mutual TLS, against
//! simulated banks that verify each assertion and take none twice.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;
#[cfg(feature = "pkcs11")]
use std::{fs, path::Path};

use bankside::sandbox::{Control, Fault, Plan, Qwac, QwacKey, QwacOptions, Target};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use support::http::get;
use support::program::bankside;
use support::wait::until_found;
use support::world::World;
#[cfg(feature = "pkcs11")]
use support::{
    http::send,
    program::{Sidecar, finish},
    softhsm::{PIN, Shim, SoftHsm},
    tools,
    wait::until,
};

const ACCOUNTS: &str = "/cobs/5.0/my/accounts";

/// What the bank was shown so far: header and claims of each assertion.
fn shown(control: &Control) -> Vec<(Value, Value)> {
    let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("JSON");
    let secrets = control.secrets();
    let assertions = secrets.iter().filter(|(what, _)| *what == "client assertion");
    let parts = assertions.map(|(_, jwt)| jwt.split('.').collect::<Vec<_>>());
    parts.map(|parts| (part(parts[0]), part(parts[1]))).collect()
}

/// Panics where one of them was shown twice.
fn assert_each_is_new(assertions: &[(Value, Value)]) {
    let names: BTreeSet<_> = assertions.iter().map(|(_, claims)| claims["jti"].as_str().expect("a text")).collect();
    assert_eq!(names.len(), assertions.len());
}

/// A bank that takes assertions only, and a configuration that has no secret for it. The bank `app` is the same bank,
/// by client credentials.
async fn world() -> World {
    let world = World::start().await;
    let (bank, urls) = (world.sandbox.cnb(), world.sandbox.cnb().urls());
    bank.control().change_rules(|rules| {
        rules.private_key_jwt = true;
        rules.client_credentials = true;
    });
    let revoke = urls.token.replace("/oauth/token", "/oauth2/revoke");
    world.replace("client_secret = { file = \"cnb-client-secret\" }\n", "");
    world.replace(&format!("revoke_url = \"{}\"", urls.token), &format!("revoke_url = \"{revoke}\""));
    world.replace("revocation = \"delete\"", "revocation = \"rfc7009\"\nclient_auth = \"private_key_jwt\"");
    world.append(&format!(
        "[banks.app]\nlisten = \"127.0.0.1:0\"\nbase_url = \"{}\"\ngrant_type = \"client_credentials\"\n\
         client_id = \"{}\"\nscopes = [\"aisp\"]\n[banks.app.oauth]\ntoken_url = \"{}\"\n\
         client_auth = \"private_key_jwt\"\n[banks.app.tls]\nca = [\"ca.pem\"]\nsystem_roots = false\n",
        urls.base,
        bank.client_id(),
        urls.token
    ));
    world
}

fn wear(world: &World, qwac: &Qwac) {
    world.write("qwac-key.pem", qwac.key_pem().expose());
    world.write("qwac.pem", qwac.chain_pem());
}

fn qwac(world: &World, key: QwacKey) -> Qwac {
    world.sandbox.pki().qwac(&QwacOptions { key, ..QwacOptions::default() }).expect("a QWAC")
}

fn says(world: &World, arguments: &[&str]) -> String {
    let said = bankside(&[arguments, &["-c", world.config_arg()]].concat(), "").with(0);
    said.out + &said.err
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_a_refresh_client_credentials_and_a_revocation_are_proved_by_each_kind_of_key() {
    for (key, algorithm) in [(QwacKey::P256, "ES256"), (QwacKey::Rsa2048, "PS256")] {
        let world = world().await;
        let control = world.sandbox.cnb().control();
        wear(&world, &qwac(&world, key));
        says(&world, &["check"]);
        world.login("cnb", "aisp").await;
        says(&world, &["grant", "renew", "cnb", "aisp"]);
        let sidecar = world.run();
        get(sidecar.address("cnb"), ACCOUNTS).await.with(200);
        get(sidecar.address("app"), ACCOUNTS).await.with(200);
        says(&world, &["grant", "remove", "cnb", "aisp"]);
        assert_eq!(control.grants().iter().filter(|grant| grant.revoked).count(), 1);
        assert_eq!(sidecar.terminate(), Some(0));

        let assertions = shown(control);
        assert_eq!(assertions.len(), 4, "a code, a refresh, client credentials, a revocation");
        assert_each_is_new(&assertions);
        let certificate: Value =
            serde_json::from_str(&says(&world, &["certificate", "--json"])).expect("what it says is JSON");
        for (header, claims) in &assertions {
            assert_eq!(header["alg"], algorithm);
            assert_eq!(header["kid"], certificate["jwk"]["kid"], "the key's name is told beforehand");
            assert_eq!(claims["aud"], world.sandbox.cnb().urls().token.as_str());
            assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_the_algorithm_and_the_keys_name_are_those_that_are_configured() {
    let world = world().await;
    wear(&world, &qwac(&world, QwacKey::Rsa2048));
    let issuer = format!("https://localhost:{}", world.sandbox.cnb().address().port());
    let lines = format!("issuer = \"{issuer}\"\ntoken_endpoint_auth_signing_alg = \"RS256\"\nkid = \"qwac-2026\"");
    world.in_table("banks.app.oauth", &lines);
    let online = says(&world, &["check", "--online"]);
    assert!(online.contains(&format!("signed with RS256, kid qwac-2026, for {issuer}\n")), "{online}");
    assert!(online.contains("given for default"), "{online}");
    get(world.run().address("app"), ACCOUNTS).await.with(200);
    let assertions = shown(world.sandbox.cnb().control());
    assert_each_is_new(&assertions);
    let (header, claims) = assertions.last().expect("one was shown");
    assert_eq!((&header["alg"], &header["kid"]), (&"RS256".into(), &"qwac-2026".into()));
    assert_eq!(claims["aud"], issuer.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_cut_off_is_made_again_with_another_assertion() {
    let world = world().await;
    let control = world.sandbox.cnb().control();
    let before = shown(control).len();
    control.plan(Plan::next(1, Target::TOKEN, Fault::CutHandled));
    let sidecar = world.run();
    let answered = async || (get(sidecar.address("app"), ACCOUNTS).await.status == 200).then_some(());
    until_found("the app is served", answered).await;
    let assertions = shown(control);
    assert!(assertions.len() >= before + 2, "the bank handled the first, too");
    assert_each_is_new(&assertions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_bank_does_not_know_is_told_as_what_it_is_until_the_bank_knows_it() {
    let world = world().await;
    let (bank, control) = (world.sandbox.cnb(), world.sandbox.cnb().control());
    let other = qwac(&world, QwacKey::P256);
    assert!(control.set_client_key(bank.client_id(), &other.chain()[0]));
    let sidecar = world.run();
    let problem = get(sidecar.address("app"), ACCOUNTS).await.problem("token-unavailable", 503);
    assert!(problem["detail"].as_str().unwrap().contains("invalid_client"), "{problem}");
    assert!(problem["remedy"].as_str().unwrap().contains("private_key_jwt"), "{problem}");
    let said = bankside(&["check", "--online", "-c", world.config_arg()], "").with(1);
    assert!(said.out.contains("FAILED") && said.out.contains("401: invalid_client"), "{}", said.out);
    // The company takes the other key: certificate and assertions change together, without a restart.
    wear(&world, &other);
    let answered = async || (get(sidecar.address("app"), ACCOUNTS).await.status == 200).then_some(());
    until_found("the new key is taken", answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reload_the_new_certificates_key_signs() {
    let world = world().await;
    let control = world.sandbox.cnb().control();
    control.change_rules(|rules| rules.access_lifetime = Duration::from_secs(1));
    let sidecar = world.run();
    get(sidecar.address("app"), ACCOUNTS).await.with(200);
    assert!(shown(control).iter().all(|(header, _)| header["alg"] == "ES256"));
    wear(&world, &qwac(&world, QwacKey::Rsa2048));
    // The bank verifies with the key of the certificate that the connection shows.
    until_found("the new key signs", async || {
        get(sidecar.address("app"), ACCOUNTS).await.with(200);
        shown(control).iter().any(|(header, _)| header["alg"] == "PS256").then_some(())
    })
    .await;
    assert_each_is_new(&shown(control));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_algorithm_that_the_key_cannot_do_is_told_before_anything_runs() {
    let world = world().await;
    world.in_table("banks.app.oauth", "token_endpoint_auth_signing_alg = \"RS256\"");
    for command in ["check", "run"] {
        let said = bankside(&[command, "-c", world.config_arg()], "").with(78);
        let said = said.out + &said.err;
        let words =
            "banks.app.oauth.token_endpoint_auth_signing_alg: the identity's key, P-256, does not sign with RS256";
        assert!(said.contains(words) && said.contains("the key can do ES256"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_set_for_the_key_is_warned_of_where_another_key_follows() {
    let world = world().await;
    let check = |next: &Qwac| {
        world.write("next.pem", next.chain_pem());
        world.write("next-key.pem", next.key_pem().expose());
        says(&world, &["check"])
    };
    let (present, other) = (qwac(&world, QwacKey::P256), qwac(&world, QwacKey::P256));
    wear(&world, &present);
    let soon = bankside::words::Clock::system().now().plus(Duration::from_hours(1));
    let next = format!("next = {{ from = \"{soon}\", certificate = \"next.pem\", private_key = \"next-key.pem\" }}");
    world.in_table("identity", &next);
    let warning = "app would still be told oauth.kid = \"qwac-2026\"";
    assert!(!check(&other).contains("oauth.kid"), "a thumbprint follows its key");
    world.in_table("banks.app.oauth", "kid = \"qwac-2026\"");
    let said = check(&other);
    assert!(said.contains(&format!("identity.next: its key is another one, and {warning}")), "{said}");
    assert!(!check(&present).contains(warning), "the key stays what it is");
}

/// A world whose QWAC's key is in an HSM, which `module`, or its own, leads to. `None` where there is no SoftHSM.
#[cfg(feature = "pkcs11")]
fn in_an_hsm(world: &World, key: QwacKey, module: Option<&Path>) -> Option<SoftHsm> {
    let hsm = SoftHsm::new(world.dir())?;
    let qwac = qwac(world, key);
    hsm.token("tpp");
    hsm.import("tpp", "qwac", "0a", std::str::from_utf8(qwac.key_pem().expose()).unwrap());
    world.write("qwac.pem", qwac.chain_pem());
    world.write("pin", PIN);
    let pkcs11 = format!(
        "pkcs11 = {{ module = '{}', token = 'tpp', key = 'qwac', pin = {{ file = 'pin' }} }}",
        module.unwrap_or(&hsm.module).display()
    );
    world.replace("private_key = \"qwac-key.pem\"", &pkcs11);
    Some(hsm)
}

#[cfg(feature = "pkcs11")]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_an_hsm_signs_there_and_is_missed_when_it_is_pulled_out() {
    for (key, algorithm) in [(QwacKey::P256, "ES256"), (QwacKey::Rsa2048, "PS256")] {
        let world = world().await;
        let Some(hsm) = in_an_hsm(&world, key, None) else { return };
        let mut check = tools::with(&hsm.environment());
        check.args(["check", "--online", "-c", world.config_arg()]);
        let online = tokio::task::spawn_blocking(move || finish(check, "")).await.expect("no panic");
        assert!(online.out.contains("given for default"), "{}{}", online.out, online.err);

        let control = world.sandbox.cnb().control();
        control.change_rules(|rules| rules.access_lifetime = Duration::from_secs(1));
        let sidecar = Sidecar::run_prepared(tools::with(&hsm.environment()), &world.config);
        get(sidecar.address("app"), ACCOUNTS).await.with(200);
        assert!(shown(control).iter().all(|(header, _)| header["alg"] == algorithm));
        hsm.pull_out();
        let refused = until_found("the token has ended", async || {
            let answer = get(sidecar.address("app"), ACCOUNTS).await;
            (answer.status != 200).then_some(answer)
        });
        let problem = refused.await.problem("token-unavailable", 503);
        assert!(problem["detail"].as_str().unwrap().contains("key did not sign"), "{problem}");
        assert!(problem["remedy"].as_str().unwrap().contains("HSM"), "{problem}");
        hsm.plug_in();
        let answered = async || (get(sidecar.address("app"), ACCOUNTS).await.status == 200).then_some(());
        until_found("the token is found", answered).await;
        assert_each_is_new(&shown(control));
    }
}

#[cfg(feature = "pkcs11")]
#[tokio::test(flavor = "multi_thread")]
async fn an_hsm_that_hangs_holds_up_nobody_but_who_needs_the_signature_and_him_not_for_ever() {
    let world = world().await;
    let Some(shim) = Shim::new(world.dir()) else { return };
    let Some(hsm) = in_an_hsm(&world, QwacKey::P256, Some(&shim.module)) else { return };
    world.append("[runtime]\nworkers = 1\n[banks.app.timeouts]\nconnect = \"1s\"\n");
    world.append("[banks.app.renewal]\nat = 0.99\n[banks.app.grants]\nother = { scopes = [\"aisp\"] }");
    let sidecar = Sidecar::run_prepared(tools::with(&shim.environment(&hsm)), &world.config);
    let (app, admin) = (sidecar.address("app"), sidecar.address("admin"));
    get(app, ACCOUNTS).await.with(200);
    fs::write(&shim.hold, "").expect("a file");
    let before = shim.noted("sign");
    let waiting = tokio::spawn(async move { send(app, "GET", ACCOUNTS, &[("Bankside-Grant", "other")], "").await });
    until("a signature begins", || shim.noted("sign") > before).await;
    for _ in 0..20 {
        get(app, ACCOUNTS).await.with(200);
        get(admin, "/livez").await.with(200);
    }
    assert!(!waiting.is_finished(), "it waits for the signature");
    let problem = waiting.await.expect("no panic").problem("token-unavailable", 503);
    assert!(problem["detail"].as_str().unwrap().contains("did not sign within 1000 ms"), "{problem}");
    fs::remove_file(&shim.hold).expect("it is there");
    let answered =
        async || (send(app, "GET", ACCOUNTS, &[("Bankside-Grant", "other")], "").await.status == 200).then_some(());
    until_found("the grant is served", answered).await;
}
