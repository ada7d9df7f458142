//! What `bankside login` tells the person in front of it, beyond whether it worked.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use bankside::sandbox::{Endpoint, Fault, Plan, Target};
use nix::pty::openpty;
use support::program::{Login, Said, command};
use support::world::World;

fn begun(world: &World, bank: &str, grant: &str) -> (String, Said) {
    let login = Login::begin(&world.config, bank, grant);
    let url = login.url.clone();
    (url, login.paste("").with(1))
}

/// A terminal keeps 4,095 bytes of a line and drops the rest: half a code would be spent.
#[tokio::test]
async fn an_address_that_the_terminal_has_cut_is_not_sent_and_the_login_stays_open() {
    let world = World::start().await;
    let terminal = openpty(None, None).expect("a terminal");
    let mut command = command(&["login", "icard", "-c", world.config_arg()]);
    command.stdin(Stdio::from(terminal.slave)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    drop(command);
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut err = BufReader::new(child.stderr.take().expect("it is piped"));
    let (mut url, mut said) = (String::new(), String::new());
    out.read_line(&mut url).expect("a line");
    err.read_line(&mut said).expect("a line");
    let callback = world.sandbox.approve(url.trim()).await.expect("the customer approves");
    let mut keyboard = File::from(terminal.master);
    // The terminal echoes what is typed: that must not fill it.
    let mut screen = keyboard.try_clone().expect("a handle");
    std::thread::spawn(move || while matches!(screen.read(&mut [0; 4096]), Ok(1..)) {});
    keyboard.write_all(format!("{callback}&session_state={}\n", "x".repeat(5000)).as_bytes()).expect("it is typed");
    err.read_to_string(&mut said).expect("it ends");
    assert_eq!(child.wait().expect("it ends").code(), Some(1), "{said}");
    assert!(said.contains("longer than a terminal's line can be") && said.contains("--callback-url"), "{said}");
    assert_eq!(world.sandbox.icard().control().counters().requests(Endpoint::Token), 0);
    support::program::bankside(&["login", "icard", "--callback-url", &callback, "-c", world.config_arg()], "").with(0);
}

#[tokio::test]
async fn who_logs_in_to_a_grant_without_scopes_is_warned_where_the_configured_ones_have_some() {
    let world = World::start().await;
    for grant in ["default", "asip"] {
        let (url, said) = begun(&world, "cnb", grant);
        assert!(!url.contains("scope="), "{url}");
        assert!(said.err.contains(&format!("the grant {grant} of cnb has no scopes")), "{}", said.err);
        assert!(said.err.contains("bankside login cnb aisp"), "{}", said.err);
    }
    for (bank, grant) in [("cnb", "aisp"), ("icard", "default"), ("icard", "work")] {
        let (url, said) = begun(&world, bank, grant);
        assert!(url.contains("scope=") && !said.err.contains("scopes"), "{}", said.err);
    }
}

#[tokio::test]
async fn who_is_given_fewer_scopes_than_were_asked_for_hears_which_are_missing() {
    let world = World::start().await;
    let answer = |scope: &str| Fault::Answer {
        status: 200,
        headers: vec![("content-type".into(), "application/json".into())],
        body: format!(r#"{{"access_token":"a1","token_type":"Bearer","expires_in":300,"scope":"{scope}"}}"#),
    };
    let control = world.sandbox.icard().control();
    for (given, missing) in [("ais", Some("cof pis")), ("pis cof ais", None)] {
        control.plan(Plan::next(1, Target::TOKEN, answer(given)));
        let login = Login::begin(&world.config, "icard", "default");
        let callback = world.sandbox.approve(&login.url).await.expect("the customer approves");
        let said = login.paste(&callback).with(0);
        assert_eq!(said.err.contains("did not give"), missing.is_some(), "{}", said.err);
        assert!(missing.is_none_or(|missing| said.err.contains(&format!(": {missing}"))), "{}", said.err);
    }
}
