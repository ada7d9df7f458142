//! The ten usual set-up mistakes, as docs/TROUBLESHOOTING.md lists them: what `check` says before anybody runs the sidecar,
//! and what the app, the page, `/readyz`, the API and the log are told if somebody runs it all the same.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and tells what is said where somebody wants to read it"
)]

mod support;

use std::net::{SocketAddr, TcpListener};

use bankside::sandbox::{QwacOptions, Role, Validity};
use bankside::words::{Clock, Timestamp};
use serde_json::{Value, json};
use support::http::{Answer, get, send};
use support::pki::Authority;
use support::program::{Sidecar, bankside};
use support::wait::until_found;
use support::world::{ELSEWHERE, World};

/// What is said somewhere: an exit code or a status, and words that must be in it.
type Says = (i32, &'static [&'static str]);

/// A text that must have these words, told in full if it lacks one.
fn has(what: &str, text: &str, words: &[&str]) {
    if std::env::var_os("BANKSIDE_TEST_TELL").is_some() {
        eprintln!("--- {what}\n{text}");
    }
    for word in words {
        assert!(text.contains(word), "{what} lacks {word:?}:\n{text}");
    }
}

/// What `check` says without and with `--online`.
fn checked(world: &World, plain: Says, online: Says) {
    for (arguments, (code, words)) in [(&["check"][..], plain), (&["check", "--online"][..], online)] {
        let said = bankside(&[arguments, &["-c", world.config_arg()]].concat(), "").with(code);
        has(&arguments.join(" "), &format!("{}{}", said.out, said.err), words);
    }
}

/// A warning is of the key's own line, and not of its table's.
fn names_the_line_with(world: &World, text: &str) {
    let line = world.toml().lines().position(|line| line.contains(text)).expect("it is there") + 1;
    let said = bankside(&["check", "-c", world.config_arg()], "");
    has("check", &said.err, &[&format!("bankside.toml:{line}: warning: ")]);
}

/// What the running sidecar tells whom.
struct Told<'a> {
    sidecar: &'a Sidecar,
}

impl Told<'_> {
    fn app(&self) -> SocketAddr {
        self.sidecar.address("icard")
    }

    fn admin(&self) -> SocketAddr {
        self.sidecar.address("admin")
    }

    /// The answer to the app's GET is a problem of this kind, whose detail and remedy have these words.
    async fn problem(&self, kind: &str, status: u16, words: &[&str]) {
        let problem = get(self.app(), "/v1/accounts").await.problem(kind, status);
        has("the app", &problem.to_string(), words);
    }

    /// The page, once it has these words, and the API.
    async fn page(&self, words: &[&str]) {
        let awaited = format!("the page has {words:?}");
        let page = until_found(&awaited, async || {
            let page = text(&get(self.admin(), "/").await.with(200));
            words.iter().all(|word| page.contains(word)).then_some(page)
        });
        assert!(page.await.contains("<main>"));
    }

    async fn ready(&self, status: u16, words: &[&str]) {
        let said = get(self.admin(), "/readyz").await.with(status).json();
        let banks = said["banks"].as_array().expect("banks");
        let icard = banks.iter().find(|bank| bank["bank"] == "icard").expect("it is there");
        has("/readyz", &icard.to_string(), words);
    }

    async fn api(&self) -> Value {
        let banks = get(self.admin(), "/api/banks").await.with(200).json();
        let found = banks.as_array().expect("banks").iter().find(|bank| bank["bank"] == "icard").cloned();
        found.expect("it is there")
    }

    async fn log(&self, words: &[&str]) {
        let log = || self.sidecar.log();
        until_found(&format!("the log has {words:?}"), async || {
            words.iter().all(|word| log().contains(word)).then_some(())
        })
        .await;
        has("the log", &log(), words);
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).expect("UTF-8")
}

/// Both banks of the usual world would be checked: the second one is none of these tests' business.
async fn world() -> World {
    only_icard(World::start().await)
}

fn only_icard(world: World) -> World {
    let toml = world.toml();
    let first = toml.split("\n[banks.cnb]").next().expect("a text").to_owned();
    std::fs::write(&world.config, first).expect("it can be written");
    world
}

/// A grant whose token has ended: the next request needs a renewal.
async fn with_ended_token(world: &World) {
    world.login("icard", "default").await;
    let refresh_token = world.reveal("icard", "default")["refresh_token"].clone();
    let response = json!({ "refresh_token": refresh_token }).to_string();
    let arguments = ["grant", "import", "icard", "default", "-c", world.config_arg()];
    bankside(&arguments, &response).with(0);
}

