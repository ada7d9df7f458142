//! `bankside login`, in the three ways in which it ends, and in those in which it does not.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use bankside::sandbox::{Endpoint, Fault, Plan, Target};
use nix::sys::signal::Signal;
use support::http::get;
use support::program::{Login, bankside};
use support::world::{World, free_port};

/// How often the bank's token endpoint was called.
fn token_calls(world: &World) -> u64 {
    world.sandbox.icard().control().counters().requests(Endpoint::Token)
}

/// A login whose browser comes back to a port of this machine.
async fn begun_on_loopback() -> (World, u16, Login) {
    let port = free_port();
    let world = World::with(|options| options.icard.redirect_uri = format!("http://127.0.0.1:{port}/callback")).await;
    let login = Login::begin(&world.config, "icard", "default");
    (world, port, login)
}

#[tokio::test]
async fn a_login_with_a_loopback_redirect_ends_by_itself_when_the_browser_comes_back() {
    let (world, port, login) = begun_on_loopback().await;
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    let path = callback.strip_prefix(&format!("http://127.0.0.1:{port}")).expect("it leads to the login's listener");
    let page = get(([127, 0, 0, 1], port).into(), path).await.with(200);
    assert!(String::from_utf8_lossy(&page.body).contains("Access is authorized"), "{:?}", page.body);
    let said = login.wait().with(0);
    assert_eq!(said.out, "", "the URL stands alone on standard output");
    assert_eq!(world.state("icard", "default").as_deref(), Some("active"));
}

#[tokio::test]
async fn a_foreign_callback_at_the_loopback_listener_does_not_end_the_login() {
    let (world, port, login) = begun_on_loopback().await;
    let address = ([127, 0, 0, 1], port).into();
    get(address, "/callback?code=stolen&state=not-ours").await.with(400);
    assert_eq!(token_calls(&world), 0);
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    let (_, query) = callback.split_once('?').expect("a query");
    get(address, &format!("/callback?{query}")).await.with(200);
    login.wait().with(0);
}

#[tokio::test]
async fn a_login_that_the_customer_denies_ends_by_itself_and_exits_1() {
    let (world, port, login) = begun_on_loopback().await;
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    let (_, state) = callback.split_once("state=").expect("a state");
    let state = state.split('&').next().expect("its value");
    let address = ([127, 0, 0, 1], port).into();
    // Without the state it is anybody's word.
    get(address, "/callback?error=access_denied").await.with(400);
    get(address, "/callback?error=access_denied&state=not-ours").await.with(400);
    let page = get(address, &format!("/callback?error=access_denied&state={state}")).await.with(400);
    assert!(String::from_utf8_lossy(&page.body).contains("access_denied"), "{:?}", page.body);
    let said = login.wait().with(1);
    assert!(said.err.contains("the bank says: access_denied"), "{}", said.err);
    assert_eq!((world.state("icard", "default"), token_calls(&world)), (None, 0));
}

#[tokio::test]
async fn the_browser_of_another_grants_login_does_not_end_a_login_on_its_listener() {
    let (world, port, former) = begun_on_loopback().await;
    let of_default = world.sandbox.approve(&former.url).await.expect("the customer approves");
    former.signal(Signal::SIGINT);
    former.wait();
    let login = Login::begin(&world.config, "icard", "work");
    let come_back = async |callback: &str, status: u16| {
        let (_, query) = callback.split_once('?').expect("a query");
        get(([127, 0, 0, 1], port).into(), &format!("/callback?{query}")).await.with(status)
    };
    let page = come_back(&of_default, 400).await;
    assert!(String::from_utf8_lossy(&page.body).contains("a login for the grant default"), "{:?}", page.body);
    assert_eq!(token_calls(&world), 0);
    let of_work = world.sandbox.approve(&login.url).await.expect("the customer approves");
    come_back(&of_work, 200).await;
    login.wait().with(0);
    assert_eq!((world.state("icard", "work").as_deref(), world.state("icard", "default")), (Some("active"), None));
}

