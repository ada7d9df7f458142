//! The files for a sidecar in another process.

use std::os::unix::fs::PermissionsExt;

use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Config;

use super::super::Listens;
use super::client::sandbox;

#[tokio::test]
async fn the_files_hold_what_their_names_say_and_secrets_are_the_owners_alone() {
    let (sandbox, dir) = (sandbox().await, tempfile::tempdir().expect("a directory"));
    for _ in 0..2 {
        let files = sandbox.write_to(dir.path(), &Listens::default()).expect("written, also a second time");
        let chain: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
            .expect("PEM")
            .map(|c| c.expect("a certificate"))
            .collect();
        assert_eq!(chain, sandbox.qwac().chain());
        assert_eq!(PrivateKeyDer::from_pem_file(&files.private_key).expect("PEM"), sandbox.qwac().key());
        let p12 = std::fs::read(&files.pkcs12).expect("a file");
        let store = KeyStore::from_pkcs12(&p12, "sandbox", Pkcs12ImportPolicy::Strict).expect("PKCS#12");
        assert_eq!(store.private_key_chain().expect("a key").1.certs()[0].as_der(), chain[0].as_ref());
        for name in ["qwac-key.pem", "qwac.p12", "qwac.p12.password", "icard-client-secret", "cnb-client-secret"] {
            let mode = std::fs::metadata(dir.path().join(name)).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}

#[tokio::test]
async fn a_folder_with_files_of_somebody_else_is_left_as_it_is() {
    let sandbox = sandbox().await;
    for name in ["bankside.toml", "qwac.pem", "qwac-key.pem", "icard-client-secret", "cnb-client-secret", "ca.pem"] {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join(name), "real").expect("written");
        let error = sandbox.write_to(dir.path(), &Listens::default()).expect_err("refused");
        let expected = format!("{}/bankside.toml is not a sandbox's: choose another --dir", dir.path().display());
        assert_eq!(error.to_string(), expected, "{name}");
        assert_eq!(std::fs::read(dir.path().join(name)).expect("a file"), b"real");
        assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 1, "nothing else is written");
    }
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("app.toml"), "real").expect("written");
    sandbox.write_to(dir.path(), &Listens::default()).expect("other files are in nobody's way");
}

#[tokio::test]
async fn the_configuration_is_toml_that_names_no_real_bank() {
    let sandbox = sandbox().await;
    let text = sandbox.config_toml(&Listens::default());
    let toml: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(
        !text.contains("https://") || text.matches("https://").count() == text.matches("https://localhost:").count()
    );
    assert_eq!(toml["banks"]["cnb"]["routes"][0]["grant"].as_str(), Some("pisp"));
    assert_eq!(toml["banks"]["icard"]["oauth"]["session"]["url"].as_str(), Some(&*sandbox.icard().urls().session));
    assert!(!text.contains(sandbox.icard().client_secret().expose_str().expect("text")));
}

#[tokio::test]
async fn the_sidecar_accepts_the_written_configuration() {
    let (sandbox, dir) = (sandbox().await, tempfile::tempdir().expect("a directory"));
    let files = sandbox.write_to(dir.path(), &Listens::default()).expect("written");
    let config = Config::load(&files.config, &|_: &str| None).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.banks.len(), 3);
    assert!(
        config.warnings.is_empty() || config.warnings.iter().all(|warning| warning.place.file.starts_with("profile:")),
        "{:?}",
        config.warnings
    );
}
