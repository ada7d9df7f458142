//! Private keys in PEM, in every form that people keep them in.

use std::fs;

use crate::certificate::CertificateError as E;
use crate::certificate::key::check_pair;
use crate::certificate::pki::{self, Authority, Kind, openssl};
use crate::certificate::{CertificateError, Facts, Material, PrivateKey, pem};

use super::{directory_with, pairs, read};

#[test]
fn plain_keys_of_every_form_are_read() {
    for (kind, forms) in [(Kind::Rsa, &["rsa -traditional"][..]), (Kind::P256, &["ec", "ec -no_public"])] {
        let Some(directory) = directory_with(kind) else { return };
        let path = directory.path();
        pairs(path, "key.pem", None).expect("PKCS#8");
        for form in forms {
            openssl(path, &format!("{form} -in key.pem -out other.pem"));
            pairs(path, "other.pem", None).expect(form);
            // A passphrase for a key that needs none is of no use, and does no harm.
            pairs(path, "other.pem", Some("useless")).expect(form);
        }
    }
}

#[test]
fn keys_with_parameters_certificates_and_text_beside_them_are_read() {
    let Some(directory) = directory_with(Kind::P256) else { return };
    let path = directory.path();
    openssl(path, "ecparam -name prime256v1 -out params.pem");
    openssl(path, "ec -in key.pem -out sec1.pem");
    let all = ["params.pem", "leaf.pem", "sec1.pem"].map(|name| String::from_utf8(read(path, name)).expect("text"));
    fs::write(path.join("all.pem"), format!("\u{feff}Bag Attributes: x\r\n{}", all.join("\r\n"))).expect("a file");
    pairs(path, "all.pem", None).expect("a key among others");
    assert_eq!(pem::chain(&read(path, "all.pem")).expect("a certificate among others").len(), 1);
}

#[test]
fn encrypted_keys_of_every_form_are_read_with_the_passphrase_and_only_with_it() {
    const FORMS: [&str; 8] = [
        "pkcs8 -topk8 -v2 aes-256-cbc",
        "pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA1",
        "pkcs8 -topk8 -v2 des3",
        "pkcs8 -topk8 -scrypt",
        "TRADITIONAL -aes128",
        "TRADITIONAL -aes192",
        "TRADITIONAL -aes256",
        "TRADITIONAL -des3",
    ];
    for kind in [Kind::Rsa, Kind::P256] {
        let Some(directory) = directory_with(kind) else { return };
        let path = directory.path();
        let traditional = if kind == Kind::Rsa { "rsa -traditional" } else { "ec" };
        for form in FORMS {
            let form = form.replace("TRADITIONAL", traditional);
            openssl(path, &format!("{form} -in key.pem -out secret.pem -passout pass:correct-horse"));
            pairs(path, "secret.pem", Some("correct-horse")).expect(&form);
            let wrong = pairs(path, "secret.pem", Some("wrong"));
            assert!(matches!(wrong, Err(CertificateError::WrongPassphrase)), "{form}: {wrong:?}");
            let none = pairs(path, "secret.pem", None);
            assert!(matches!(none, Err(CertificateError::PassphraseMissing)), "{form}: {none:?}");
        }
    }
}

#[cfg(feature = "pkcs12")]
#[test]
fn a_key_in_the_encryption_of_pkcs_12_is_read() {
    let Some(directory) = directory_with(Kind::Rsa) else { return };
    let path = directory.path();
    openssl(path, "pkcs8 -topk8 -v1 PBE-SHA1-3DES -in key.pem -out secret.pem -passout pass:correct-horse");
    pairs(path, "secret.pem", Some("correct-horse")).expect("3DES of PKCS#12");
    let wrong = pairs(path, "secret.pem", Some("wrong"));
    assert!(matches!(wrong, Err(CertificateError::WrongPassphrase)), "{wrong:?}");
}

#[test]
fn a_wrong_passphrase_is_called_so_even_where_the_padding_happens_to_be_right() {
    let Some(directory) = directory_with(Kind::P256) else { return };
    let path = directory.path();
    openssl(path, "ec -aes256 -in key.pem -out secret.pem -passout pass:correct-horse");
    // One wrong passphrase in 256 leaves a valid padding: among 2,000 there are some.
    for attempt in 0..2000 {
        let outcome = pairs(path, "secret.pem", Some(&format!("wrong-{attempt}")));
        assert!(matches!(outcome, Err(CertificateError::WrongPassphrase)), "{outcome:?}");
    }
}

