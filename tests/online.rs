//! `bankside check --online`, against banks that work and banks that do not; and roles against scopes.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;

use support::pki::{Authority, p256};
use support::program::{Said, bankside};
use support::tls_bank::TlsBank;

/// A configuration of one bank that lives at `address`, and what `check --online` says.
async fn check(directory: &Path, address: &str) -> Said {
    let config = format!(
        "admin = {{ listen = 'off' }}\n[store]\nkey = {{ file = 'store.key' }}\n[identity]\ncertificate = 'qwac.pem'\n\
         private_key = 'key.pem'\n[banks.bank]\nlisten = '127.0.0.1:0'\nbase_url = 'https://{address}'\n\
         grant_type = 'fixed'\ntoken = {{ value = 'test' }}\ntls = {{ ca = ['root.pem'], system_roots = false }}\n"
    );
    let path = directory.join("bankside.toml");
    fs::write(&path, config).expect("a file");
    let run = move || bankside(&["check", "--online", "-c", path.to_str().expect("text")], "");
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

/// A folder with a QWAC of `provider`, and the root of a bank.
fn company(provider: &Authority, root: &Authority) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("a file");
    let qwac = provider.client(&p256(), 0xabc);
    write("qwac.pem", &(qwac.pem + &provider.pem));
    write("key.pem", &qwac.key_pem);
    write("root.pem", &root.pem);
    directory
}

#[tokio::test]
async fn a_bank_that_works_is_described() {
    for (version, words) in [(&rustls::version::TLS12, "TLS 1.2"), (&rustls::version::TLS13, "TLS 1.3")] {
        let (root, provider) = (Authority::new("Bank Root"), Authority::new("Trust Service Provider"));
        let bank = TlsBank::start(&root, &provider, version).await;
        let directory = company(&provider, &root);
        let said = check(directory.path(), &bank.address.to_string()).await.with(0);
        for words in [
            words,
            "addresses   127.0.0.1",
            "issued by CN=Bank Root",
            "a client certificate of: CN=Trust Service Provider",
            "taken; a request without a token was answered 200",
        ] {
            assert!(said.out.contains(words), "{words} in\n{}", said.out);
        }
        assert!(!said.out.contains("FAILED") && !said.out.contains("mind"), "{}", said.out);
    }
}

#[tokio::test]
async fn a_refused_certificate_is_a_failure_that_names_the_side() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (root, provider) = (Authority::new("Bank Root"), Authority::new("Trust Service Provider"));
        let bank = TlsBank::start(&root, &Authority::new("Another Provider"), version).await;
        let directory = company(&provider, &root);
        let said = check(directory.path(), &bank.address.to_string()).await.with(1);
        assert!(said.out.contains("FAILED      the bank refused our certificate"), "{}", said.out);
        assert!(said.err.contains("1 thing failed online"), "{}", said.err);
    }
}

#[tokio::test]
async fn a_bank_that_is_not_trusted_or_not_there_is_a_failure_with_a_remedy() {
    let (root, provider) = (Authority::new("Bank Root"), Authority::new("Trust Service Provider"));
    let bank = TlsBank::start(&root, &provider, &rustls::version::TLS13).await;
    let directory = company(&provider, &Authority::new("Another Root"));
    let said = check(directory.path(), &bank.address.to_string()).await.with(1);
    for words in
        ["shows", "issued by CN=Bank Root", "FAILED      the bank's certificate or TLS was not accepted", "tls.ca"]
    {
        assert!(said.out.contains(words), "{words} in\n{}", said.out);
    }
    let said = check(directory.path(), "bank.invalid").await.with(1);
    assert!(said.out.contains("FAILED      the bank's name could not be resolved"), "{}", said.out);
    let said = check(directory.path(), "127.0.0.1:1").await.with(1);
    assert!(said.out.contains("FAILED      the connection to the bank was not made"), "{}", said.out);
}

#[tokio::test]
async fn what_a_certificate_says_does_not_reach_the_terminal() {
    let (root, provider) = (Authority::new("Bank Root"), Authority::new("Trust Service Provider"));
    let issued = root.server("evil\u{1b}[31m.example");
    let bank = TlsBank::showing(&issued, &provider, &rustls::version::TLS13).await;
    let directory = company(&provider, &root);
    let said = check(directory.path(), &bank.address.to_string()).await.with(1);
    assert!(said.out.contains("evil\\u{1b}[31m.example") && !said.out.contains('\u{1b}'), "{:?}", said.out);
}
