//! The main job as a newcomer does it: the demonstration with its `curl` lines, and the same in separate processes with
//! a login in a real browser.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use browser::Browser;
use nix::sys::signal::Signal;
use serde_json::Value;
use support::http::get;
use support::parts::have;
use support::program::{Login, Service, Sidecar, bankside, command, finish};
use support::wait::until_some;

/// Two free ports, the second above the first, as the demonstration wants them.
fn free_pair() -> u16 {
    (20_000..30_000)
        .step_by(2)
        .map(|port| port + u16::try_from(std::process::id() % 4_000).unwrap_or(0))
        .find(|&port| is_free(port) && is_free(port + 1))
        .expect("there are free ports")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Runs a line as a shell does.
fn shell(line: &str) -> Value {
    // Its `--fail` makes an answer that is an error a failure.
    let line = line.replacen("curl ", "curl --silent --show-error --fail --max-time 60 ", 1);
    let output = Command::new("sh").args(["-c", &line]).output().expect("a shell");
    assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{line}\n{:?}", output.stdout))
}

#[test]
fn the_demonstrations_examples_work_and_ctrl_c_leaves_nothing_behind() {
    if !have("curl", "the demonstration's examples") {
        return;
    }
    let (port, folder) = (free_pair(), tempfile::tempdir().expect("a temporary folder"));
    let (admin_port, temporary) = (support::world::free_port(), folder.path().join("tmp"));
    fs::create_dir(&temporary).expect("a folder");
    let mut demo = command(&["demo", "--port", &port.to_string(), "--admin-port", &admin_port.to_string()]);
    demo.env("TMPDIR", &temporary).current_dir(folder.path());
    let mut demo = Service::start(demo, &folder.path().join("log"));

    let lines = demo.lines_until("Ctrl-C");
    let examples: Vec<&String> = lines.iter().filter(|line| line.starts_with("curl ")).collect();
    assert!(examples.len() >= 2, "{lines:?}");
    assert_eq!(examples[0], &format!("curl http://localhost:{port}/v1/accounts"));
    assert_eq!(examples[1], &format!("curl http://localhost:{}/cobs/5.0/my/accounts", port + 1));
    let answers: Vec<Value> = examples.iter().map(|line| shell(line)).collect();
    assert!(answers[0]["accounts"][0]["iban"].is_string(), "{}", answers[0]);
    assert!(answers[1]["accounts"][0]["identification"]["iban"].is_string(), "{}", answers[1]);
    assert!(fs::read_dir(&temporary).expect("a folder").count() > 0, "the test sees what it leaves");

    assert_eq!(demo.end(Signal::SIGINT), Some(0));
    assert_eq!(fs::read_dir(&temporary).expect("a folder").count(), 0, "nothing is left in the temporary folder");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing is left in the working folder: {left:?}");
    assert!(is_free(port) && is_free(port + 1) && is_free(admin_port), "the ports are free again");
}

#[test]
fn a_demonstration_whose_ports_are_taken_says_which_others_to_try_and_a_closed_terminal_leaves_nothing_behind() {
    let (port, folder) = (free_pair(), tempfile::tempdir().expect("a temporary folder"));
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).expect("a folder");
    let demo = |port: u16, admin: u16| {
        let mut demo = command(&["demo", "--port", &port.to_string(), "--admin-port", &admin.to_string()]);
        demo.env("TMPDIR", &temporary);
        demo
    };
    for same in [port, port + 1] {
        let said = finish(demo(port, same), "").with(1);
        assert!(said.err.contains("--admin-port must be another one than --port and the next"), "{}", said.err);
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = (taken.local_addr().expect("an address").port(), taken);
    let said = finish(demo(port, taken.0), "").with(1);
    let expected = "(os error 98); try `bankside demo --port 18080 --admin-port 19090`";
    assert!(said.err.contains(&format!("cannot listen on 127.0.0.1:{}", taken.0)), "{}", said.err);
    assert!(said.err.contains(expected), "{}", said.err);

    let admin = support::world::free_port();
    let mut demo = Service::start(demo(port, admin), &folder.path().join("log"));
    let lines = demo.lines_until("Ctrl-C");
    assert!(lines.iter().any(|line| line.contains(&format!("http://localhost:{admin}/ in a browser"))), "{lines:?}");
    assert_eq!(demo.end(Signal::SIGHUP), Some(0));
    assert_eq!(fs::read_dir(&temporary).expect("a folder").count(), 0);
}

#[test]
fn the_sandbox_does_not_write_over_a_real_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("bankside.toml");
    fs::write(&config, "real").expect("written");
    let said = bankside(&["sandbox", "--dir", folder.path().to_str().expect("UTF-8")], "").with(1);
    assert!(said.err.contains("bankside.toml is not a sandbox's: choose another --dir"), "{}", said.err);
    assert_eq!(fs::read_to_string(&config).expect("it is there"), "real");
}

