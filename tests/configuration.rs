//! The configuration as the commands see it: every mistake at once, with its place, and no secret's value.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use bankside::sandbox::{Pki, Qwac, QwacOptions, Validity};
use bankside::words::{Clock, Random};
use support::http::get;
use support::parts::have;
use support::program::{Said, Sidecar, bankside, command, finish};
use support::wait::until;
use support::world::World;

/// A configuration on its own, in a folder with the files that it names.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder"));
        folder.write("bankside.toml", config);
        folder
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), content).expect("it can be written");
    }

    fn path(&self) -> String {
        self.0.path().join("bankside.toml").to_str().expect("UTF-8").to_owned()
    }

    fn run(&self, subcommand: &str) -> Said {
        bankside(&[subcommand, "-c", &self.path()], "")
    }
}

fn pki() -> Pki {
    Pki::new(Clock::system(), Random::system()).expect("a PKI")
}

fn qwac() -> Qwac {
    pki().qwac(&QwacOptions::default()).expect("a QWAC")
}

/// A bank that needs nothing but an identity.
fn with_identity(identity: &str) -> String {
    format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n\n[identity]\n{identity}\n\n[banks.icard]\nprofile = \"icard\"\n\
         listen = \"127.0.0.1:0\"\nclient_id = \"id\"\nclient_secret = {{ file = \"secret\" }}\n\
         redirect_uri = \"https://app.example/callback\"\n"
    )
}

/// A configuration with this identity, and its files; what is wrong with the identity is all that is wrong.
fn folder_with_identity(identity: &str, certificate: &str, key: &[u8]) -> Folder {
    let folder = Folder::new(&with_identity(identity));
    folder.write("secret", "s3cr3t-client-secret");
    folder.write("qwac.pem", certificate);
    folder.write("qwac-key.pem", key);
    folder
}

const PEM: &str = "certificate = \"qwac.pem\"\nprivate_key = \"qwac-key.pem\"";

/// `check` and `run` both exit with 78, and say this at that line.
fn refused_by_both(folder: &Folder, place: &str, words: &str) {
    for subcommand in ["check", "run"] {
        let said = folder.run(subcommand).with(78);
        let at = format!("{}:{place}", folder.path());
        let line = said.err.lines().find(|line| line.starts_with(&at));
        let line = line.unwrap_or_else(|| panic!("{subcommand} says nothing at {at}:\n{}", said.err));
        assert!(line.to_lowercase().contains(words), "{subcommand}: {line}");
        assert_eq!(said.out, "");
    }
}

#[test]
fn ten_mistakes_are_ten_problems_at_their_lines_and_no_secrets_value_is_among_them() {
    let lines = [
        (false, "[log]"),
        (true, "format = \"yaml\""),
        (false, "[admin]"),
        (true, "lisen = \"127.0.0.1:0\""),
        (false, "[identity]"),
        (true, "certificate = \"missing.pem\""),
        (false, "private_key = \"qwac-key.pem\""),
        (false, "[banks.icard]"),
        (false, "profile = \"icard\""),
        (true, "listen = \"0.0.0.0:8080\""),
        (false, "client_id = \"id\""),
        (true, "client_secret = \"hunter2-in-the-open\""),
        (true, "redirect_uri = \"not a url\""),
        (true, "scopes = \"ais\""),
        (false, "[banks.icard.timeouts]"),
        (true, "connect = \"5 parsecs\""),
        (false, "[[banks.icard.routes]]"),
        (true, "path = \"accounts\""),
        (false, "[banks.fixed]"),
        (false, "listen = \"127.0.0.1:0\""),
        (true, "base_url = \"http://bank.example\""),
        (false, "grant_type = \"fixed\""),
        (false, "token = { value = \"hunter3-a-token\" }"),
    ];
    let text: Vec<&str> = lines.iter().map(|(_, line)| *line).collect();
    let folder = Folder::new(&text.join("\n"));
    folder.write("qwac-key.pem", qwac().key_pem().expose());

    let said = folder.run("check").with(78);
    let wrong: Vec<usize> = (1..).zip(&lines).filter(|(_, (wrong, _))| *wrong).map(|(number, _)| number).collect();
    assert_eq!(wrong.len(), 10);
    for number in &wrong {
        let place = format!("{}:{number}: ", folder.path());
        let told: Vec<&str> = said.err.lines().filter(|line| line.starts_with(&place)).collect();
        assert_eq!(told.len(), 1, "line {number}, {:?}:\n{}", text[number - 1], said.err);
        // What is wrong, and what to do.
        assert!(told[0].contains("; "), "{}", told[0]);
    }
    assert_eq!(said.err.lines().count(), 10, "{}", said.err);
    let misspelt = said.err.lines().find(|line| line.contains(":4: ")).expect("the misspelt key");
    assert!(misspelt.contains("listen"), "a spelling is suggested: {misspelt}");
    for value in ["hunter2", "hunter3"] {
        assert!(!said.err.contains(value), "{}", said.err);
    }
    // The same from `run`.
    assert_eq!(folder.run("run").with(78).err, said.err);
}

