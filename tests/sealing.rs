//! Sealing: nothing readable in the database's files, and a key that is replaced while sidecars run.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use bankside::app::App;
use bankside::config::{Config, ProcessEnvironment};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use nix::sys::signal::Signal;

use support::desk::{Desk, get, says};
use support::program::{Service, command};
use support::wait::here::{time_passes, within};

const SECOND: Duration = Duration::from_secs(1);
const OLD: &str = "key = { file = \"bankside.key\" }";
const BOTH_OLD_FIRST: &str = "key = [{ file = \"bankside.key\" }, { file = \"next.key\" }]";
const BOTH: &str = "key = [{ file = \"next.key\" }, { file = \"bankside.key\" }]";
const NEXT: &str = "key = [{ file = \"next.key\" }]";
/// Grants beside the one that is used: enough that sealing anew can be interrupted.
const MANY: usize = 1500;

/// A desk with a second key, whose store has been opened with the first one.
fn with_next_key() -> Desk {
    let desk = Desk::new();
    let key = desk.0.write("next.key", STANDARD.encode([42; 32]));
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).expect("it is ours");
    desk.says(0, &["grant", "list"]);
    desk
}

/// All bytes of the database's files, the write-ahead log included.
fn at_rest(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let of_store = files.filter(|path| path.to_string_lossy().contains("bankside.db"));
    of_store.flat_map(|path| fs::read(path).expect("it can be read")).collect()
}

/// Whether a text stands there as it is, or in base64 at any of its three offsets.
fn stands_in(text: &str, bytes: &[u8]) -> bool {
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    let in_base64 = (0..3).any(|offset| {
        let padded = [&b"\0\0"[..offset], text.as_bytes()].concat();
        let encoded = STANDARD_NO_PAD.encode(padded);
        // What depends on what precedes and follows is left out.
        has(&encoded.as_bytes()[4..encoded.len() - 4])
    });
    has(text.as_bytes()) || in_base64
}

fn revealed(desk: &Desk, bank: &str, grant: &str) -> [String; 2] {
    let shown = desk.0.reveal(bank, grant);
    ["access_token", "refresh_token"].map(|name| shown[name].as_str().expect("a token").to_owned())
}

/// Puts many grants into the store without a process for each.
fn import_many(desk: &Desk) {
    let config = Config::load(&desk.0.config, &ProcessEnvironment).expect("a configuration");
    let app = App::new(config).expect("it is sound");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let office = app.open().await.expect("the store opens");
        let tokens = &office.bank("cnb").expect("a bank").tokens;
        for number in 0..MANY {
            let response = format!(r#"{{"access_token":"access-{number}","refresh_token":"refresh-{number}"}}"#);
            let grant = format!("customer-{number}").parse().expect("a name");
            tokens.import(&grant, response.as_bytes()).await.expect("it is kept");
        }
    });
}

#[test]
fn the_database_and_its_log_hold_no_token_secret_or_code_in_clear() {
    let desk = Desk::new();
    let id = desk.0.sandbox.cnb().client_id().to_owned();
    desk.0.replace(&format!("client_id = \"{id}\"\n"), "");
    desk.0.replace("client_secret = { file = \"cnb-client-secret\" }\n", "");
    desk.says(0, &["register", "cnb"]);
    let _sidecar = desk.run();
    let callback = desk.login_with(&desk.0.config, "icard", "default");
    desk.login("cnb", "aisp");
    let mut secrets: Vec<String> = Vec::new();
    secrets.extend(revealed(&desk, "icard", "default"));
    secrets.extend(revealed(&desk, "cnb", "aisp"));
    desk.says(0, &["grant", "renew", "icard"]);
    secrets.extend(revealed(&desk, "icard", "default"));
    let query = callback.split_once('?').expect("a query").1;
    secrets.extend(form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value.into_owned()));
    // A login that was begun and not finished: its session and state.
    let begun = support::program::Login::begin(&desk.0.config, "icard", "other");
    let url = begun.url.split_once('?').expect("a query").1.to_owned();
    let parameters = form_urlencoded::parse(url.as_bytes()).filter(|(name, _)| name == "state" || name == "auth_id");
    secrets.extend(parameters.map(|(_, value)| value.into_owned()));
    let bytes = at_rest(desk.0.dir());
    assert!(bytes.len() > 10_000 && secrets.len() >= 8);
    assert!(stands_in("needs no secret: customer", b"x needs no secret: customer"), "what is there is found");
    for secret in &secrets {
        assert!(!stands_in(secret, &bytes), "a secret of {} bytes stands in the store", secret.len());
    }
    let key = fs::read(desk.0.dir().join("bankside.key")).expect("a key");
    assert!(!stands_in(std::str::from_utf8(&key).expect("base64").trim(), &bytes));
}