/// Ports of one's own in the configuration that the sandbox has written.
fn with_free_ports(config: &Path) {
    let text = fs::read_to_string(config).expect("it is there");
    let ported = ["8080", "8081", "8082", "9090"]
        .iter()
        .fold(text, |text, port| text.replace(&format!("\"127.0.0.1:{port}\""), "\"127.0.0.1:0\""));
    fs::write(config, ported).expect("it can be written");
}

#[tokio::test]
async fn separate_processes_work_together_with_a_login_in_a_real_browser() {
    if !have("chromedriver", "the login in a real browser") || !have("chromium", "the login in a real browser") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("D");
    let banks = command(&["sandbox", "--dir", dir.to_str().expect("UTF-8")]);
    let mut banks = Service::start(banks, &folder.path().join("banks.log"));
    banks.lines_until("Ctrl-C");
    let config = dir.join("bankside.toml");
    with_free_ports(&config);

    let browser = Browser::start().await;
    // The port of the sandbox's redirect URI is always the same, and other tests may use it.
    let of_login = until_some("the callback's port is free", || is_free(8765).then_some(8765)).await;
    let login = Login::begin(&config, "icard", "default");
    browser.open(&login.url).await;
    browser.shows("h1", "asks for access").await;
    browser.picture("consent.png").await;
    browser.click("#approve").await;
    browser.shows("h1", "Access is authorized").await;
    browser.picture("authorized.png").await;
    let ended_on = browser.client.current_url().await.expect("an address");
    assert_eq!(ended_on.port(), Some(of_login));
    login.wait().with(0);

    let sidecar = Sidecar::run(&config);
    let accounts = get(sidecar.address("icard"), "/v1/accounts").await.with(200).json();
    assert!(accounts["accounts"][0]["iban"].is_string(), "{accounts}");
    let missing = get(sidecar.address("cnb"), "/cobs/5.0/my/accounts").await;
    let problem = missing.problem("needs-authorization", 503);
    assert!(problem["remedy"].as_str().unwrap().contains("bankside login cnb aisp"), "{problem}");
    assert_eq!(sidecar.terminate(), Some(0));
    assert_eq!(banks.end(Signal::SIGINT), Some(0));
    browser.close().await;
}

#[tokio::test]
async fn a_person_who_clicks_deny_ends_the_login_without_a_grant() {
    if !have("chromedriver", "a denial in a real browser") || !have("chromium", "a denial in a real browser") {
        return;
    }
    let world = support::world::World::start().await;
    let browser = Browser::start().await;
    let login = Login::begin(&world.config, "cnb", "pisp");
    browser.open(&login.url).await;
    browser.shows("h1", "asks for access").await;
    browser.picture("consent-cnb.png").await;
    // The redirect URI leads to a host that is not there: the browser still shows its address.
    browser.click("#deny").await;
    let ended_on = until_url(&browser, "app.example").await;
    let said = login.paste(&ended_on).with(1);
    assert!(said.err.contains("access_denied"), "{}", said.err);
    let listed = bankside(&["grant", "list", "--json", "-c", world.config_arg()], "").with(0).json();
    let has_pisp = |item: &Value| item["grant"] == "pisp" && item["bank"] == "cnb" && item["state"] == "active";
    assert!(!listed.as_array().unwrap().iter().any(has_pisp), "{listed}");
    browser.close().await;
}

async fn until_url(browser: &Browser, host: &str) -> String {
    support::wait::until_found("the browser leaves the bank", async || {
        let url = browser.client.current_url().await.ok()?;
        (url.host_str() == Some(host)).then(|| url.to_string())
    })
    .await
}