fn qwac(world: &World, options: &QwacOptions) {
    let qwac = world.sandbox.pki().qwac(options).expect("a QWAC");
    world.write("qwac.pem", qwac.chain_pem());
    world.write("qwac-key.pem", qwac.key_pem().expose());
}

const GOOD: Says = (0, &["is good"]);

#[tokio::test]
async fn what_is_set_up_well_has_no_complaint() {
    let world = world().await;
    world.login("icard", "default").await;
    let said = bankside(&["check", "--online", "-c", world.config_arg()], "").with(0);
    has(
        "check",
        &said.out,
        &["client      known", "login       the page for default answers 200", "default is active"],
    );
    assert!(
        !said.out.contains("FAILED") && !said.out.contains("mind") && said.err.is_empty(),
        "{}{}",
        said.out,
        said.err
    );
}

#[tokio::test]
async fn a_wrong_secret() {
    let world = world().await;
    with_ended_token(&world).await;
    world.write("icard-client-secret", "another");
    checked(&world, GOOD, (1, &["FAILED", "401: invalid_client", "Check client_id, client_secret"]));
    let sidecar = world.run();
    let told = Told { sidecar: &sidecar };
    told.problem("token-unavailable", 503, &["invalid_client", "Check client_id, client_secret"]).await;
    told.log(&["\"outcome\":\"not_now\"", "\"reason\":\"401: invalid_client\""]).await;
    told.page(&["not ready", "The last renewal failed:", "401: invalid_client", "Check client_id"]).await;
    told.ready(503, &["its renewal fails: 401: invalid_client", "Check client_id"]).await;
    let api = told.api().await;
    assert_eq!(api["grants"][0]["last_failure"]["reason"], "401: invalid_client", "{api}");
}

#[tokio::test]
async fn a_wrong_scope() {
    let world = world().await;
    world.replace("\"pis\"]", "\"pis\", \"nothing\"]");
    checked(&world, GOOD, (1, &["FAILED", "the login's page refuses default: invalid_scope", "compare scopes"]));
    let sidecar = world.run();
    let told = Told { sidecar: &sidecar };
    told.problem("needs-authorization", 503, &["bankside login icard"]).await;
    // The login that this leads to is told why it fails.
    let meant = [("Bankside-Admin", "1")];
    let begun =
        send(told.admin(), "POST", "/api/banks/icard/grants/default/authorize", &meant, "").await.with(200).json();
    let url = begun["authorization_url"].as_str().expect("a text");
    let back = world.sandbox.approve(url).await.expect("the bank sends the browser back");
    let pasted = json!({ "url": back }).to_string();
    let refused = send(told.admin(), "POST", "/api/banks/icard/callback", &meant, pasted).await.with(400);
    has("the page's dialog", &text(&refused), &["invalid_scope", "Compare scopes"]);
    told.log(&["\"outcome\":\"not_authorized\"", "invalid_scope"]).await;
    told.page(&["not ready", "needs authorization"]).await;
    told.ready(503, &["bankside login icard"]).await;
}

#[tokio::test]
async fn an_expired_qwac() {
    let world = world().await;
    world.login("icard", "default").await;
    qwac(&world, &QwacOptions { validity: Validity::Expired, ..QwacOptions::default() });
    let says: Says = (78, &["the certificate expired at", "get the next certificate from the trust service provider"]);
    checked(&world, says, says);
    let sidecar = world.run();
    let told = Told { sidecar: &sidecar };
    // With TLS 1.3 the bank's refusal and its reset race; where the reset wins, it is only told that the bank hung up.
    let refused = until_found("the refusal is seen", async || {
        let answer = get(told.app(), "/v1/accounts").await;
        (answer.json()["type"] == "urn:bankside:bank-tls").then_some(answer)
    });
    let problem = refused.await.problem("bank-tls", 502).to_string();
    has("the app", &problem, &["the bank refused our certificate", "bankside certificate"]);
    told.log(&["the certificate expired at", "\"kind\":\"bank-tls\""]).await;
    told.page(&["not ready", "<strong>ended</strong>", "the certificate expired at", "not reached"]).await;
    told.ready(503, &["the certificate expired at"]).await;
    assert!(told.api().await["certificate"]["days_left"].as_i64().unwrap() < 0);
}

