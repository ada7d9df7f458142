//! After a run with traffic and failures: no token, secret, code or key is anywhere where it does not belong.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::Command;

use bankside::sandbox::{Endpoint, Fault, Plan, Target};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use support::http::{get, send};
use support::program::{Login, Service, bankside};
use support::vault::{self, Secrets};
use support::wait::until_found;
use support::world::World;

/// Adds what a grant consists of.
fn add_grant(secrets: &mut Secrets, world: &World, bank: &str, grant: &str, when: &str) {
    let revealed = world.reveal(bank, grant);
    for name in ["access_token", "refresh_token"] {
        if let Some(token) = revealed[name].as_str() {
            secrets.add(&format!("the {name} of {bank}/{grant}, {when}"), token);
        }
    }
}

/// Logs in, and gives what of the login is secret.
async fn login(world: &World, secrets: &mut Secrets, bank: &str, grant: &str) {
    let login = Login::begin(&world.config, bank, grant);
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    let (_, query) = callback.split_once('?').expect("a query");
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        secrets.add(&format!("the {name} of the login to {bank}/{grant}"), value.as_bytes());
    }
    let said = login.paste(&callback).with(0);
    secrets.assert_absent("what login says", said.err);
    add_grant(secrets, world, bank, grant, "at first");
}

/// Every file of the store, as bytes.
fn database(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry"));
    let of_store = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("bankside.db"));
    of_store.map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap())).collect()
}

