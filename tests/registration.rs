//! `bankside register`, by the real program against both simulated banks.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use bankside::sandbox::{Endpoint, Fault, Plan, Target};
use serde_json::Value;

use support::desk::{Desk, get, says};
use support::program::bankside;
use support::wait::here::within;

const REGISTRATION: Target = Target::Endpoint(Endpoint::Registration);

/// A desk whose configuration has no client id and no secret for this bank.
fn without_client(bank: &str) -> Desk {
    let desk = Desk::new();
    let of_bank = if bank == "icard" { desk.0.sandbox.icard() } else { desk.0.sandbox.cnb() };
    let id = of_bank.client_id().to_owned();
    desk.0.replace(&format!("client_id = \"{id}\"\n"), "");
    desk.0.replace(&format!("client_secret = {{ file = \"{bank}-client-secret\" }}\n"), "");
    desk
}

/// What the command prints to standard output, which is the client id alone.
fn register(desk: &Desk, arguments: &[&str]) -> String {
    let said = bankside(&[&["register"], arguments, &["-c", desk.0.config_arg()]].concat(), "").with(0);
    assert!(!said.err.contains("secret\":"), "{}", said.err);
    said.out.trim().to_owned()
}

fn list(desk: &Desk, bank: &str) -> Vec<Value> {
    let said = bankside(&["register", bank, "--list", "--json", "-c", desk.0.config_arg()], "").with(0);
    said.json().as_array().expect("an array").clone()
}

fn requests_to_registration(desk: &Desk) -> u64 {
    let of = |bank: &bankside::sandbox::Bank| bank.control().counters().requests.get(&Endpoint::Registration).copied();
    of(desk.0.sandbox.icard()).unwrap_or(0) + of(desk.0.sandbox.cnb()).unwrap_or(0)
}

#[test]
fn a_registered_app_logs_in_and_is_served_at_the_bank_with_a_form() {
    let desk = without_client("icard");
    desk.0.in_table(
        "banks.icard.registration",
        "format = \"form\"\nfields = { name = \"{name}\", redirect_uri = \"{redirect_uri}\", scopes = [\"{scopes}\"] }",
    );
    assert!(desk.says(1, &["login", "icard"]).contains("bankside register"), "the remedy names the command");
    let id = register(&desk, &["icard", "--name", "Acme & Söhne"]);
    assert!(!id.is_empty() && !id.contains(char::is_whitespace), "{id:?}");
    desk.login("icard", "default");
    let sidecar = desk.run();
    assert_eq!(get(sidecar.address("icard"), "/v1/accounts", "").0, 200);
    let listed = list(&desk, "icard");
    assert_eq!(listed.len(), 1, "this bank has no list: the store's");
    assert_eq!(
        (&listed[0]["client_id"], &listed[0]["in_use"], &listed[0]["secret_stored"]),
        (&id.into(), &true.into(), &true.into())
    );
}

#[test]
fn an_applications_api_is_listed_renewed_and_deleted() {
    let desk = without_client("cnb");
    let id = register(&desk, &["cnb", "--name", "Acme"]);
    let listed = list(&desk, "cnb");
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["client_id"], &listed[0]["client_name"], &listed[0]["at_bank"]),
        (&id.as_str().into(), &"Acme".into(), &true.into())
    );
    assert_eq!(
        listed[0]["scopes"],
        serde_json::json!(["aisp", "pisp"]),
        "the scopes of the named grants, an item each"
    );
    desk.login("cnb", "aisp");
    let sidecar = desk.run();
    let status = || get(sidecar.address("cnb"), "/cobs/5.0/my/accounts", "").0;
    assert_eq!(status(), 200);

    let said = bankside(&["register", "cnb", "--renew-secret", "-c", desk.0.config_arg()], "").with(0);
    assert_eq!(said.out.trim(), id);
    assert!(said.err.contains("old secret"), "it warns: {}", said.err);
    // The sidecar that runs takes the stored one: a renewal with the old one would be refused.
    assert_eq!(status(), 200);
    desk.0.sandbox.cnb().control().expire_access_tokens();
    within(Duration::from_secs(10), "the new secret is used", || status() == 200);
    assert_eq!(desk.0.sandbox.cnb().control().grants()[0].refreshes, 1);

    assert!(
        desk.says(1, &["register", "cnb"]).contains("1 grants belong"),
        "a second client would end the first one's grants"
    );
    assert!(desk.says(0, &["register", "cnb", "--delete", &id]).contains("grants"), "it warns");
    assert!(list(&desk, "cnb").is_empty());
    assert!(desk.0.sandbox.cnb().control().grants()[0].revoked);
    desk.says(1, &["register", "cnb", "--delete", &id]);
    desk.says(1, &["register", "cnb", "--renew-secret"]);
}

