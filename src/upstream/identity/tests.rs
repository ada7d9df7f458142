//! Identities as the configuration gives them: what is taken, and what is said about the rest.

use rcgen::date_time_ymd;

use crate::certificate::pki::{self, Authority, Kind};
use crate::config::Severity;
use crate::upstream::tls_bank::pem_identity;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_246_200_000);

fn load(identity: &config::Identity) -> (Result<Identity, Vec<Problem>>, Vec<Problem>) {
    let mut warnings = Vec::new();
    (Identity::load(identity, &mut warnings), warnings)
}

#[test]
fn a_good_identity_is_taken_without_a_word() {
    let root = Authority::new("Trust Service Provider");
    let leaf = root.issue(&pki::qwac(), Kind::P256);
    let chain = format!("{}{}", leaf.pem, root.pem);
    let (identity, warnings) = load(&pem_identity(&chain, &leaf.key_pem, None));
    let identity = identity.expect("an identity");
    assert_eq!(warnings, []);
    assert_eq!(identity.chain().len(), 2);
    assert_eq!(identity.facts().nca_id.as_deref(), Some(pki::NCA_ID));
    assert_eq!(identity.leaf_fingerprint(), &identity.facts().fingerprint);
    assert_eq!(identity.problems_at(NOW), []);
    assert_eq!(identity.certified_key().cert.len(), 2);
}

#[test]
fn what_a_bank_may_not_like_is_a_warning_at_the_certificates_place() {
    let leaf = Authority::new("Trust Service Provider").issue(&pki::params("plain"), Kind::P256);
    let (identity, warnings) = load(&pem_identity(&leaf.pem, &leaf.key_pem, Some("useless")));
    identity.expect("an identity");
    let said: Vec<_> = warnings.iter().map(|warning| (&*warning.place.key, warning.reason.as_str())).collect();
    assert_eq!(
        said,
        [
            ("qwac-key.pem", "qwac-key.pem is not encrypted, though there is a passphrase for it"),
            ("qwac.pem", "the certificate names no PSD2 role"),
            ("qwac.pem", "the chain lacks its issuer, CN=Trust Service Provider"),
        ]
    );
    assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
}

#[test]
fn an_expired_certificate_loads_and_is_an_error_for_check_alone() {
    let mut params = pki::qwac();
    params.not_after = date_time_ymd(2026, 11, 1);
    let leaf = Authority::new("Trust Service Provider").issue(&params, Kind::P256);
    let (identity, _) = load(&pem_identity(&leaf.pem, &leaf.key_pem, None));
    let identity = identity.expect("an identity");
    let problems = identity.problems_at(NOW);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].severity, Severity::Error);
    assert_eq!(problems[0].reason, "the certificate expired at 2026-11-01T00:00:00Z");
    // A week before, it is worth a word and no more.
    let before = identity.problems_at(Timestamp::from_millis(NOW.millis() - 27 * 24 * 60 * 60 * 1000));
    assert_eq!(before.iter().map(|problem| problem.severity).collect::<Vec<_>>(), [Severity::Warning]);
}

#[test]
fn each_mistake_is_one_problem_at_the_file_that_is_wrong() {
    let root = Authority::new("Trust Service Provider");
    let leaf = root.issue(&pki::qwac(), Kind::P256);
    let other = root.issue(&pki::qwac(), Kind::P256);
    let both = format!("{}{}", root.pem, leaf.pem);
    let cases = [
        (pem_identity("", &leaf.key_pem, None), "qwac.pem", "holds nothing in PEM form"),
        (pem_identity(&leaf.pem, "hello", None), "qwac-key.pem", "holds nothing in PEM form"),
        (pem_identity(&leaf.pem, &leaf.pem, None), "qwac-key.pem", "no private key, only CERTIFICATE"),
        (pem_identity(&leaf.pem, &other.key_pem, None), "qwac-key.pem", "does not belong to the certificate"),
        (pem_identity(&both, &leaf.key_pem, None), "qwac-key.pem", "belongs to certificate 2 of the chain"),
    ];
    for (identity, key, words) in cases {
        let problems = load(&identity).0.expect_err(words);
        assert_eq!(problems.len(), 1);
        assert_eq!((problems[0].severity, &*problems[0].place.key), (Severity::Error, key));
        assert!(problems[0].reason.contains(words), "{}", problems[0].reason);
        assert!(!problems[0].remedy.is_empty());
    }
}

#[cfg(feature = "pkcs12")]
#[test]
fn pkcs_12_is_taken_and_a_wrong_passphrase_is_not_told() {
    use crate::certificate::pki::{directory_for_openssl, openssl};
    use crate::upstream::tls_bank::{file, place};

    let Some(directory) = directory_for_openssl() else { return };
    let leaf = Authority::new("Trust Service Provider").issue(&pki::qwac(), Kind::Rsa);
    std::fs::write(directory.path().join("both.pem"), format!("{}{}", leaf.pem, leaf.key_pem)).expect("a file");
    openssl(directory.path(), "pkcs12 -export -in both.pem -out qwac.p12 -passout pass:correct-horse");
    let content = std::fs::read(directory.path().join("qwac.p12")).expect("a file");
    let identity = |passphrase: &str| config::Identity {
        place: place("identity"),
        source: IdentitySource::Pkcs12 { file: file("qwac.p12", content.clone()), passphrase: Some(passphrase.into()) },
        next: None,
    };
    assert_eq!(load(&identity("correct-horse")).0.expect("an identity").facts().serial, "abcde");
    let problems = load(&identity("hunter2-wrong")).0.expect_err("a wrong passphrase");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].reason.contains("the passphrase does not open it"), "{}", problems[0]);
    assert!(!format!("{problems:?} {}", problems[0]).contains("hunter2"));
}
