//! A QWAC whose key stays in an HSM: a slow one, one that is pulled out, and every mistake with one.

#![cfg(feature = "pkcs11")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::version::{TLS12, TLS13};
use support::pki::{Authority, p256, rsa_2048};
use support::program::{Said, Sidecar, finish};
use support::softhsm::{PIN, Shim, SoftHsm};
use support::tls_bank::TlsBank;
use support::wait;
use support::{http, tools};

/// Handshakes that are asked for at once.
const MANY: usize = 2000;

/// A company: its HSM with one token and one key, `qwac`, and its certificate.
struct Company {
    directory: tempfile::TempDir,
    hsm: SoftHsm,
    root: Authority,
    provider: Authority,
    serial: String,
}

impl Company {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let hsm = SoftHsm::new(directory.path())?;
        let (root, provider) = (Authority::new("Bank Root"), Authority::new("Trust Service Provider"));
        let key = rsa_2048();
        hsm.token("tpp");
        hsm.import("tpp", "qwac", "0a1b", &key.serialize_pem());
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("a file");
        write("qwac.pem", &(provider.client(&key, 0xabc).pem + &provider.pem));
        let other = provider.client(&p256(), 0xdef);
        write("other.pem", &other.pem);
        write("other-key.pem", &other.key_pem);
        write("root.pem", &root.pem);
        write("pin", PIN);
        Some(Self { directory, hsm, root, provider, serial: "abc".to_owned() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a configuration.
    fn configure(&self, identity: &str, banks: &[String]) -> PathBuf {
        let config = format!(
            "admin = {{ listen = 'off' }}\nruntime = {{ workers = 1 }}\n[store]\nkey = {{ file = 'store.key' }}\n\
             {identity}\n{}",
            banks.concat()
        );
        fs::write(self.path("bankside.toml"), config).expect("a file");
        self.path("bankside.toml")
    }

    /// The module that can be held up. `None` where there is no C compiler.
    fn shim(&self) -> Option<Shim> {
        Shim::new(self.directory.path())
    }
}

/// `[identity]` with the key in the HSM that `module` reaches.
fn identity(module: &Path) -> String {
    format!(
        "[identity]\ncertificate = 'qwac.pem'\n[identity.pkcs11]\nmodule = '{}'\ntoken = 'tpp'\nkey = 'qwac'\n\
         pin = {{ file = 'pin' }}\n",
        module.display()
    )
}

fn bank(name: &str, bank: &TlsBank, more: &str) -> String {
    format!(
        "\n[banks.{name}]\nlisten = '127.0.0.1:0'\nbase_url = 'https://{}'\ngrant_type = 'fixed'\n\
         token = {{ value = 'test' }}\ntls = {{ ca = ['root.pem'], system_roots = false, alpn = ['http/1.1'] }}\n{more}\n",
        bank.address
    )
}

/// Room for thousands of connections, here and in the programs that are started.
fn raise_open_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard).expect("it may be raised to the hard limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_handshakes_block_no_request_that_needs_none_even_while_the_hsm_hangs() {
    let Some(company) = Company::new() else { return };
    let Some(shim) = company.shim() else { return };
    raise_open_files();
    let tls = TlsBank::start(&company.root, &company.provider, &TLS13).await;
    let patient = "timeouts.connect = '60s'\nlimits = { connections = 2100, in_flight = 4096, queue = '60s' }";
    let in_memory = "identity = { certificate = 'other.pem', private_key = 'other-key.pem' }";
    let banks = [bank("warm", &tls, patient), bank("many", &tls, patient), bank("memory", &tls, in_memory)];
    let config = company.configure(&identity(&shim.module), &banks);
    let sidecar = Sidecar::run_prepared(tools::with(&shim.environment(&company.hsm)), &config);
    let [warm, many, memory] = ["warm", "many", "memory"].map(|name| sidecar.address(name));
    assert_eq!(http::get(warm, "/").await.body, company.serial);

    fs::write(&shim.hold, "").expect("a file");
    let before = shim.noted("sign");
    let asked: Vec<_> = (0..MANY).map(|_| tokio::spawn(async move { http::get(many, "/close").await })).collect();
    wait::until("signatures begin, as many as may be at once", || shim.noted("sign") >= before + 8).await;
    // One worker serves all. While every thread that signs hangs in the HSM, it has time for who needs no signature of
    // the HSM: on a connection that is there, and on a new one with a key in memory.
    for _ in 0..20 {
        assert_eq!(http::get(warm, "/").await.body, company.serial);
        assert_eq!(http::get(memory, "/close").await.body, "def");
    }
    assert_eq!(asked.iter().filter(|answer| answer.is_finished()).count(), 0);
    fs::remove_file(&shim.hold).expect("it is there");
    for answer in asked {
        let answer = answer.await.expect("no panic");
        assert_eq!((answer.status, answer.body.as_ref()), (200, company.serial.as_bytes()));
    }
    assert!(tls.handshakes.load(Ordering::SeqCst) > MANY);
    assert_eq!(shim.noted("login"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_pulled_out_is_found_again() {
    let Some(company) = Company::new() else { return };
    for version in [&TLS12, &TLS13] {
        let tls = TlsBank::start(&company.root, &company.provider, version).await;
        let config = company.configure(&identity(&company.hsm.module), &[bank("bank", &tls, "")]);
        let sidecar = Sidecar::run_prepared(tools::with(&company.hsm.environment()), &config);
        let address = sidecar.address("bank");
        assert_eq!(http::get(address, "/close").await.body, company.serial);
        company.hsm.pull_out();
        let answer = http::get(address, "/close").await;
        assert_eq!(answer.status, 502);
        let problem = answer.json();
        assert_eq!(problem["type"], "urn:bankside:bank-tls");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("our own key did not sign"), "{detail}");
        company.hsm.plug_in();
        let found = async || (http::get(address, "/close").await.status == 200).then_some(());
        wait::until_found("the token is found", found).await;
        for _ in 0..10 {
            assert_eq!(http::get(address, "/close").await.body, company.serial);
        }
        assert!(!sidecar.log().contains(PIN));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_is_replaced_within_the_request() {
    let Some(company) = Company::new() else { return };
    let Some(shim) = company.shim() else { return };
    let tls = TlsBank::start(&company.root, &company.provider, &TLS13).await;
    let config = company.configure(&identity(&shim.module), &[bank("bank", &tls, "")]);
    let sidecar = Sidecar::run_prepared(tools::with(&shim.environment(&company.hsm)), &config);
    // CKR_GENERAL_ERROR, DEVICE_ERROR, DEVICE_REMOVED, KEY_HANDLE_INVALID, SESSION_CLOSED, SESSION_HANDLE_INVALID,
    // TOKEN_NOT_PRESENT, USER_NOT_LOGGED_IN.
    for code in ["5", "30", "32", "60", "b0", "b3", "e0", "101"] {
        fs::write(&shim.fail, code).expect("a file");
        let answer = http::get(sidecar.address("bank"), "/close").await;
        assert_eq!((answer.status, answer.body.as_ref()), (200, company.serial.as_bytes()), "{code}");
        assert!(!shim.fail.exists(), "{code} was met");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_wants_the_pin_before_each_signature_gets_it() {
    let Some(company) = Company::new() else { return };
    let Some(shim) = company.shim() else { return };
    let key = rsa_2048();
    if !company.hsm.import_asking("tpp", "asking", "0c", &key.serialize_pem()) {
        return;
    }
    fs::write(company.path("qwac.pem"), company.provider.client(&key, 0xabc).pem).expect("a file");
    let identity = identity(&shim.module).replace("'qwac'", "'asking'");
    for version in [&TLS12, &TLS13] {
        let tls = TlsBank::start(&company.root, &company.provider, version).await;
        let config = company.configure(&identity, &[bank("bank", &tls, "")]);
        let sidecar = Sidecar::run_prepared(tools::with(&shim.environment(&company.hsm)), &config);
        let address = sidecar.address("bank");
        let before = shim.noted("login");
        for _ in 0..3 {
            assert_eq!(http::get(address, "/close").await.body, company.serial);
        }
        assert_eq!(shim.noted("login"), before + 3, "the PIN for each handshake");
        let asked: Vec<_> = (0..50).map(|_| tokio::spawn(async move { http::get(address, "/close").await })).collect();
        for answer in asked {
            assert_eq!(answer.await.expect("no panic").body, company.serial);
        }
    }
}

#[test]
fn a_key_that_wants_the_pin_before_each_signature_and_cannot_get_it_is_told_by_check() {
    let Some(company) = Company::new() else { return };
    // SoftHSM makes ECDSA signatures of digests only, in one part.
    let key = p256();
    if !company.hsm.import_asking("tpp", "asking", "0c", &key.serialize_pem()) {
        return;
    }
    fs::write(company.path("qwac.pem"), company.provider.client(&key, 0xabc).pem).expect("a file");
    let bank = "[banks.bank]\nlisten = '127.0.0.1:0'\nbase_url = 'https://127.0.0.1:1'\ngrant_type = 'fixed'\n\
                token = { value = 'test' }\n";
    let identity = identity(&company.hsm.module).replace("'qwac'", "'asking'");
    let config = company.configure(&identity, &[bank.to_owned()]);
    let mut program = tools::with(&company.hsm.environment());
    program.args(["check", "-c", config.to_str().expect("text")]);
    let said = finish(program, "").with(78);
    let said = said.err + &said.out;
    assert!(said.contains("wants the PIN before each signature"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_follows_is_tried_in_its_hsm_beforehand() {
    let Some(company) = Company::new() else { return };
    let tls = TlsBank::start(&company.root, &company.provider, &TLS13).await;
    let next = |from: &str, key: &str| {
        let [key_in_memory, in_hsm] = [
            "[identity]\ncertificate = 'other.pem'\nprivate_key = 'other-key.pem'\n",
            "[identity.next.pkcs11]\nmodule = '{module}'\ntoken = 'tpp'\nkey = '{key}'\npin = { file = 'pin' }\n",
        ];
        let module = company.hsm.module.display().to_string();
        let in_hsm = in_hsm.replace("{module}", &module).replace("{key}", key);
        format!("{key_in_memory}[identity.next]\nfrom = '{from}'\ncertificate = 'qwac.pem'\n{in_hsm}")
    };
    let check = async |identity: &str| {
        let config = company.configure(identity, &[bank("bank", &tls, "")]);
        let mut program = tools::with(&company.hsm.environment());
        program.args(["check", "--online", "-c", config.to_str().expect("text")]);
        tokio::task::spawn_blocking(move || finish(program, "")).await.expect("no panic")
    };
    // It is not yet its time: the bank is shown the first one, and the next is proved all the same.
    let said = check(&next("2045-01-01T00:00:00Z", "qwac")).await.with(0);
    assert!(said.out.contains("taken; a request without a token was answered 200"), "{}", said.out);
    let said = check(&next("2045-01-01T00:00:00Z", "qwax")).await.with(78);
    assert!(said.err.contains("no private key qwax; it has qwac (id:0a1b)"), "{}", said.err);
    // Its time has come: the bank takes it.
    let said = check(&next("2020-01-01T00:00:00Z", "qwac")).await.with(0);
    assert!(said.out.contains("taken; a request without a token was answered 200"), "{}", said.out);
}

#[test]
fn each_mistake_with_an_hsm_has_words_of_its_own() {
    let Some(company) = Company::new() else { return };
    let good = identity(&company.hsm.module);
    let module = company.hsm.module.display().to_string();
    fs::write(company.path("wrong-pin"), "0815").expect("a file");
    let cases = [
        (good.replace(&module, "/nowhere.so"), "does not load"),
        (good.replace(&module, &company.path("pin").display().to_string()), "does not load"),
        (good.replace("'tpp'", "'tpq'"), "there is no token \"tpq\"; the module has tpp"),
        (good.replace("'qwac'", "'qwax'"), "no private key qwax; it has qwac (id:0a1b)"),
        (good.replace("'qwac'", "'id:0a1c'"), "no private key id:0a1c; it has qwac (id:0a1b)"),
        (good.replace("'pin'", "'wrong-pin'"), "the token refused the PIN (CKR_PIN_INCORRECT)"),
        (good.replace("'qwac.pem'", "'other.pem'"), "does not belong to the certificate"),
    ];
    let bank = "[banks.bank]\nlisten = '127.0.0.1:0'\nbase_url = 'https://127.0.0.1:1'\ngrant_type = 'fixed'\n\
                token = { value = 'test' }\n";
    let say = |identity: &str, command: &str| {
        let config = company.configure(identity, &[bank.to_owned()]);
        let config = config.to_str().expect("text");
        let mut program = tools::with(&company.hsm.environment());
        program.args([command, "-c", config]);
        let Said { code, out, err } = finish(program, "");
        let said = err + &out;
        assert!(!said.contains(PIN) && !said.contains("0815"), "{said}");
        (code, said)
    };
    for (identity, words) in cases {
        for command in ["check", "run"] {
            let (code, said) = say(&identity, command);
            assert_eq!(code, Some(78), "{said}");
            assert!(said.contains(words) && said.contains("bankside.toml:"), "{said}");
        }
    }
    let (code, said) = say(&good, "check");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = say(&good.replace("'qwac'", "'id:0A1B'"), "certificate");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("matches the certificate"), "{said}");
}

#[test]
fn a_module_beside_the_configuration_is_found_by_its_bare_name() {
    let Some(company) = Company::new() else { return };
    std::os::unix::fs::symlink(&company.hsm.module, company.path("hsm.so")).expect("a link");
    let bank = "[banks.bank]\nlisten = '127.0.0.1:0'\nbase_url = 'https://127.0.0.1:1'\ngrant_type = 'fixed'\n\
                token = { value = 'test' }\n";
    company.configure(&identity(Path::new("hsm.so")), &[bank.to_owned()]);
    let mut program = tools::with(&company.hsm.environment());
    program.current_dir(company.directory.path()).args(["check", "-c", "bankside.toml"]);
    finish(program, "").with(0);
}

#[test]
fn a_wrong_pin_is_tried_once_however_many_banks_share_it() {
    let Some(company) = Company::new() else { return };
    let Some(shim) = company.shim() else { return };
    fs::write(company.path("pin"), "0815").expect("a file");
    let table = |name: &str| {
        format!(
            "[banks.{name}]\nlisten = '127.0.0.1:0'\nbase_url = 'https://127.0.0.1:1'\ngrant_type = 'fixed'\n\
             token = {{ value = 'test' }}\n"
        )
    };
    let config = company.configure(&identity(&shim.module), &["a", "b", "c"].map(table));
    let environment = shim.environment(&company.hsm);
    let mut program = tools::with(&environment);
    program.args(["check", "-c", config.to_str().expect("text")]);
    finish(program, "").with(78);
    assert_eq!(shim.noted("login"), 1);
}
