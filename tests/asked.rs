//! A token that no person gave, after the configuration has come to ask for another one: the real program, a reload and a
//! restart.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;

use bankside::sandbox::Control;
use nix::sys::signal::Signal;
use support::http::{get, metric};
use support::program::Sidecar;
use support::wait::until_found;
use support::world::World;

const ECHO: &str = "/_test/echo";

/// A bank by client credentials.
#[derive(Clone)]
struct App {
    base: String,
    token: String,
    client: String,
    secret: &'static str,
    scopes: &'static str,
}

impl App {
    fn at_icard(world: &World) -> Self {
        let (base, token) = (world.sandbox.icard().urls().base.clone(), world.sandbox.icard().urls().token.clone());
        let client = world.sandbox.icard().client_id().to_owned();
        Self { base, token, client, secret: "icard-client-secret", scopes: r#""ais", "pis""# }
    }

    fn at_cnb(world: &World) -> Self {
        let (base, token) = (world.sandbox.cnb().urls().base.clone(), world.sandbox.cnb().urls().token.clone());
        let client = world.sandbox.cnb().client_id().to_owned();
        Self { base, token, client, secret: "cnb-client-secret", scopes: r#""aisp""# }
    }

    /// Puts this into the configuration's place.
    fn put(&self, world: &World, configuration: &str) {
        let Self { base, token, client, secret, scopes } = self;
        let text = format!(
            "{configuration}\n[banks.app]\nlisten = \"127.0.0.1:0\"\nbase_url = \"{base}\"\n\
             grant_type = \"client_credentials\"\nclient_id = \"{client}\"\nclient_secret = {{ file = \"{secret}\" }}\n\
             scopes = [{scopes}]\n[banks.app.oauth]\ntoken_url = \"{token}\"\n[banks.app.tls]\nca = [\"ca.pem\"]\n\
             system_roots = false\n"
        );
        let beside = world.write(".bankside.toml.tmp", text);
        fs::rename(beside, &world.config).expect("it can be renamed");
    }
}

async fn world() -> World {
    let world = World::start().await;
    for control in [world.sandbox.icard().control(), world.sandbox.cnb().control()] {
        control.change_rules(|rules| rules.client_credentials = true);
    }
    world
}

async fn reload(sidecar: &Sidecar) {
    let outcome =
        async || metric(sidecar.address("admin"), "bankside_reloads_total{outcome=\"ok\"}").await.unwrap_or(0);
    let before = outcome().await;
    sidecar.service.signal(Signal::SIGHUP);
    until_found("a reload that works", async || (outcome().await > before).then_some(())).await;
}

/// The token that this bank sees with a new request.
async fn token(control: &Control, sidecar: &Sidecar) -> String {
    control.clear_requests();
    get(sidecar.address("app"), ECHO).await.with(200);
    let seen: Vec<_> = control.requests().into_iter().filter(|seen| seen.target.ends_with(ECHO)).collect();
    assert_eq!(seen.len(), 1, "no other token was shown before");
    seen[0].line("authorization").and_then(|value| value.strip_prefix("Bearer ")).expect("a token").to_owned()
}

fn calls(control: &Control) -> u64 {
    control.counters().token_calls("client_credentials")
}

/// Whether this bank has issued it.
fn is_of(control: &Control, token: &str) -> bool {
    control.secrets().iter().any(|(what, value)| *what == "access token" && value == token)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reload_a_token_goes_to_no_other_bank_and_has_no_other_scopes_or_client() {
    let world = world().await;
    let (icard, cnb) = (world.sandbox.icard().control(), world.sandbox.cnb().control());
    let (rest, mut app) = (world.toml(), App::at_icard(&world));
    app.put(&world, &rest);
    let sidecar = world.run();
    let first = token(icard, &sidecar).await;

    app.scopes = r#""ais""#;
    app.put(&world, &rest);
    reload(&sidecar).await;
    let narrowed = token(icard, &sidecar).await;
    assert_ne!(first, narrowed, "it may do more than is configured");
    assert_eq!(icard.grants().last().expect("a grant").scopes, ["ais"]);

    icard.add_client("another-tpp", "its secret", "https://app.example/callback");
    world.write("another-secret", "its secret");
    (app.client, app.secret) = ("another-tpp".into(), "another-secret");
    app.put(&world, &rest);
    reload(&sidecar).await;
    assert_ne!(narrowed, token(icard, &sidecar).await, "it is another client's");

    App::at_cnb(&world).put(&world, &rest);
    reload(&sidecar).await;
    let moved = token(cnb, &sidecar).await;
    assert!(is_of(cnb, &moved) && !is_of(icard, &moved), "a bank was told another bank's token");
    assert_eq!((calls(icard), calls(cnb)), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_token_goes_to_no_other_bank() {
    let world = world().await;
    let (icard, cnb) = (world.sandbox.icard().control(), world.sandbox.cnb().control());
    let rest = world.toml();
    App::at_icard(&world).put(&world, &rest);
    let sidecar = world.run();
    token(icard, &sidecar).await;
    assert_eq!(sidecar.terminate(), Some(0));
    App::at_cnb(&world).put(&world, &rest);
    let moved = token(cnb, &world.run()).await;
    assert!(is_of(cnb, &moved) && !is_of(icard, &moved), "a bank was told another bank's token");
    assert_eq!((calls(icard), calls(cnb)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_asks_for_the_same_keeps_its_token() {
    let world = world().await;
    let icard = world.sandbox.icard().control();
    let (rest, mut app) = (world.toml(), App::at_icard(&world));
    app.put(&world, &rest);
    let sidecar = world.run();
    let first = token(icard, &sidecar).await;
    reload(&sidecar).await;
    assert_eq!(token(icard, &sidecar).await, first);
    app.scopes = r#""pis", "ais""#;
    app.put(&world, &rest);
    reload(&sidecar).await;
    assert_eq!(token(icard, &sidecar).await, first, "scopes have no order");
    assert_eq!(sidecar.terminate(), Some(0));
    assert_eq!(token(icard, &world.run()).await, first);
    assert_eq!(calls(icard), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_outlives_its_banks_move_which_a_reload_warns_of() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    let warnings = || sidecar.log().matches(r#""outcome":"moved""#).count();
    reload(&sidecar).await;
    assert_eq!(warnings(), 0, "nothing has moved");
    let base = world.sandbox.icard().urls().base.clone();
    let moved = base.replace("localhost", "127.0.0.1");
    assert_ne!(base, moved);
    let text = world.toml().replace(&format!("base_url = \"{base}\""), &format!("base_url = \"{moved}\""));
    let beside = world.write(".bankside.toml.tmp", text);
    fs::rename(beside, &world.config).expect("it can be renamed");
    reload(&sidecar).await;
    assert_eq!(warnings(), 1, "{}", sidecar.log());
    assert_eq!(world.state("icard", "default").as_deref(), Some("active"));
    assert_eq!(world.sandbox.icard().control().counters().token_calls("refresh_token"), 0);
}