#[tokio::test]
async fn no_secret_of_a_run_with_traffic_and_failures_is_written_anywhere() {
    let world = World::start().await;
    world.write("access-key", "caller-key-5f1d8a");
    world.append(
        "[log]\nlevel = \"debug\"\nformat = \"json\"\n[banks.icard.access]\nkey = { file = \"access-key\" }\n\
         [banks.icard.timeouts]\nresponse = \"500ms\"\n",
    );
    let mut secrets = Secrets::default();
    secrets.add("the caller's key", "caller-key-5f1d8a");
    secrets.add("an app's own credentials", "apps-own-credential");
    secrets.add("a query", "DE89370400440532013000");
    secrets.add("a body", "body-of-a-payment-order");
    secrets.add("a PSU's field", "198.51.100.77-of-the-psu");
    secrets.add("iCard's client secret", world.sandbox.icard().client_secret().expose());
    secrets.add("CNB's client secret", world.sandbox.cnb().client_secret().expose());
    let pem = String::from_utf8(world.sandbox.qwac().key_pem().expose().to_vec()).unwrap();
    secrets.add("the QWAC's key", pem.lines().nth(1).expect("a line of the key"));
    for (bank, grant) in bankside::sandbox::tour::GRANTS {
        login(&world, &mut secrets, bank, grant).await;
    }
    secrets.add("the store's key", fs::read(world.dir().join("bankside.key")).unwrap().trim_ascii());

    let sidecar = world.run();
    let (icard, cnb, admin) = (sidecar.address("icard"), sidecar.address("cnb"), sidecar.address("admin"));
    let control = world.sandbox.icard().control();
    let app = [
        ("Bankside-Key", "caller-key-5f1d8a"),
        ("Authorization", "Bearer apps-own-credential"),
        ("PSU-IP-Address", "198.51.100.77-of-the-psu"),
    ];
    let path = "/v1/accounts?iban=DE89370400440532013000";
    let ask = async || send(icard, "POST", path, &app, "body-of-a-payment-order").await;
    let get_accounts = async || send(icard, "GET", path, &app, "").await;
    let mut problems = Vec::new();

    // Traffic, a renewal after a 401, and each kind of failure that a bank can cause.
    get_accounts().await.with(200);
    get(cnb, "/cobs/5.0/my/accounts").await.with(200);
    control.expire_access_tokens();
    get_accounts().await.with(200);
    add_grant(&mut secrets, &world, "icard", "default", "renewed");
    problems.push(send(icard, "GET", path, &app[1..], "").await.with(403));
    problems.push(send(icard, "GET", path, &[app[0], ("host", "evil.example")], "").await.with(421));
    problems.push(send(icard, "GET", path, &[app[0], ("Bankside-Grant", "bob")], "").await.with(503));
    for fault in [Fault::Delay(60_000), Fault::Cut, Fault::CutHandled] {
        control.plan(Plan::always(Target::API, fault));
        problems.push(ask().await);
        control.clear_plans();
    }
    // A token endpoint that fails in all ways, one of which quotes what it was sent.
    let quoting = world.reveal("icard", "default")["refresh_token"].as_str().unwrap().to_owned();
    let quoting = format!(r#"{{"error":"temporarily_unavailable","error_description":"token {quoting}"}}"#);
    let json = vec![("content-type".to_owned(), "application/json".to_owned())];
    for fault in [
        Fault::Answer { status: 400, headers: json.clone(), body: quoting.clone() },
        Fault::Answer { status: 200, headers: json, body: quoting },
        Fault::garbage(),
        Fault::html(502),
        Fault::Cut,
    ] {
        control.plan(Plan::always(Target::TOKEN, fault));
        let said = bankside(&["grant", "renew", "icard", "default", "-c", world.config_arg()], "");
        secrets.assert_absent("what a failed renewal says", said.err);
        control.expire_access_tokens();
        problems.push(get_accounts().await);
        control.clear_plans();
    }
    assert!(control.counters().requests(Endpoint::Token) > 3);
    control.revoke_grants();
    problems.push(get_accounts().await);

    let log = until_found("the log is written", async || Some(sidecar.log()).filter(|log| log.contains("POST"))).await;
    assert!(log.contains("DEBUG") || log.contains("debug"), "the log is that of level debug");
    secrets.assert_absent("the log", &log);
    for problem in &problems {
        secrets.assert_absent("a problem", &problem.body);
        secrets.assert_absent("a problem's fields", format!("{:?}", problem.headers));
    }
    for page in ["/metrics", "/readyz"] {
        secrets.assert_absent(page, get(admin, page).await.body);
    }
    let files = database(world.dir());
    assert!(!files.is_empty());
    for (name, bytes) in &files {
        secrets.assert_absent(name, bytes);
    }
    for command in [&["check"][..], &["grant", "list"], &["grant", "show", "icard"], &["certificate"]] {
        let said = bankside(&[command, &["-c", world.config_arg()]].concat(), "");
        secrets.assert_absent("a command's output", format!("{}{}", said.out, said.err));
    }
    assert_eq!(sidecar.terminate(), Some(0));
    for (name, bytes) in &database(world.dir()) {
        secrets.assert_absent(name, bytes);
    }
}

#[test]
fn the_search_finds_a_secret_in_each_of_its_forms() {
    let mut secrets = Secrets::default();
    secrets.add("a token", "def50200+/=secret-token");
    let encoded = |prefix: &str| STANDARD.encode(format!("{prefix}def50200+/=secret-token and more"));
    for place in [
        "x def50200+/=secret-token x".to_owned(),
        encoded(""),
        encoded("a"),
        encoded("ab"),
        URL_SAFE_NO_PAD.encode("id:def50200+/=secret-token"),
        "code=def50200%2B%2F%3Dsecret-token".to_owned(),
    ] {
        assert_eq!(secrets.found_in(place.as_bytes()), BTreeSet::from(["a token"]), "{place}");
    }
    for place in
        ["def50200+/=secret-token", "x def50200+/=secret-token", "def50200+/=secret-toke def50200+/=secret-token"]
    {
        assert_eq!(secrets.found_in(place.as_bytes()).len(), 1, "at the end, too: {place}");
    }
    assert!(secrets.found_in(b"def50200+/=secret-toke").is_empty());
    assert!(secrets.found_in(b"def50200 secret-token").is_empty());
}

/// What each sidecar of the whole run writes is searched when it ends: a program that tells a secret is found out.
#[tokio::test]
async fn a_program_that_tells_a_secret_anywhere_fails_its_test() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let (code, access) = (world.sandbox.icard().control().secrets(), world.reveal("icard", "default"));
    let code = &code.iter().find(|(what, _)| *what == "code").expect("there was a code").1;
    let access = access["access_token"].as_str().expect("a token");
    let key = fs::read_to_string(world.dir().join("qwac-key.pem")).unwrap();
    for secret in
        [code, access, key.lines().nth(2).unwrap(), world.sandbox.icard().client_secret().expose_str().unwrap()]
    {
        let mut program = Command::new("sh");
        program.args(["-c", &format!("echo 'a line with {secret} in it' >&2")]);
        let told = Service::start(program, &world.dir().join("told.log"));
        let found = std::panic::catch_unwind(AssertUnwindSafe(|| told.wait()));
        assert!(found.is_err(), "it was not found: {secret}");
    }
    let quiet = Service::start(Command::new("true"), &world.dir().join("quiet.log"));
    assert_eq!(quiet.wait(), Some(0));
    vault::know("a secret of this test", "a-secret-of-this-test");
    let found = std::panic::catch_unwind(|| vault::search("a page", b"<p>a-secret-of-this-test</p>"));
    assert!(found.is_err());
}

#[tokio::test]
async fn whatever_holds_secrets_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::start().await;
    world.login("icard", "default").await;
    for (name, _) in database(world.dir()).into_iter().chain([("bankside.key".to_owned(), Vec::new())]) {
        let mode = fs::metadata(world.dir().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
}
