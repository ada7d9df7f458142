//! `bankside certificate` and what `check` says of roles, on certificates that openssl made and nothing of ours.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::json;
use support::parts::have;
use support::program::bankside;
use support::tools;

/// Role names and their numbers in ETSI TS 119 495, section 5.1.
const AI: (&str, u8) = ("PSP_AI", 3);
const PI: (&str, u8) = ("PSP_PI", 2);

/// Makes `qwac.pem` and `key.pem` with these roles; without any, there is no PSD2 statement.
fn make(directory: &Path, roles: &[(&str, u8)]) {
    let mut conf = String::from(
        "[req]\ndistinguished_name = dn\nprompt = no\nx509_extensions = ext\n[dn]\nC = CZ\nO = Example TPP\n\
         CN = tpp.example\n",
    );
    if !roles.is_empty() {
        conf.push_str("organizationIdentifier = PSDCZ-CNB-12345678\n");
    }
    conf.push_str("[ext]\nkeyUsage = critical, digitalSignature\nextendedKeyUsage = clientAuth, serverAuth\n");
    if !roles.is_empty() {
        conf.push_str(
            "1.3.6.1.5.5.7.1.3 = ASN1:SEQUENCE:statements\n[statements]\na = SEQUENCE:kind\nb = SEQUENCE:psd2\n[kind]\n\
             a = OID:0.4.0.1862.1.6\nb = SEQUENCE:kinds\n[kinds]\na = OID:0.4.0.1862.1.6.3\n[psd2]\n\
             a = OID:0.4.0.19495.2\nb = SEQUENCE:info\n[info]\na = SEQUENCE:roles\nb = UTF8:Czech National Bank\n\
             c = UTF8:CZ-CNB\n[roles]\n",
        );
        for (name, _) in roles {
            let _ = writeln!(conf, "{name} = SEQUENCE:{name}");
        }
        for (name, number) in roles {
            let _ = write!(conf, "[{name}]\na = OID:0.4.0.19495.1.{number}\nb = UTF8:{name}\n");
        }
    }
    fs::write(directory.join("openssl.cnf"), conf).expect("a file");
    let arguments = "req -x509 -newkey rsa:2048 -nodes -days 100 -config openssl.cnf -keyout key.pem -out qwac.pem";
    tools::openssl(directory, arguments);
}

#[test]
fn a_psd2_certificate_of_openssl_is_understood() {
    if !have("openssl", "certificates and keys in all forms") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    make(directory.path(), &[AI, PI]);
    let file = directory.path().join("qwac.pem");
    let file = file.to_str().expect("text");
    let json = bankside(&["certificate", "--json", file], "").with(0).json();
    assert_eq!(json["roles"], json!(["PSP_PI", "PSP_AI"]));
    assert_eq!((&json["nca_id"], &json["nca_name"]), (&json!("CZ-CNB"), &json!("Czech National Bank")));
    assert_eq!(json["organization_identifier"], "PSDCZ-CNB-12345678");
    assert_eq!(
        (&json["client_auth"], &json["key"], &json["key_matches"]),
        (&json!(true), &json!("RSA 2048"), &json!(null))
    );
    assert!([99, 100].contains(&json["days_left"].as_i64().expect("a whole number")), "{json}");
    let page = bankside(&["certificate", file], "").with(0).out;
    for words in ["Example TPP", "PSDCZ-CNB-12345678", "PSP_AI (account information)", "Czech National Bank (CZ-CNB)"] {
        assert!(page.contains(words), "{words} in\n{page}");
    }
}

#[test]
fn a_certificate_without_psd2_statements_is_understood_too() {
    if !have("openssl", "certificates and keys in all forms") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    make(directory.path(), &[]);
    let file = directory.path().join("qwac.pem");
    let file = file.to_str().expect("text");
    let json = bankside(&["certificate", "--json", file], "").with(0).json();
    assert_eq!(json["roles"], json!([]));
    assert_eq!((&json["nca_id"], &json["organization_identifier"]), (&json!(null), &json!(null)));
    let page = bankside(&["certificate", file], "").with(0).out;
    assert!(page.contains("the certificate names no PSD2 role"), "{page}");
}

#[test]
fn a_scope_without_its_role_is_a_warning() {
    if !have("openssl", "certificates and keys in all forms") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    make(directory.path(), &[AI]);
    let say = |bank: &str| {
        let config = format!(
            "admin = {{ listen = 'off' }}\n[store]\nkey = {{ file = 'store.key' }}\n[identity]\n\
             certificate = 'qwac.pem'\nprivate_key = 'key.pem'\n[banks.bank]\nlisten = '127.0.0.1:0'\n\
             redirect_uri = 'https://tpp.example/callback'\nclient_id = 'x'\nclient_secret = {{ file = 'key.pem' }}\n{bank}\n"
        );
        let path = directory.path().join("bankside.toml");
        fs::write(&path, config).expect("a file");
        bankside(&["check", "-c", path.to_str().expect("text")], "").with(0).err
    };
    let missing = |scope: &str| format!("no role PSP_PI (payment initiation), which the scope {scope} needs");
    assert!(say("profile = 'icard'").contains(&missing("pis")));
    assert!(!say("profile = 'icard'\nscopes = ['ais']").contains("no role"));
    assert!(
        say("profile = 'cnb'\ngrants = { a = { scopes = ['aisp'] }, p = { scopes = ['pisp'] } }")
            .contains(&missing("pisp"))
    );
    assert!(!say("profile = 'icard'\nroles = { pis = 'PSP_AI' }").contains("no role"));
}
