//! Certificates, keys and PSD2 statements from anybody: whatever comes in, nothing panics, and nothing that a terminal
//! would obey comes out.

#![no_main]

use bankside::certificate::qualified::Statements;
use bankside::certificate::{Facts, Material, PrivateKey};
use bankside::words::{Secret, Timestamp};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_millis(1_795_246_200_000);

fuzz_target!(|bytes: &[u8]| {
    let passphrase = Secret::from("x");
    for passphrase in [None, Some(&passphrase)] {
        if let Ok(report) = Material::from_file(bytes, passphrase).map(|material| material.report(NOW)) {
            assert!(report.json().is_object());
            assert!(report.to_string().chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
    let _ = PrivateKey::from_pem(bytes, Some(&passphrase)).map(|key| key.signing_key());
    if let Ok(facts) = Facts::of(bytes) {
        assert!(!facts.subject.contains(char::is_control));
    }
    let _ = Statements::from_der(bytes);
});
