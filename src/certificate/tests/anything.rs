//! Whatever bytes come in, nothing panics.

use proptest::prelude::*;

use crate::certificate::pki::{self, Authority, Kind};
use crate::certificate::qualified::Statements;
use crate::certificate::{Material, PrivateKey, Role};

use super::NOW;

/// The entry for a fuzzer: whatever comes in, nothing panics.
fn read_anything(bytes: &[u8]) {
    let material = Material::from_file(bytes, Some(&"x".into()));
    if let Ok(report) = material.map(|material| material.report(NOW)) {
        assert!(report.json().is_object());
        assert!(!report.to_string().contains('\u{1b}'));
    }
    let _ = PrivateKey::from_pem(bytes, Some(&"x".into())).map(|key| key.signing_key());
    let _ = Statements::from_der(bytes);
}

const PEM_LIKE: &str = "(-----(BEGIN|END) (CERTIFICATE|EC PRIVATE KEY|ENCRYPTED PRIVATE KEY)-----|\n\
    |DEK-Info: AES-128-CBC,00|[A-Za-z0-9+/=:, -]{0,12}){0,30}";

/// Some bytes, and where they are put.
type Changes = Vec<(prop::sample::Index, u8)>;

fn changes() -> impl Strategy<Value = Changes> {
    proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

fn change(der: &mut [u8], changes: &Changes) {
    for (index, byte) in changes {
        der[index.index(der.len())] = *byte;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        read_anything(&bytes);
    }

    #[test]
    fn pem_like_text_never_panics(text in PEM_LIKE) {
        read_anything(text.as_bytes());
    }

    #[test]
    fn a_mutated_certificate_never_panics(changes in changes(), cut in any::<prop::sample::Index>()) {
        static CERTIFICATE: std::sync::LazyLock<Vec<u8>> =
            std::sync::LazyLock::new(|| Authority::new("Test Root").issue(&pki::qwac(), Kind::P256).der);
        let mut der = CERTIFICATE.clone();
        change(&mut der, &changes);
        read_anything(&der);
        read_anything(&der[..cut.index(der.len())]);
    }

    #[test]
    fn mutated_statements_never_panic(changes in changes()) {
        let mut der = pki::statements(&[Role::PspAi, Role::PspPi]);
        change(&mut der, &changes);
        read_anything(&der);
    }
}
