//! PKCS#12 files as `openssl` makes them, today's and yesterday's.

use std::path::Path;

use crate::certificate::key::check_pair;
use crate::certificate::pki::{Kind, openssl};
use crate::certificate::{CertificateError, Facts, pkcs12};

use super::{directory_with, read};

const MODERN: &str = "";
const LEGACY: &str = " -legacy";
const TRIPLE_DES: &str = " -legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1";

fn export(path: &Path, more: &str) -> Vec<u8> {
    openssl(path, &format!("pkcs12 -export -in leaf.pem -inkey key.pem -out leaf.p12{more}"));
    read(path, "leaf.p12")
}

#[test]
fn files_of_every_age_are_read() {
    for kind in [Kind::Rsa, Kind::P256] {
        let Some(directory) = directory_with(kind) else { return };
        let path = directory.path();
        for age in [MODERN, LEGACY, TRIPLE_DES] {
            let file = export(path, &format!("{age} -passout pass:correct-horse -certfile root.pem"));
            let (chain, key) = pkcs12::read(&file, Some(&"correct-horse".into())).expect(age);
            let facts: Vec<_> = chain.iter().map(|der| Facts::of(der).expect("a certificate")).collect();
            check_pair(&*key.signing_key().expect("a key"), &facts).expect("a pair");
            assert_eq!(facts.iter().map(|f| f.issuer.as_str()).collect::<Vec<_>>(), ["CN=Test Root"; 2], "{age}");

            let wrong = pkcs12::read(&file, Some(&"wrong".into()));
            assert!(matches!(wrong, Err(CertificateError::WrongPassphrase)), "{age}: {wrong:?}");
            let none = pkcs12::read(&file, None);
            assert!(matches!(none, Err(CertificateError::PassphraseMissing)), "{age}: {none:?}");
        }
    }
}

#[test]
fn an_empty_password_is_the_same_as_none() {
    let Some(directory) = directory_with(Kind::P256) else { return };
    for age in [MODERN, LEGACY, TRIPLE_DES] {
        let file = export(directory.path(), &format!("{age} -passout pass:"));
        pkcs12::read(&file, None).expect(age);
        pkcs12::read(&file, Some(&"".into())).expect(age);
    }
}

#[test]
fn a_file_without_a_key_or_without_its_certificate_is_refused() {
    let Some(directory) = directory_with(Kind::P256) else { return };
    let path = directory.path();
    openssl(path, "pkcs12 -export -nokeys -in leaf.pem -out none.p12 -passout pass:");
    let none = pkcs12::read(&read(path, "none.p12"), None);
    assert!(matches!(none, Err(CertificateError::Pkcs12WithoutKey)), "{none:?}");
    openssl(path, "pkcs12 -export -nocerts -inkey key.pem -out alone.p12 -passout pass:");
    let alone = pkcs12::read(&read(path, "alone.p12"), None);
    assert!(matches!(alone, Err(CertificateError::Pkcs12WithoutCertificate)), "{alone:?}");
    let pem = pkcs12::read(&read(path, "leaf.pem"), None);
    assert!(matches!(pem, Err(CertificateError::NotPkcs12(_))), "{pem:?}");
}

#[test]
fn a_damaged_file_is_an_error_wherever_the_damage_is() {
    let Some(directory) = directory_with(Kind::P256) else { return };
    let file = export(directory.path(), &format!("{TRIPLE_DES} -passout pass: -nomac"));
    for position in (0..file.len()).step_by(7) {
        let mut damaged = file.clone();
        damaged[position] ^= 0x55;
        // Without a MAC some damage goes unseen; none may panic.
        let _ = pkcs12::read(&damaged, None);
        let _ = pkcs12::read(&file[..position], None);
    }
}
