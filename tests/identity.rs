//! Every way in which a company keeps its QWAC, with every kind of key, shown to banks of every version of TLS.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rcgen::KeyPair;
use support::parts::have;
use support::pki::{Authority, p256, rsa_2048};
use support::program::Sidecar;
use support::softhsm::{PIN, SoftHsm};
use support::tls_bank::TlsBank;
use support::{http, tools};

const PASSPHRASE: &str = "correct-horse";

/// How a source is made of `key.pem` and `leaf.pem`, in PKCS#8 and PEM: the tool's arguments, and the rest of the
/// identity's table, in which `FILE` stands for what was made. `TRADITIONAL` is the tool's word for the key's old form.
const SOURCES: [(&str, &str, &str); 11] = [
    ("pkcs8", "pkey -in key.pem -out FILE", "certificate = 'LEAF'\nprivate_key = 'FILE'"),
    ("old-form", "TRADITIONAL -in key.pem -out FILE", "certificate = 'LEAF'\nprivate_key = 'FILE'"),
    (
        "pbes2",
        "pkcs8 -topk8 -v2 aes-256-cbc -in key.pem -out FILE PASSOUT",
        "certificate = 'LEAF'\nprivate_key = 'FILE'\nPASS",
    ),
    (
        "scrypt",
        "pkcs8 -topk8 -scrypt -in key.pem -out FILE PASSOUT",
        "certificate = 'LEAF'\nprivate_key = 'FILE'\nPASS",
    ),
    (
        "pbes2-3des",
        "pkcs8 -topk8 -v2 des3 -in key.pem -out FILE PASSOUT",
        "certificate = 'LEAF'\nprivate_key = 'FILE'\nPASS",
    ),
    (
        "pbe-3des",
        "pkcs8 -topk8 -v1 PBE-SHA1-3DES -in key.pem -out FILE PASSOUT",
        "certificate = 'LEAF'\nprivate_key = 'FILE'\nPASS",
    ),
    (
        "dek-info",
        "TRADITIONAL -aes128 -in key.pem -out FILE PASSOUT",
        "certificate = 'LEAF'\nprivate_key = 'FILE'\nPASS",
    ),
    ("pkcs12", "pkcs12 -export -in LEAF -inkey key.pem -out FILE PASSOUT", "pkcs12 = 'FILE'\nPASS"),
    ("pkcs12-rc2", "pkcs12 -export -legacy -in LEAF -inkey key.pem -out FILE PASSOUT", "pkcs12 = 'FILE'\nPASS"),
    (
        "pkcs12-3des",
        "pkcs12 -export -legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1 -in LEAF -inkey key.pem -out FILE PASSOUT",
        "pkcs12 = 'FILE'\nPASS",
    ),
    ("pkcs12-empty", "pkcs12 -export -in LEAF -inkey key.pem -out FILE -passout pass:", "pkcs12 = 'FILE'"),
];

/// A bank's table, and the serial number that it is to see.
struct Case {
    name: String,
    serial: String,
    identity: String,
}

/// A case for each source of files, and one for the HSM.
fn cases(directory: &Path, kind: &str, key: &KeyPair, provider: &Authority, hsm: Option<&SoftHsm>) -> Vec<Case> {
    let folder = directory.join(kind);
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("key.pem"), key.serialize_pem()).expect("a file");
    let traditional = if kind == "rsa" { "rsa -traditional" } else { "ec" };
    let base = if kind == "rsa" { 0x1000 } else { 0x2000 };
    let mut cases = Vec::new();
    let mut next = |name: &str, identity: &str| {
        let number = base + u32::try_from(cases.len()).expect("few");
        let leaf = format!("{name}-leaf.pem");
        fs::write(folder.join(&leaf), provider.client(key, number).pem + &provider.pem).expect("a file");
        let identity = identity.replace("LEAF", &format!("{kind}/{leaf}"));
        cases.push(Case { name: format!("{kind}-{name}"), serial: format!("{number:x}"), identity });
        leaf
    };
    for (name, arguments, identity) in SOURCES {
        let file = format!("{name}.out");
        let identity = identity.replace("FILE", &format!("{kind}/{file}"));
        let identity = identity.replace("PASS", "passphrase = { file = 'passphrase' }");
        let leaf = next(name, &identity);
        let arguments = arguments.replace("PASSOUT", &format!("-passout pass:{PASSPHRASE}"));
        let arguments = arguments.replace("TRADITIONAL", traditional).replace("FILE", &file).replace("LEAF", &leaf);
        tools::openssl(&folder, &arguments);
    }
    if let Some(hsm) = hsm {
        let id = if kind == "rsa" { "0a1b" } else { "0a1c" };
        hsm.import("tpp", kind, id, &key.serialize_pem());
        let module = hsm.module.display();
        let pkcs11 = format!("{{ module = '{module}', token = 'tpp', key = '{kind}', pin = {{ file = 'pin' }} }}");
        next("pkcs11", &format!("certificate = 'LEAF'\npkcs11 = {pkcs11}"));
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_and_key_shows_the_right_certificate_with_every_version_of_tls() {
    if !have("openssl", "certificates and keys in all forms") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let (root, provider) = (Authority::new("Bank Root"), Authority::new("Trust Service Provider"));
    fs::write(path.join("root.pem"), &root.pem).expect("a file");
    fs::write(path.join("passphrase"), PASSPHRASE).expect("a file");
    fs::write(path.join("pin"), PIN).expect("a file");
    let hsm = if cfg!(feature = "pkcs11") { SoftHsm::new(path) } else { None };
    if let Some(hsm) = &hsm {
        hsm.token("tpp");
    }
    let mut all = cases(path, "rsa", &rsa_2048(), &provider, hsm.as_ref());
    all.extend(cases(path, "p256", &p256(), &provider, hsm.as_ref()));

    let mut config = String::from("admin = { listen = 'off' }\n[store]\nkey = { file = 'store.key' }\n");
    let versions = [("tls12", &rustls::version::TLS12), ("tls13", &rustls::version::TLS13)];
    for (version, supported) in versions {
        let bank = TlsBank::start(&root, &provider, supported).await;
        for case in &all {
            let Case { name, identity, .. } = case;
            let _ = write!(
                config,
                "\n[banks.{name}-{version}]\nlisten = '127.0.0.1:0'\nbase_url = 'https://{}'\ngrant_type = 'fixed'\n\
                 token = {{ value = 'test' }}\ntls = {{ ca = ['root.pem'], system_roots = false }}\n\
                 [banks.{name}-{version}.identity]\n{identity}\n",
                bank.address
            );
        }
    }
    fs::write(path.join("bankside.toml"), config).expect("a file");
    let environment = hsm.as_ref().map(SoftHsm::environment).unwrap_or_default();
    let sidecar = Sidecar::run_prepared(tools::with(&environment), &path.join("bankside.toml"));
    assert!(all.len() >= 2 * SOURCES.len());
    for (version, _) in versions {
        for Case { name, serial, .. } in &all {
            let answer = http::get(sidecar.address(&format!("{name}-{version}")), "/").await;
            let body = String::from_utf8_lossy(&answer.body);
            assert_eq!((answer.status, &*body), (200, serial.as_str()), "{name} {version}");
        }
    }
}