#[tokio::test]
async fn a_login_that_listens_for_the_browser_ends_when_another_call_has_ended_it() {
    let (world, _, login) = begun_on_loopback().await;
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    bankside(&["login", "icard", "--callback-url", &callback, "-c", world.config_arg()], "").with(0);
    let said = login.wait().with(0);
    assert!(said.err.contains("the grant default of icard is in the store"), "{}", said.err);
    assert_eq!(token_calls(&world), 1);
}

#[tokio::test]
async fn a_login_that_the_bank_takes_long_for_is_not_taken_for_one_that_was_ended_elsewhere() {
    let (world, port, login) = begun_on_loopback().await;
    let refusal = Fault::DelayAnswer(3_000);
    let control = world.sandbox.icard().control();
    control.plan(Plan::next(1, Target::TOKEN, refusal));
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    let (_, query) = callback.split_once('?').expect("a query");
    let page = get(([127, 0, 0, 1], port).into(), &format!("/callback?{query}")).await.with(200);
    assert!(String::from_utf8_lossy(&page.body).contains("Access is authorized"), "{:?}", page.body);
    login.wait().with(0);
}

#[tokio::test]
async fn a_request_that_never_comes_whole_does_not_keep_a_login_that_is_over() {
    use std::io::Write;
    let (world, port, login) = begun_on_loopback().await;
    let mut half = std::net::TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    half.write_all(b"GET /callback HTTP/1.1\r\nHo").expect("it is sent");
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    let (_, query) = callback.split_once('?').expect("a query");
    get(([127, 0, 0, 1], port).into(), &format!("/callback?{query}")).await.with(200);
    login.wait().with(0);
    drop(half);
}

#[tokio::test]
async fn a_client_that_was_changed_since_the_login_began_is_told_and_the_login_stays() {
    let world = World::start().await;
    let login = Login::begin(&world.config, "icard", "default");
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    login.paste("").with(1);
    let (_, rest) = world.toml().split_once("client_id").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a client");
    let line = format!("client_id{}", rest.lines().next().expect("a line"));
    world.replace(&line, "client_id = \"another\"");
    let finish = ["login", "icard", "--callback-url", &callback, "-c", world.config_arg()];
    let said = bankside(&finish, "").with(1);
    assert!(said.err.contains("and another is in use by now"), "{}", said.err);
    assert_eq!(token_calls(&world), 0);
    world.replace("client_id = \"another\"", &line);
    bankside(&finish, "").with(0);
}

#[tokio::test]
async fn a_login_whose_redirect_leads_to_the_running_sidecar_ends_there() {
    let port = free_port();
    let redirect_uri = format!("http://127.0.0.1:{port}/callback");
    let world = World::with(|options| options.icard.redirect_uri.clone_from(&redirect_uri)).await;
    world.replace("[admin]\nlisten = \"127.0.0.1:0\"", &format!("[admin]\nlisten = \"127.0.0.1:{port}\""));
    let sidecar = world.run();
    let login = Login::begin(&world.config, "icard", "default");
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    let path = callback.strip_prefix(&format!("http://127.0.0.1:{port}")).expect("it leads to the sidecar");
    get(sidecar.address("admin"), path).await;
    assert_eq!(world.state("icard", "default").as_deref(), Some("active"));
    let said = login.wait().with(0);
    assert!(said.err.contains("the grant default of icard is in the store"), "{}", said.err);
}

#[tokio::test]
async fn a_pasted_address_of_a_login_that_was_ended_elsewhere_is_no_mistake() {
    let world = World::start().await;
    let first = Login::begin(&world.config, "icard", "default");
    let callback = world.sandbox.approve(&first.url).await.expect("the customer approves");
    bankside(&["login", "icard", "--callback-url", &callback, "-c", world.config_arg()], "").with(0);
    first.paste(&callback).with(0);
    assert_eq!(token_calls(&world), 1);
}

