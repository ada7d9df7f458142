//! What certificates say, and what is found about them.

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose, date_time_ymd};

use crate::certificate::facts::KeyType;
use crate::certificate::pki::{self, Authority, Kind};
use crate::certificate::{CertificateError, Facts, Finding, Material, QualifiedKind, Role, finding};
use crate::words::Timestamp;

use super::NOW;

fn facts(params: &rcgen::CertificateParams) -> Facts {
    Facts::of(&Authority::new("Test Root").issue(params, Kind::P256).der).expect("a certificate")
}

#[test]
fn a_qwac_says_who_holds_it_and_what_the_holder_may_do() {
    let facts = facts(&pki::qwac());
    assert_eq!(
        facts.subject,
        "organizationIdentifier=PSDXX-EXA-48136450, C=CZ, O=Example TPP\\, s.r.o., CN=tpp.example"
    );
    assert_eq!(facts.common_name.as_deref(), Some("tpp.example"));
    assert_eq!(facts.organization.as_deref(), Some("Example TPP, s.r.o."));
    assert_eq!(facts.organization_identifier.as_deref(), Some("PSDXX-EXA-48136450"));
    assert_eq!(facts.roles, [Role::PspPi, Role::PspAi]);
    assert_eq!(facts.nca_name.as_deref(), Some("Úřad pro příklady"));
    assert_eq!(facts.nca_id.as_deref(), Some("XX-EXA"));
    assert_eq!(facts.qualified, [QualifiedKind::Web]);
    assert_eq!(facts.issuer, "CN=Test Root");
    assert_eq!(facts.serial, "abcde");
    assert_eq!(facts.not_before.to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(facts.not_after.to_string(), "2036-01-01T00:00:00Z");
    assert_eq!(facts.key, KeyType::Curve("P-256"));
    assert_eq!(facts.key_usages.as_deref(), Some(&["digitalSignature".to_owned()][..]));
    assert_eq!(facts.extended_key_usages.as_deref(), Some(&["serverAuth".to_owned(), "clientAuth".to_owned()][..]));
    assert_eq!(facts.names, ["tpp.example"]);
    assert!(facts.client_auth && facts.digital_signature && !facts.is_self_issued() && !facts.ca);
    assert!(facts.malformed.is_empty());
}

#[test]
fn every_role_is_known_by_its_number() {
    for role in Role::ALL {
        let mut params = pki::qwac();
        params.custom_extensions = vec![pki::qc_extension(&pki::statements(&[role]))];
        assert_eq!(facts(&params).roles, [role]);
    }
}

#[test]
fn an_rsa_key_is_told_by_its_size() {
    let issued = Authority::new("Test Root").issue(&pki::qwac(), Kind::Rsa);
    assert_eq!(Facts::of(&issued.der).expect("a certificate").key.to_string(), "RSA 2048");
}

#[test]
fn a_certificate_without_psd2_statements_has_no_roles() {
    let facts = facts(&pki::params("plain"));
    assert_eq!((facts.roles.len(), &facts.nca_id, &facts.nca_name), (0, &None, &None));
    assert!(facts.malformed.is_empty());
    // Nothing is restricted, so everything is allowed.
    assert!(facts.client_auth && facts.digital_signature);
    assert_eq!((facts.key_usages, facts.extended_key_usages), (None, None));
}

#[test]
fn a_malformed_extension_is_named_and_the_rest_still_read() {
    for content in [pki::misfit(), Vec::new(), b"garbage".to_vec()] {
        let mut params = pki::qwac();
        params.custom_extensions = vec![pki::qc_extension(&content)];
        let facts = facts(&params);
        assert_eq!(facts.malformed, ["qcStatements"]);
        assert!(facts.roles.is_empty());
        assert_eq!(facts.organization_identifier.as_deref(), Some("PSDXX-EXA-48136450"));
    }
}

#[test]
fn statements_that_stand_there_twice_count_as_malformed() {
    let mut params = pki::qwac();
    params.custom_extensions.push(params.custom_extensions[0].clone());
    let facts = facts(&params);
    assert_eq!((facts.malformed, facts.roles.len()), (vec!["qcStatements"], 0));
}

#[test]
fn control_characters_in_names_do_not_reach_a_terminal() {
    let mut params = pki::params("evil\u{1b}[2J\n");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, " #Spaced ");
    let facts = facts(&params);
    assert_eq!(facts.subject, "O=\\ #Spaced\\ , CN=evil\\1B[2J\\0A");
    assert_eq!(facts.common_name.as_deref(), Some("evil\\u{1b}[2J\\u{a}"));
}

#[test]
fn days_left_are_whole_and_negative_when_it_is_over() {
    let facts = facts(&pki::qwac());
    let end = facts.not_after.millis();
    let day = 24 * 60 * 60 * 1000;
    for (before_end, days_left, expired) in
        [(day, 1, false), (day - 1000, 0, false), (0, 0, false), (-1000, -1, true), (-day - 1000, -2, true)]
    {
        let now = Timestamp::from_millis(end - before_end);
        assert_eq!(
            (facts.days_left(now), facts.is_expired(now)),
            (days_left, expired),
            "{before_end} ms before the end"
        );
    }
}

#[test]
fn bytes_that_are_no_certificate_are_an_error() {
    for bytes in [&b""[..], b"\x30", b"\x30\x00", b"not DER at all"] {
        assert!(matches!(Facts::of(bytes), Err(CertificateError::NotACertificate(_))));
    }
}