#[test]
fn what_is_wrong_with_identities_and_roots_is_told_beside_the_mistakes_in_the_text() {
    let (one, other) = (qwac(), qwac());
    let text = with_identity(PEM).replace("redirect_uri", "redirekt = 1\nredirect_uri")
        + "\n[banks.other]\nprofile = \"cnb\"\nlisten = \"127.0.0.1:0\"\nclient_id = \"id\"\n\
           client_secret = { file = \"secret\" }\nredirect_uri = \"https://app.example/callback\"\n\
           [banks.other.tls]\nca = [\"ca.pem\"]\n[banks.other.identity]\ncertificate = \"old.pem\"\n\
           private_key = \"old-key.pem\"\n";
    let folder = Folder::new(&text);
    folder.write("secret", "s3cr3t-client-secret");
    folder.write("qwac.pem", one.chain_pem());
    folder.write("qwac-key.pem", other.key_pem().expose());
    folder.write("ca.pem", "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n");
    folder.write("old.pem", other.chain_pem());
    folder.write("old-key.pem", one.key_pem().expose());
    for (key, words) in [
        ("redirekt", "redirect_uri"),
        ("identity.private_key", "does not belong"),
        ("banks.other.tls.ca", "cannot be used as a root"),
        ("banks.other.identity.private_key", "does not belong"),
    ] {
        let line = text.lines().position(|line| line.starts_with(key.rsplit('.').next().unwrap())).unwrap() + 1;
        let line = if key.starts_with("banks.other.identity") { text.lines().count() } else { line };
        refused_by_both(&folder, &format!("{line}: "), words);
    }
    assert_eq!(folder.run("check").err.lines().count(), 4);
}

#[test]
fn a_mistake_in_the_next_identity_does_not_hide_what_is_wrong_with_this_one() {
    let next = "[identity.next]\nfrom = \"some day\"\ncertificate = \"qwac.pem\"\nprivate_key = \"qwac-key.pem\"";
    let folder = folder_with_identity(&format!("{PEM}\n{next}"), qwac().chain_pem(), qwac().key_pem().expose());
    refused_by_both(&folder, "6: ", "does not belong");
    refused_by_both(&folder, "8: ", "from");
    assert_eq!(folder.run("check").err.lines().count(), 2);
}

#[test]
fn a_configuration_that_is_no_toml_is_refused_without_its_lines() {
    let folder = Folder::new("[banks.icard]\nclient_secret = { value = hunter2 }\n");
    let said = folder.run("check").with(78);
    assert!(said.err.contains(":2: "), "{}", said.err);
    assert!(!said.err.contains("hunter2"), "{}", said.err);
}