#[test]
fn each_mistake_with_a_key_file_has_an_error_of_its_own() {
    let Some(directory) = directory_with(Kind::Rsa) else { return };
    let path = directory.path();
    openssl(path, "pkey -in key.pem -pubout -out public.pem");
    openssl(path, "pkey -in key.pem -outform DER -out key.der");
    openssl(path, "x509 -in leaf.pem -outform DER -out leaf.der");
    openssl(path, "pkcs12 -export -in leaf.pem -inkey key.pem -out leaf.p12 -passout pass:x");
    openssl(path, "genrsa -out other.pem 2048");
    openssl(path, "genrsa -out short.pem 1024");
    openssl(path, "rsa -in key.pem -traditional -des -provider legacy -provider default -out des.pem -passout pass:x");
    let cut: Vec<u8> = read(path, "key.pem").into_iter().take(400).collect();
    fs::write(path.join("cut.pem"), cut).expect("a file");
    let broken = String::from_utf8(read(path, "key.pem")).expect("text").replacen("MII", "M*I", 1);
    fs::write(path.join("broken.pem"), broken).expect("a file");
    fs::write(
        path.join("openssh.pem"),
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    )
    .expect("a file");
    fs::write(path.join("empty.pem"), "").expect("a file");
    fs::write(path.join("garbage.pem"), [0x30, 0x82, 0xff]).expect("a file");

    let outcome = |name: &str| pairs(path, name, Some("x")).expect_err(name);
    assert!(matches!(outcome("public.pem"), E::PublicKey));
    assert!(matches!(outcome("key.der"), E::Binary("a private key")));
    assert!(matches!(outcome("leaf.der"), E::Binary("a certificate")));
    assert!(matches!(outcome("leaf.p12"), E::Binary("a PKCS#12 file")));
    assert!(matches!(outcome("other.pem"), E::KeyMismatch));
    assert!(matches!(outcome("short.pem"), E::UnusableKey(_)));
    assert!(matches!(outcome("des.pem"), E::UnsupportedEncryption(cipher) if cipher == "DES-CBC"));
    assert!(matches!(outcome("cut.pem"), E::DamagedPem(_)));
    assert!(matches!(outcome("broken.pem"), E::DamagedPem(_)));
    assert!(matches!(outcome("openssh.pem"), E::OpenSsh));
    assert!(matches!(outcome("leaf.pem"), E::NoKey(labels) if labels == "CERTIFICATE"));
    assert!(matches!(outcome("empty.pem"), E::KeyNotPem));
    assert!(matches!(outcome("garbage.pem"), E::KeyNotPem));
}

#[test]
fn each_mistake_with_a_certificate_file_has_an_error_of_its_own() {
    let Some(directory) = directory_with(Kind::P256) else { return };
    let path = directory.path();
    openssl(path, "x509 -in leaf.pem -outform DER -out leaf.der");
    let outcome = |name: &str| pem::chain(&read(path, name)).expect_err(name);
    assert!(matches!(outcome("key.pem"), CertificateError::NoCertificate(labels) if labels == "PRIVATE KEY"));
    assert!(matches!(outcome("leaf.der"), CertificateError::Binary("a certificate")));
    assert!(matches!(pem::chain(b"hello"), Err(CertificateError::NotPem)));
    let half = read(path, "leaf.pem").into_iter().take(300).collect::<Vec<_>>();
    assert!(matches!(pem::chain(&half), Err(CertificateError::DamagedPem(_))));
}

#[test]
fn a_key_of_a_later_certificate_is_told_from_a_foreign_one() {
    let root = Authority::new("Test Root");
    let leaf = root.issue(&pki::qwac(), Kind::P256);
    let facts = |der: &[u8]| Facts::of(der).expect("a certificate");
    let key = PrivateKey::from_pem(leaf.key_pem.as_bytes(), None).and_then(|key| key.signing_key()).expect("a key");
    check_pair(&*key, &[facts(&leaf.der), facts(&root.der)]).expect("a pair");
    let swapped = check_pair(&*key, &[facts(&root.der), facts(&leaf.der)]);
    assert!(matches!(swapped, Err(CertificateError::LeafNotFirst(2))), "{swapped:?}");
    let foreign = check_pair(&*key, &[facts(&root.der)]);
    assert!(matches!(foreign, Err(CertificateError::KeyMismatch)), "{foreign:?}");
}

#[test]
fn files_of_every_kind_are_looked_at() {
    let Some(directory) = directory_with(Kind::P256) else { return };
    let path = directory.path();
    openssl(path, "x509 -in leaf.pem -outform DER -out leaf.der");
    openssl(path, "pkcs12 -export -in leaf.pem -inkey key.pem -certfile root.pem -out leaf.p12 -passout pass:x");
    openssl(path, "ec -in key.pem -aes256 -out secret.pem -passout pass:x");
    let joined = |names: [&str; 2]| names.map(|name| read(path, name)).concat();
    let cases = [
        (read(path, "leaf.pem"), 1, None),
        (read(path, "leaf.der"), 1, None),
        (joined(["leaf.pem", "root.pem"]), 2, None),
        (joined(["leaf.pem", "key.pem"]), 1, Some(true)),
        (joined(["secret.pem", "leaf.pem"]), 1, Some(true)),
        (joined(["root.pem", "key.pem"]), 1, Some(false)),
        #[cfg(feature = "pkcs12")]
        (read(path, "leaf.p12"), 2, Some(true)),
    ];
    for (file, length, key_matches) in cases {
        let material = Material::from_file(&file, Some(&"x".into())).expect("a certificate");
        assert_eq!((material.chain().len(), material.key_matches()), (length, key_matches));
    }
    // Without the passphrase the certificate can be looked at all the same.
    let material = Material::from_file(&joined(["secret.pem", "leaf.pem"]), None).expect("a certificate");
    assert_eq!(material.key_matches(), None);
}