#[tokio::test]
async fn a_missing_role() {
    let world = world().await;
    world.login("icard", "default").await;
    qwac(&world, &QwacOptions::with_roles(&[Role::Accounts]));
    let says: Says =
        (0, &["warning", "has no role PSP_PI", "which the scope pis needs", "leave the scope out, or use a QWAC"]);
    checked(&world, says, says);
    let sidecar = world.run();
    let told = Told { sidecar: &sidecar };
    // The bank's own word, which passes as it is.
    let refused = send(told.app(), "POST", "/v1/payments/sepa-credit-transfers", &[], "{}").await.with(401);
    has("the app", &text(&refused), &["ROLE_INVALID"]);
    assert_eq!(refused.header("proxy-status"), "");
    told.log(&["has no role PSP_PI", "\"status\":401"]).await;
    told.page(&["has no role PSP_PI", "which the scope pis needs"]).await;
    told.ready(200, &[]).await;
    let findings = told.api().await["certificate"]["findings"].to_string();
    has("the API", &findings, &["has no role PSP_PI"]);
}

#[tokio::test]
async fn a_clock_that_is_off_by_an_hour() {
    let an_hour_ago = Timestamp::from_millis(Clock::system().now().millis() - 3_600_000);
    let world = only_icard(World::with(|options| options.clock = Clock::manual(an_hour_ago).0).await);
    with_ended_token(&world).await;
    checked(
        &world,
        GOOD,
        (1, &["FAILED", "this machine's clock is 36", "s ahead of the bank's", "synchronize it (NTP)"]),
    );
    let sidecar = world.run();
    let told = Told { sidecar: &sidecar };
    // Tokens say how long they live, not until when: they work.
    get(told.app(), "/v1/accounts").await.with(200);
    told.log(&["the bank's clock is another", "\"ahead_seconds\":36", "NTP"]).await;
    told.page(&["s ahead of the bank's", "synchronize this machine's clock"]).await;
    told.ready(200, &[]).await;
    assert!(told.api().await["clock_ahead_seconds"].as_i64().unwrap() >= 3600);
    let metrics = text(&get(told.admin(), "/metrics").await);
    has("/metrics", &metrics, &["bankside_clock_ahead_seconds{bank=\"icard\"} 36"]);
}

#[tokio::test]
async fn a_banks_ca_that_is_not_known() {
    let world = world().await;
    world.login("icard", "default").await;
    world.write("ca.pem", Authority::new("Another Root").pem);
    checked(
        &world,
        GOOD,
        (1, &["FAILED", "the bank's certificate or TLS was not accepted", "UnknownIssuer", "tls.ca"]),
    );
    let sidecar = world.run();
    let told = Told { sidecar: &sidecar };
    told.problem("bank-tls", 502, &["the bank's certificate or TLS was not accepted", "UnknownIssuer", "tls.ca"]).await;
    told.log(&["\"kind\":\"bank-tls\"", "UnknownIssuer"]).await;
    told.page(&["not reached", "UnknownIssuer"]).await;
    told.ready(200, &[]).await;
    assert_eq!(told.api().await["reachability"]["last"], "failed");
}

#[tokio::test]
async fn a_redirect_uri_that_is_not_the_registered_one() {
    let world = world().await;
    world.replace(ELSEWHERE, &format!("{ELSEWHERE}/"));
    checked(
        &world,
        GOOD,
        (1, &["FAILED", "the login's page refuses default: it answers 400", "redirect_uri", "to the letter"]),
    );
    let sidecar = world.run();
    let told = Told { sidecar: &sidecar };
    told.problem("needs-authorization", 503, &["bankside login icard"]).await;
    told.log(&["\"kind\":\"needs-authorization\""]).await;
    told.page(&["not ready", "needs authorization"]).await;
    told.ready(503, &["bankside login icard"]).await;
}