#[test]
fn a_configuration_that_is_not_there_is_78() {
    let said = bankside(&["check", "-c", "/nonexistent/bankside.toml"], "").with(78);
    assert!(said.err.contains("/nonexistent/bankside.toml:1: "), "{}", said.err);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, other) = (qwac(), qwac());
    refused_by_both(&folder_with_identity(PEM, one.chain_pem(), other.key_pem().expose()), "6: ", "does not belong");
}

#[test]
fn a_key_file_without_a_key_is_told_what_belongs_there() {
    for key in ["", "my key"] {
        let folder = folder_with_identity(PEM, qwac().chain_pem(), key.as_bytes());
        refused_by_both(&folder, "6: ", "name the file with -----begin private key-----");
    }
}

#[test]
fn files_that_are_missing_are_refused() {
    let folder = Folder::new(&with_identity(PEM));
    folder.write("secret", "s3cr3t");
    folder.write("qwac-key.pem", qwac().key_pem().expose());
    refused_by_both(&folder, "5: ", "qwac.pem");
    let folder = folder_with_identity(PEM, qwac().chain_pem(), b"");
    fs::remove_file(folder.0.path().join("qwac-key.pem")).unwrap();
    fs::remove_file(folder.0.path().join("secret")).unwrap();
    refused_by_both(&folder, "6: ", "qwac-key.pem");
    refused_by_both(&folder, "12: ", "secret");
}

#[test]
fn a_wrong_passphrase_is_refused_and_the_right_one_is_not() {
    let qwac = qwac();
    let identity = "pkcs12 = \"qwac.p12\"\npassphrase = { file = \"passphrase\" }";
    let folder = folder_with_identity(identity, "", b"");
    folder.write("qwac.p12", qwac.pkcs12("correct horse").expect("a PKCS#12 file"));
    folder.write("passphrase", "incorrect horse\n");
    for subcommand in ["check", "run"] {
        let said = folder.run(subcommand).with(78);
        assert!(said.err.to_lowercase().contains("passphrase"), "{}", said.err);
        assert!(!said.err.contains("horse"), "{}", said.err);
    }
    folder.write("passphrase", "correct horse\n");
    let said = folder.run("check").with(0);
    assert!(said.out.contains("Example TPP"), "{}", said.out);
}

#[test]
fn an_encrypted_key_without_its_passphrase_is_refused_and_with_it_is_taken() {
    if !have("openssl", "an encrypted key") {
        return;
    }
    let qwac = qwac();
    let folder = folder_with_identity(PEM, qwac.chain_pem(), qwac.key_pem().expose());
    let encrypted = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:correct horse", "-in"])
        .arg(folder.0.path().join("qwac-key.pem"))
        .output()
        .expect("openssl runs");
    assert!(encrypted.status.success());
    folder.write("qwac-key.pem", encrypted.stdout);
    refused_by_both(&folder, "6: ", "passphrase");

    let with_passphrase = format!("{PEM}\npassphrase = {{ env = \"QWAC_PASSPHRASE\" }}");
    folder.write("bankside.toml", with_identity(&with_passphrase));
    for (passphrase, code) in [("incorrect horse", 78), ("correct horse", 0)] {
        let mut check = command(&["check", "-c", &folder.path()]);
        check.env("QWAC_PASSPHRASE", passphrase);
        let said = finish(check, "").with(code);
        assert!(!said.err.contains("horse"), "{}", said.err);
    }
}

#[tokio::test]
async fn an_expired_certificate_is_78_from_check_and_a_warning_in_run() {
    let world = World::start().await;
    let expired = QwacOptions { validity: Validity::Expired, ..QwacOptions::default() };
    let expired = world.sandbox.pki().qwac(&expired).expect("a QWAC");
    world.write("qwac.pem", expired.chain_pem());
    world.write("qwac-key.pem", expired.key_pem().expose());
    let said = bankside(&["check", "-c", world.config_arg()], "").with(78);
    assert!(said.err.contains("expired at"), "{}", said.err);

    let sidecar = world.run();
    until("the log warns", || sidecar.log().contains("expired at")).await;
    let log = sidecar.log();
    let (whole_lines, _) = log.rsplit_once('\n').expect("lines");
    for line in whole_lines.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "no event: {line}");
    }
    let readiness = get(sidecar.address("admin"), "/readyz").await.with(503).json();
    assert!(readiness.to_string().contains("certificate"), "{readiness}");
    get(sidecar.address("admin"), "/livez").await.with(200);
}