#[test]
fn configured_credentials_win_and_that_is_said() {
    let desk = Desk::new();
    let said = desk.says(0, &["register", "icard"]);
    assert!(said.contains("warning") && said.contains("client_id") && !said.contains("that ends"), "{said}");
    desk.login("icard", "default");
    assert!(desk.says(0, &["register", "icard"]).contains("that ends the 1 grants"));
    let id = desk.0.sandbox.icard().client_id().to_owned();
    assert_eq!(desk.rotating().grants()[0].client_id, id);
}

#[test]
fn a_secret_is_asked_for_only_if_the_store_takes_it() {
    let desk = without_client("cnb");
    desk.says(0, &["grant", "list"]);
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" register cnb -c \"$1\"";
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", script, support::program::PROGRAM, desk.0.config_arg()]);
    let said = support::program::finish(limited, "").with(1);
    assert!(said.err.contains("store"), "{}", said.err);
    assert_eq!(requests_to_registration(&desk), 0);
}

#[test]
fn a_registration_whose_answer_was_lost_is_told_and_found() {
    let desk = without_client("cnb");
    desk.0.sandbox.cnb().control().plan(Plan::next(1, REGISTRATION, Fault::CutHandled));
    let said = desk.says(1, &["register", "cnb"]);
    assert!(said.contains("--list"), "{said}");
    let listed = list(&desk, "cnb");
    assert_eq!((listed.len(), &listed[0]["secret_stored"]), (1, &false.into()));
    let id = listed[0]["client_id"].as_str().expect("an id");
    desk.says(0, &["register", "cnb", "--delete", id]);
    register(&desk, &["cnb"]);
    desk.0.sandbox.cnb().control().plan(Plan::next(1, REGISTRATION, Fault::CutHandled));
    assert!(desk.says(1, &["register", "cnb", "--renew-secret"]).contains("run this again"));
    desk.says(0, &["register", "cnb", "--renew-secret"]);
    desk.login("cnb", "aisp");
}

/// How often the bank was asked for a session or a token.
fn calls_of_the_client(bank: &bankside::sandbox::Bank) -> u64 {
    [Endpoint::Session, Endpoint::Token].map(|endpoint| bank.control().counters().requests(endpoint)).iter().sum()
}

#[test]
fn a_registration_whose_secret_is_not_found_fails_and_is_kept_for_another_secret() {
    let desk = without_client("cnb");
    let take = "take = { client_secret = [\"secretOfClient\"] }";
    desk.0.in_table("banks.cnb.registration", take);
    let said = bankside(&["register", "cnb", "-c", desk.0.config_arg()], "").with(1);
    assert_eq!(said.out, "");
    let listed = list(&desk, "cnb");
    let id = listed[0]["client_id"].as_str().expect("an id");
    assert_eq!((listed.len(), &listed[0]["in_use"], &listed[0]["secret_stored"]), (1, &true.into(), &false.into()));

    let way_on = ["register cnb --renew-secret", &format!("register cnb --delete {id}")];
    for words in [id, "no client secret", "`registration.take`", "`client_secret`"].iter().chain(&way_on) {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }

    let refused = desk.says(1, &["login", "cnb", "aisp"]);
    assert!(refused.contains("no client secret is known") && refused.contains("--renew-secret"), "{refused}");
    assert_eq!(calls_of_the_client(desk.0.sandbox.cnb()), 0, "no empty secret is sent");
    desk.0.replace(take, "");
    desk.says(0, &["register", "cnb", "--renew-secret"]);
    desk.login("cnb", "aisp");
}