#[tokio::test]
async fn a_login_that_the_customer_denies_elsewhere_is_not_taken_for_the_grant_that_was_there() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let login = Login::begin(&world.config, "icard", "default");
    let denied = world.sandbox.deny(&login.url).await.expect("the customer denies");
    bankside(&["login", "icard", "--callback-url", &denied, "-c", world.config_arg()], "").with(1);
    let said = login.wait().with(1);
    assert!(said.err.contains("no grant has come of it"), "{}", said.err);
    assert_eq!(token_calls(&world), 1);
}

#[tokio::test]
async fn a_login_does_not_begin_where_another_program_would_get_the_code() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let redirect_uri = format!("http://{}/callback", taken.local_addr().expect("an address"));
    let world = World::with(|options| options.icard.redirect_uri = redirect_uri).await;
    let said = bankside(&["login", "icard", "-c", world.config_arg()], "").with(1);
    assert!(said.err.contains("the redirect URI's port cannot be listened on"), "{}", said.err);
    assert_eq!(said.out, "");
}

#[tokio::test]
async fn a_login_ends_with_the_address_that_is_pasted() {
    let world = World::start().await;
    let login = Login::begin(&world.config, "icard", "default");
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    let said = login.paste(&callback).with(0);
    assert_eq!(said.out, "", "the URL stands alone on standard output");
    assert_eq!(world.state("icard", "default").as_deref(), Some("active"));
}

#[tokio::test]
async fn a_login_whose_input_ends_is_finished_by_a_second_process() {
    let world = World::start().await;
    let login = Login::begin(&world.config, "icard", "work");
    let url = login.url.clone();
    let said = login.paste("").with(1);
    assert!(said.err.contains("--callback-url"), "it says how to go on: {}", said.err);
    assert_eq!((world.state("icard", "work"), token_calls(&world)), (None, 0));

    let callback = world.sandbox.approve(&url).await.expect("the customer approves");
    bankside(&["login", "icard", "work", "--callback-url", &callback, "-c", world.config_arg()], "").with(0);
    assert_eq!(world.state("icard", "work").as_deref(), Some("active"));
    assert_eq!(token_calls(&world), 1);
}

#[tokio::test]
async fn an_address_of_another_grants_login_is_refused_and_left_for_that_one() {
    let world = World::start().await;
    let begun = |grant: &str| {
        let login = Login::begin(&world.config, "icard", grant);
        let url = login.url.clone();
        login.paste("").with(1);
        url
    };
    let of_work = world.sandbox.approve(&begun("work")).await.expect("the customer approves");
    let of_default = world.sandbox.approve(&begun("default")).await.expect("the customer approves");
    let finish = |words: &[&str], callback: &str, code: i32| {
        let words = [&["login", "icard"], words, &["--callback-url", callback, "-c", world.config_arg()]].concat();
        bankside(&words, "").with(code).err
    };
    for (named, callback, owner) in
        [("home", &of_work, "work"), ("default", &of_work, "work"), ("work", &of_default, "default")]
    {
        let said = finish(&[named], callback, 1);
        assert!(said.contains(&format!("a login for the grant {owner}")), "{said}");
    }
    let pasted = Login::begin(&world.config, "icard", "home").paste(&of_work).with(1);
    assert!(pasted.err.contains("a login for the grant work"), "{}", pasted.err);
    assert_eq!((token_calls(&world), world.state("icard", "work")), (0, None));

    assert!(finish(&["default"], &of_default, 0).contains("the grant default"));
    assert!(finish(&[], &of_work, 0).contains("the grant work"), "where none is named, the address says which");
    assert_eq!(token_calls(&world), 2);
}

#[tokio::test]
async fn a_state_that_was_never_given_out_exits_1_without_a_token_call() {
    let world = World::start().await;
    let login = Login::begin(&world.config, "icard", "default");
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    let (before, _) = callback.split_once("state=").expect("a state");
    let said = login.paste(&format!("{before}state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")).with(1);
    assert!(said.err.contains("was not begun here"), "{}", said.err);
    assert_eq!((world.state("icard", "default"), token_calls(&world)), (None, 0));
}