#[tokio::test]
async fn a_rule_for_a_field_may_be_of_another_kind_than_the_built_in_profiles() {
    let world = World::start().await;
    let toml = world.toml();
    for (headers, code) in [
        ("set = { X-Request-ID = \"own\" }", 0),
        ("remove = [\"X-Request-ID\"]", 0),
        ("default = { x-request-id = \"own\" }", 0),
        ("set = { X-Request-ID = \"own\" }\nremove = [\"X-Request-ID\"]", 78),
    ] {
        let text = format!("{toml}\n[banks.icard.headers]\n{headers}\n");
        let line = text.find("\nset").map_or(0, |at| text[..=at].matches('\n').count() + 1);
        world.write("bankside.toml", text);
        let said = bankside(&["check", "-c", world.config_arg()], "").with(code);
        let is_told = said.err.contains(&format!("bankside.toml:{line}: banks.icard.headers.set.X-Request-ID: "));
        assert_eq!(is_told, code == 78, "{}", said.err);
    }
}

#[tokio::test]
async fn check_names_each_bank_with_where_it_listens_and_whose_certificate_it_shows() {
    let world = World::start().await;
    world.replace(
        "[banks.icard]\nprofile = \"icard\"\nlisten = \"127.0.0.1:0\"",
        "[banks.icard]\nprofile = \"icard\"\nlisten = [\"127.0.0.1:18080\", \"unix:icard.sock\"]",
    );
    let said = bankside(&["check", "-c", world.config_arg()], "").with(0);
    for part in ["icard", "cnb", "cnb-sandbox", "127.0.0.1:18080", "icard.sock", "Example TPP", "PSP_AI", "PSP_PI"] {
        assert!(said.out.contains(part), "{part}:\n{}", said.out);
    }
}

#[test]
fn the_schema_is_a_json_schema_of_every_table() {
    let schema = bankside(&["schema"], "").with(0).json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for table in ["log", "admin", "store", "runtime", "identity", "banks"] {
        assert!(schema["properties"][table].is_object(), "{table}");
    }
}

/// The files that the examples name, beside a copy of an example.
fn example(name: &str) -> Folder {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    let folder = Folder::new(&fs::read_to_string(path).expect("the example is there"));
    let qwac = qwac();
    folder.write("qwac.pem", qwac.chain_pem());
    folder.write("qwac-key.pem", qwac.key_pem().expose());
    folder.write("bank-ca.pem", pki().server_ca_pem());
    for secret in ["client-secret", "secret"] {
        folder.write(secret, "s3cr3t");
    }
    folder
}

#[test]
fn the_examples_of_the_configuration_are_good() {
    for name in ["bankside.toml", "icard.toml", "cnb.toml"] {
        let said = example(name).run("check").with(0);
        assert!(said.out.contains("is good"), "{name}: {}", said.out);
        assert!(!said.err.contains("s3cr3t"), "{}", said.err);
    }
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    for wrong in [
        &["chek"][..],
        &["check", "--nonsense"],
        &["login"],
        &["grant", "show"],
        &["demo", "--port", "x"],
        &["demo", "--port", "0"],
        &[],
    ] {
        assert_eq!(bankside(wrong, "").code, Some(2), "{wrong:?}");
    }
    for subcommand in ["demo", "run", "check", "login", "grant", "certificate", "sandbox", "schema", "completions"] {
        let said = bankside(&[subcommand, "--help"], "").with(0);
        assert!(said.out.contains("Usage: bankside"), "{}", said.out);
    }
    for subcommand in ["list", "show", "import", "renew", "remove"] {
        bankside(&["grant", subcommand, "--help"], "").with(0);
    }
    assert!(bankside(&["--help"], "").with(0).out.contains("Usage: bankside"));
    assert!(bankside(&["--version"], "").with(0).out.starts_with("bankside "));
}