#[tokio::test]
async fn a_consent_that_is_over() {
    let world = world().await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    let told = Told { sidecar: &sidecar };
    get(told.app(), "/v1/accounts").await.with(200);
    world.sandbox.icard().control().revoke_grants();
    // The request that finds it out gets the bank's word; whoever comes after it gets ours.
    get(told.app(), "/v1/accounts").await.with(401);
    told.problem("needs-authorization", 503, &["bankside login icard"]).await;
    told.log(&["\"outcome\":\"over\"", "\"kind\":\"needs-authorization\""]).await;
    told.page(&["not ready", "needs authorization", "Authorize again"]).await;
    told.ready(503, &["needs_authorization", "bankside login icard"]).await;
    assert_eq!(told.api().await["grants"][0]["state"], "needs_authorization");
    checked(&world, GOOD, (1, &["FAILED", "grant default: the consent is over", "bankside login icard default"]));
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let world = world().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    world.replace(
        "profile = \"icard\"\nlisten = \"127.0.0.1:0\"",
        &format!("profile = \"icard\"\nlisten = \"{address}\""),
    );
    let says: Says = (0, &["warning: banks.icard.listen", "cannot be listened on: Address already in use", "ss -ltnp"]);
    names_the_line_with(&world, &address);
    checked(&world, says, says);
    let said = bankside(&["run", "-c", world.config_arg()], "").with(1);
    has("run", &said.err, &["cannot listen on", &address, "Address already in use"]);
}

#[tokio::test]
async fn a_port_that_the_running_sidecar_has_is_no_mistake() {
    let world = world().await;
    let sidecar = world.run();
    world.replace("\"127.0.0.1:0\"", &format!("\"{}\"", sidecar.address("admin")));
    world.replace(
        &format!("profile = \"icard\"\nlisten = \"{}\"", sidecar.address("admin")),
        &format!("profile = \"icard\"\nlisten = \"{}\"", sidecar.address("icard")),
    );
    let said = bankside(&["check", "-c", world.config_arg()], "").with(0);
    assert_eq!(said.err, "");
}

#[tokio::test]
async fn a_socket_whose_folder_is_not_there() {
    let world = world().await;
    world
        .replace("profile = \"icard\"\nlisten = \"127.0.0.1:0\"", "profile = \"icard\"\nlisten = \"unix:none/x.sock\"");
    let says: Says = (0, &["warning: banks.icard.listen", "No such file", "make its folder, or choose another path"]);
    checked(&world, says, says);
    bankside(&["run", "-c", world.config_arg()], "").with(1);
}

#[tokio::test]
async fn a_store_that_cannot_be_written() {
    let world = world().await;
    // Nobody makes files there, not even root.
    world.replace("sqlite:bankside.db", "sqlite:/proc/self/bankside.db");
    let says: Says =
        (0, &["warning: store.url", "/proc/self/bankside.db cannot be written by this user", "as that user"]);
    checked(&world, says, says);
    let said = bankside(&["run", "-c", world.config_arg()], "").with(1);
    has("run", &said.err, &["the store cannot be opened", "/proc/self/bankside.db"]);
}

#[tokio::test]
async fn a_socket_whose_name_something_else_has() {
    let world = world().await;
    world.write("plain", "no socket");
    for name in ["plain", "."] {
        let text = world.toml();
        let address = format!("unix:{name}");
        world.replace(
            "profile = \"icard\"\nlisten = \"127.0.0.1:0\"",
            &format!("profile = \"icard\"\nlisten = \"{address}\""),
        );
        let line = world.toml().lines().position(|line| line.contains(&address)).unwrap() + 1;
        let at = format!("bankside.toml:{line}: banks.icard.listen: ");
        let says: Says = (78, &["cannot be listened on: ", " is not a socket; "]);
        checked(&world, says, says);
        has("check", &bankside(&["check", "-c", world.config_arg()], "").err, &[&at]);
        let said = bankside(&["run", "-c", world.config_arg()], "").with(1);
        has("run", &said.err, &["is not a socket"]);
        world.write("bankside.toml", text);
    }
}

#[tokio::test]
async fn a_store_that_is_no_database() {
    let world = world().await;
    world.write("bankside.db", "This is somebody's text, and no database of any kind.\n".repeat(20));
    let says: Says = (78, &["store.url: ", "file is not a database", "name another file"]);
    checked(&world, says, says);
    let said = bankside(&["run", "-c", world.config_arg()], "").with(1);
    has("run", &said.err, &["file is not a database"]);
}

#[tokio::test]
async fn a_store_key_that_cannot_be_made() {
    let world = world().await;
    world.replace("file = \"bankside.key\"", "file = \"/proc/self/bankside.key\"");
    let says: Says =
        (0, &["warning: store.key", "/proc/self/bankside.key cannot be made by this user", "as that user"]);
    names_the_line_with(&world, "/proc/self/bankside.key");
    checked(&world, says, says);
}