#[tokio::test]
async fn a_state_that_was_used_exits_1_without_a_token_call() {
    let world = World::start().await;
    let login = Login::begin(&world.config, "icard", "default");
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    login.paste(&callback).with(0);
    let calls = token_calls(&world);
    bankside(&["login", "icard", "--callback-url", &callback, "-c", world.config_arg()], "").with(1);
    assert_eq!(token_calls(&world), calls);
    assert_eq!(world.state("icard", "default").as_deref(), Some("active"), "the grant that there is stays");
}

#[tokio::test]
async fn another_banks_login_does_not_take_the_state() {
    let world = World::start().await;
    let login = Login::begin(&world.config, "icard", "default");
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    bankside(&["login", "cnb", "aisp", "--callback-url", &callback, "-c", world.config_arg()], "").with(1);
    assert_eq!(world.sandbox.cnb().control().counters().requests(Endpoint::Token), 0);
    login.paste(&callback).with(0);
}

#[tokio::test]
async fn a_customer_who_denies_ends_the_login_with_1_and_the_banks_word() {
    let world = World::start().await;
    let login = Login::begin(&world.config, "icard", "default");
    let denied = world.sandbox.deny(&login.url).await.expect("the customer denies");
    let said = login.paste(&denied).with(1);
    assert!(said.err.contains("access_denied"), "{}", said.err);
    assert_eq!((world.state("icard", "default"), token_calls(&world)), (None, 0));
}

#[tokio::test]
async fn what_is_no_callback_address_exits_1_and_keeps_the_attempt() {
    let world = World::start().await;
    let login = Login::begin(&world.config, "icard", "default");
    let url = login.url.clone();
    login.paste("https://app.example/callback").with(1);
    let callback = world.sandbox.approve(&url).await.expect("the customer approves");
    bankside(&["login", "icard", "--callback-url", &callback, "-c", world.config_arg()], "").with(0);
}

#[tokio::test]
async fn a_code_that_the_bank_refuses_leaves_no_grant() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    let refusal = Fault::Answer {
        status: 400,
        headers: vec![("content-type".into(), "application/json".into())],
        body: r#"{"error":"invalid_grant","error_description":"the code 8f14e45f was used"}"#.into(),
    };
    control.plan(Plan::always(Target::TOKEN, refusal));
    let login = Login::begin(&world.config, "icard", "default");
    let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
    let said = login.paste(&callback).with(1);
    assert!(said.err.contains("invalid_grant"), "{}", said.err);
    assert!(!said.err.contains("8f14e45f"), "what the bank adds may hold a secret: {}", said.err);
    assert_eq!(world.state("icard", "default"), None);
}

#[tokio::test]
async fn a_bank_without_a_session_gives_no_address_to_open() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    control.plan(Plan::always(Target::Endpoint(Endpoint::Session), Fault::status(503)));
    let said = bankside(&["login", "icard", "-c", world.config_arg()], "").with(1);
    assert_eq!(said.out, "");
    assert!(said.err.contains("503"), "{}", said.err);
}

#[tokio::test]
async fn a_login_names_the_banks_that_there_are_where_there_is_no_such_bank() {
    let world = World::start().await;
    let said = bankside(&["login", "icrad", "-c", world.config_arg()], "").with(1);
    assert!(said.err.contains("icard") && said.err.contains("cnb"), "{}", said.err);
}

#[tokio::test]
async fn a_bank_whose_tokens_are_given_needs_no_login() {
    let world = World::start().await;
    let said = bankside(&["login", "cnb-sandbox", "-c", world.config_arg()], "").with(1);
    assert!(said.err.contains("need no login"), "{}", said.err);
}

#[tokio::test]
async fn a_grant_that_does_not_open_any_more_is_mended_by_a_login() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let store = rusqlite::Connection::open(world.dir().join("bankside.db")).expect("the store");
    assert_eq!(store.execute("UPDATE grants SET access = x'00', refresh = x'00'", []).expect("it is written"), 1);
    drop(store);
    world.login("icard", "default").await;
    assert_eq!(world.state("icard", "default").as_deref(), Some("active"));
}