#[test]
fn the_configuration_is_named_before_or_after_the_subcommand_or_in_the_environment() {
    let folder = example("icard.toml");
    let path = folder.path();
    let expected = bankside(&["check", "-c", &path], "").with(0).out;
    for arguments in [&["-c", &path, "check"][..], &["--config", &path, "check"], &["check", "--config", &path]] {
        assert_eq!(bankside(arguments, "").with(0).out, expected);
    }
    let mut by_environment = command(&["check"]);
    by_environment.env("BANKSIDE_CONFIG", &path);
    assert_eq!(finish(by_environment, "").with(0).out, expected);
    let mut by_folder = command(&["check"]);
    by_folder.current_dir(folder.0.path());
    by_folder.env("BANKSIDE_CONFIG", "");
    assert!(finish(by_folder, "").with(0).out.contains("icard"));
    assert_eq!(bankside(&["check", "-c", ""], "").code, Some(2));
}

#[test]
fn where_there_is_no_configuration_it_is_said_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    for subcommand in ["check", "run"] {
        let mut nowhere = command(&[subcommand]);
        nowhere.current_dir(folder.path());
        let said = finish(nowhere, "").with(78);
        let expected = "there is no configuration: neither ./bankside.toml nor /etc/bankside/bankside.toml; name one with \
                        `-c FILE`, or look around with `bankside demo`\n";
        assert_eq!(said.err, expected);
    }
}

#[test]
fn the_certificate_command_says_what_the_qwac_is() {
    let folder = example("icard.toml");
    let said = bankside(&["certificate", "--json", "-c", &folder.path()], "").with(0).json();
    assert_eq!(said["roles"], serde_json::json!(["PSP_PI", "PSP_AI", "PSP_IC"]));
    assert_eq!((&said["nca_id"], &said["nca_name"]), (&"CZ-CNB".into(), &"Czech National Bank".into()));
    assert_eq!(said["organization_identifier"], "PSDCZ-CNB-48136450");
    assert_eq!((&said["key_matches"], &said["client_auth"]), (&true.into(), &true.into()));
    assert!(said["days_left"].as_i64().is_some_and(|days| (363..=365).contains(&days)), "{said}");
    let file = folder.0.path().join("qwac.pem");
    let of_file = bankside(&["certificate", file.to_str().unwrap()], "").with(0);
    assert!(of_file.out.contains("PSDCZ-CNB-48136450"), "{}", of_file.out);
}

#[tokio::test]
async fn the_certificate_command_says_how_to_see_what_a_passphrase_seals() {
    let world = World::start().await;
    let file = world.dir().join("qwac.p12");
    let said = bankside(&["certificate", file.to_str().unwrap()], "").with(1);
    assert!(said.err.contains("name it as `pkcs12` in [identity] with its passphrase"), "{}", said.err);
}

#[test]
fn a_port_that_is_taken_ends_run_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = example("icard.toml");
    let text = fs::read_to_string(folder.path()).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    folder.write("bankside.toml", text.replace("127.0.0.1:8080", &address) + "\n[admin]\nlisten = \"off\"\n");
    let said = folder.run("run").with(1);
    assert!(said.err.contains(&address), "{}", said.err);
}

#[tokio::test]
async fn variables_are_filled_in_from_the_environment() {
    let world = World::start().await;
    world.replace("ca = [\"ca.pem\"]", "ca = [\"${BANKS_CA:-nowhere.pem}\"]");
    bankside(&["check", "-c", world.config_arg()], "").with(78);
    let mut with_variable = command(&[]);
    with_variable.env("BANKS_CA", "ca.pem");
    let sidecar = Sidecar::run_prepared(with_variable, &world.config);
    get(sidecar.address("admin"), "/livez").await.with(200);
}