#[test]
fn a_key_is_replaced_while_sidecars_run_and_no_request_fails() {
    let desk = with_next_key();
    desk.login("icard", "default");
    import_many(&desk);
    desk.rotating().change_rules(|rules| (rules.access_lifetime, rules.reuse_ends_grant) = (2 * SECOND, true));
    desk.says(0, &["grant", "renew", "icard"]);
    desk.0.replace(OLD, BOTH_OLD_FIRST);
    let first = desk.run();
    desk.0.replace(BOTH_OLD_FIRST, BOTH);
    let second = desk.run();
    let addresses = [first.address("icard"), second.address("icard")];
    std::thread::scope(|scope| {
        let asking = scope.spawn(move || {
            let end = std::time::Instant::now() + 8 * SECOND;
            while std::time::Instant::now() < end {
                for address in addresses {
                    let (status, answer) = get(address, "/v1/accounts", "");
                    assert_eq!(status, 200, "{answer}");
                }
                time_passes(Duration::from_millis(50));
            }
        });
        let log = desk.0.dir().join("rotation.log");
        let rotation = Service::start(command(&["store", "rotate-key", "-c", desk.0.config_arg()]), &log);
        within(10 * SECOND, "it has begun", || rotation.log().contains("sealed anew"));
        time_passes(Duration::from_millis(60));
        rotation.end(Signal::SIGKILL);
        // The first sidecar seals under the old key as long as it runs: it may have to be ended before all is new.
        asking.join().expect("no request failed");
    });
    assert_eq!(first.terminate(), Some(0));
    let said = desk.says(0, &["store", "rotate-key"]);
    assert!(said.contains("may be taken out"), "{said}");
    assert_eq!(get(second.address("icard"), "/v1/accounts", "").0, 200);
    assert_eq!(second.terminate(), Some(0));
    desk.0.replace(BOTH, NEXT);
    let third = desk.run();
    within(10 * SECOND, "the next key alone opens everything", || {
        get(third.address("icard"), "/v1/accounts", "").0 == 200
    });
    assert_eq!(revealed(&desk, "cnb", "customer-1499"), ["access-1499", "refresh-1499"]);
    assert_eq!(desk.rotating().counters().refresh_reuse, 0);
    let again = desk.says(0, &["store", "rotate-key"]);
    assert!(again.contains("Everything is sealed"), "{again}");
}

#[test]
fn a_wrong_or_missing_key_is_one_clear_problem_at_the_start() {
    let desk = with_next_key();
    desk.login("icard", "default");
    desk.0.replace(OLD, NEXT);
    let toml = desk.0.toml();
    let line = toml[..toml.find(NEXT).expect("the key")].matches('\n').count() + 1;
    let commands: [&[&str]; 6] = [
        &["run"],
        &["grant", "list"],
        &["store", "rotate-key"],
        &["login", "icard"],
        &["register", "icard", "--list"],
        &["check"],
    ];
    for arguments in commands {
        let said = desk.says(78, arguments);
        let problem = format!("bankside.toml:{line}: store.key: the store was sealed under the key with id ");
        assert_eq!(said.matches(&problem).count(), 1, "{said}");
        assert_eq!(said.matches("sealed under").count(), 1, "{said}");
    }
    desk.0.replace(NEXT, "key = []");
    assert!(desk.says(78, &["grant", "list"]).contains("store.key"));
    desk.0.replace("key = []", BOTH);
    assert_eq!(desk.state("icard", "default"), "active");
    // From here on values may stand under both.
    desk.0.replace(BOTH, OLD);
    says(&desk.0.config, 78, &["grant", "list"], "");
}