#[test]
fn where_the_bank_renews_no_secret_a_registration_without_one_is_to_be_ended() {
    let desk = without_client("icard");
    desk.0.in_table("banks.icard.registration", "take = { client_secret = [\"secretOfClient\"] }");
    let said = desk.says(1, &["register", "icard"]);
    assert!(said.contains("--delete") && said.contains("--local") && !said.contains("--renew-secret"), "{said}");
    assert!(desk.says(1, &["login", "icard"]).contains("no client secret is known"));
    assert_eq!(calls_of_the_client(desk.0.sandbox.icard()), 0);
}

#[test]
fn a_client_that_needs_no_secret_is_registered_without_one() {
    let desk = without_client("cnb");
    desk.0.in_table("banks.cnb.registration", "take = { client_secret = [\"secretOfClient\"] }");
    desk.0.in_table("banks.cnb.oauth", "client_auth = \"tls_client_auth\"");
    register(&desk, &["cnb"]);
}

#[test]
fn a_deletion_that_the_store_does_not_take_in_is_told_as_done_at_the_bank() {
    let desk = without_client("cnb");
    let id = register(&desk, &["cnb"]);
    let store = rusqlite::Connection::open(desk.0.config.with_file_name("bankside.db")).expect("the store");
    let full = "CREATE TRIGGER full BEFORE DELETE ON kept WHEN old.kind = 'client' \
                BEGIN SELECT raise(ABORT, 'disk full'); END";
    store.execute_batch(full).expect("it can be changed");
    for arguments in [&["--delete"][..], &["--local", "--delete"]] {
        let said = desk.says(1, &[&["register", "cnb"], arguments, &[&*id]].concat());
        assert_eq!(said.contains("the bank has done it"), !arguments.contains(&"--local"), "{said}");
    }
}

#[test]
fn a_registration_that_the_bank_does_not_find_is_kept_here_until_a_person_says_otherwise() {
    let desk = without_client("cnb");
    let id = register(&desk, &["cnb"]);
    let right = "/applications/{client_id}\"\n";
    desk.0.replace(right, "/applications/wrong-{client_id}\"\n");
    let said = desk.says(1, &["register", "cnb", "--delete", &id]);
    for words in ["was kept", "`registration.delete_url`", "--list", &format!("--delete {id} --local")] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let listed = list(&desk, "cnb");
    assert_eq!((&listed[0]["secret_stored"], &listed[0]["at_bank"]), (&true.into(), &true.into()));
    desk.says(1, &["register", "cnb", "--delete", "nobody"]);
    desk.says(0, &["register", "cnb", "--delete", &id, "--local"]);
    assert_eq!(list(&desk, "cnb")[0]["secret_stored"], false);
}

#[test]
fn what_the_bank_refuses_is_told_with_its_words_and_nothing_is_stored() {
    let desk = without_client("icard");
    desk.0.in_table("banks.icard.registration", "fields = { redirect_uris = [] }");
    let said = desk.says(1, &["register", "icard"]);
    assert!(said.contains("400") && said.contains("redirect_uri is missing"), "{said}");
    for (fault, words) in [(Fault::garbage(), "client id"), (Fault::html(503), "503")] {
        desk.rotating().plan(Plan::next(1, REGISTRATION, fault));
        assert!(desk.says(1, &["register", "icard"]).contains(words), "{words}");
    }
    assert!(list(&desk, "icard").is_empty());
}

#[test]
fn what_does_not_go_together_or_is_not_there_is_refused() {
    let desk = Desk::new();
    let config = &desk.0.config;
    for wrong in [
        &["register"][..],
        &["register", "cnb", "--list", "--renew-secret"],
        &["register", "cnb", "--json"],
        &["register", "cnb", "--name", "x", "--list"],
        &["register", "cnb", "--local"],
    ] {
        says(config, 2, wrong, "");
    }
    assert!(desk.says(1, &["register", "nobank"]).contains("icard"), "it names the banks");
    assert!(desk.says(1, &["register", "cnb-sandbox"]).contains("registration"));
    assert!(desk.says(1, &["register", "icard", "--renew-secret"]).contains("renew_url"));
    assert!(desk.says(1, &["register", "icard", "--delete", "x"]).contains("delete_url"));
    assert_eq!(requests_to_registration(&desk), 0);
}
