//! The cryptography of TLS: its one provider, the suites that are offered, the versions.

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use crate::config::TlsVersion;
use crate::upstream::tls_stream;

/// The one provider of cryptography, named explicitly: the process' default is anybody's to set.
pub(in crate::upstream) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || CryptoProvider { cipher_suites: SUITES.to_vec(), ..aws_lc_rs::default_provider() };
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(make())))
}

/// The same, as our connections use it.
pub(super) fn client_provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(tls_stream::in_place(CryptoProvider::clone(&provider())))))
}

/// What is offered, AES-128 first (RFC 9325, section 4.2.1): its handshakes and its records take less of the processor. A
/// bank that prefers AES-256 has it.
static SUITES: [SupportedCipherSuite; 9] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

static TLS_1_2_AND_NEWER: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
static TLS_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

pub(super) fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        TlsVersion::Tls12 => TLS_1_2_AND_NEWER,
        TlsVersion::Tls13 => TLS_1_3,
    }
}

#[cfg(test)]
mod tests {
    use crate::certificate::pki::Authority;
    use crate::upstream::TlsClient;
    use crate::upstream::tls_bank::trusting;

    use super::*;

    #[test]
    fn every_suite_is_offered_and_aes_128_first() {
        let tls = TlsClient::new(&trusting(&Authority::new("Bank Root")), None, &mut Vec::new()).expect("a client");
        let suites = |of: &[SupportedCipherSuite]| of.iter().map(SupportedCipherSuite::suite).collect::<Vec<_>>();
        let offered = suites(&tls.config.crypto_provider().cipher_suites);
        assert_eq!(offered[0], rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        let mut all = suites(&aws_lc_rs::default_provider().cipher_suites);
        all.retain(|suite| !offered.contains(suite));
        assert_eq!(all, []);
    }
}