#[test]
fn what_a_bank_would_refuse_is_found_before_it_does() {
    let server_only = {
        let mut params = pki::qwac();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
        facts(&params)
    };
    let issuer = "CN=Test Root".to_owned();
    assert_eq!(
        finding::of_chain(&[server_only]),
        [Finding::NoClientAuth, Finding::NoDigitalSignature, Finding::IssuerMissing { issuer }]
    );

    let root = Authority::new("Test Root");
    let root_facts = Facts::of(&root.der).expect("a root");
    assert!(root_facts.is_self_issued() && root_facts.ca);
    let leaf = Facts::of(&root.issue(&pki::qwac(), Kind::P256).der).expect("a leaf");
    assert_eq!(finding::of_chain(&[leaf.clone(), root_facts.clone()]), []);

    let stranger = Facts::of(&Authority::new("Another Root").der).expect("a root");
    assert_eq!(finding::of_chain(&[leaf, stranger]), [Finding::OutOfOrder { position: 2 }]);
    assert_eq!(finding::of_chain(&[root_facts]), [Finding::NoDigitalSignature, Finding::NoPsd2, Finding::Authority]);
}

/// What there is to say of a leaf and its issuer, in words.
fn said(params: &rcgen::CertificateParams, kind: Kind) -> Vec<String> {
    let root = Authority::new("Test Root");
    let chain = [root.issue(params, kind).der, root.der].map(|der| Facts::of(&der).expect("a certificate"));
    finding::of_chain(&chain).iter().map(|finding| format!("{finding}; {}", finding.remedy())).collect()
}

#[test]
fn a_key_on_a_curve_that_is_not_offered_for_key_exchange_is_worth_a_warning() {
    assert_eq!(said(&pki::qwac(), Kind::P256), [""; 0]);
    assert_eq!(said(&pki::qwac(), Kind::Rsa), [""; 0]);
    let said = said(&pki::qwac(), Kind::P521);
    assert!(said.len() == 1 && said[0].contains("P-521") && said[0].contains("TLS 1.2"), "{said:?}");
    assert!(!CertificateError::UnusableKey("…".into()).remedy().contains("P-521"));
}

#[test]
fn a_certificate_that_is_for_any_use_but_does_not_name_clients_is_worth_a_warning() {
    let mut params = pki::qwac();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    assert!(facts(&params).client_auth);
    let said_of_any = said(&params, Kind::P256);
    assert!(said_of_any.len() == 1 && said_of_any[0].contains("anyExtendedKeyUsage"), "{said_of_any:?}");
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(said(&params, Kind::P256), [""; 0]);
}

#[test]
fn validity_is_judged_by_the_time_that_is_passed_in() {
    let chain = [facts(&pki::qwac())];
    let at = |text_millis: i64| finding::of_time(&chain, Timestamp::from_millis(text_millis));
    let (start, end) = (chain[0].not_before, chain[0].not_after);
    assert_eq!(at(NOW.millis()), []);
    assert_eq!(at(start.millis() - 1), [Finding::NotYetValid { position: 1, until: start }]);
    assert_eq!(at(end.millis() + 1000), [Finding::Expired { position: 1, since: end }]);
    assert_eq!(at(end.millis() - 1000), [Finding::EndsSoon { days_left: 0 }]);
    assert!(at(end.millis() + 1000)[0].is_fatal_for_check() && !at(end.millis())[0].is_fatal_for_check());
}

#[test]
fn the_report_has_every_key_of_the_contract() {
    let root = Authority::new("Test Root");
    let leaf = root.issue(&pki::qwac(), Kind::P256);
    let chain = format!("{}{}", leaf.pem, root.pem);
    let material = Material::from_file(chain.as_bytes(), None).expect("a chain");
    assert_eq!(material.key_matches(), None);
    let report = material.with_key(leaf.key_pem.as_bytes(), None).expect("a key").report(NOW);
    let json = report.json();
    assert_eq!(json["roles"], serde_json::json!(["PSP_PI", "PSP_AI"]));
    assert_eq!(json["nca_id"], "XX-EXA");
    assert_eq!(json["nca_name"], "Úřad pro příklady");
    assert_eq!(json["organization_identifier"], "PSDXX-EXA-48136450");
    assert_eq!(json["days_left"], 3327);
    assert_eq!(json["key_matches"], true);
    assert_eq!(json["client_auth"], true);
    assert_eq!(json["key"], "P-256");
    assert_eq!(json["chain"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["warnings"], serde_json::json!([]));

    let page = report.to_string();
    for words in
        ["Example TPP, s.r.o.", "PSDXX-EXA-48136450", "PSP_AI (account information)", "(XX-EXA)", "3327 days left"]
    {
        assert!(page.contains(words), "{words} in\n{page}");
    }
    assert!(!page.contains("Mind"));
}

#[test]
fn the_report_says_loudly_what_is_wrong() {
    let mut params = pki::params("plain");
    params.not_after = date_time_ymd(2026, 11, 1);
    let root = Authority::new("Test Root");
    let (leaf, other) = (root.issue(&params, Kind::P256), root.issue(&params, Kind::P256));
    let material = Material::from_file(leaf.pem.as_bytes(), None).expect("a certificate");
    let report = material.with_key(other.key_pem.as_bytes(), None).expect("a key").report(NOW);
    let page = report.to_string();
    for words in
        ["EXPIRED", "DOES NOT MATCH", "none", "no PSD2 role", "the certificate expired at 2026-11-01T00:00:00Z"]
    {
        assert!(page.contains(words), "{words} in\n{page}");
    }
    assert_eq!(report.json()["days_left"], -21);
    assert_eq!(report.json()["key_matches"], false);
}
