//! Throw-away certificates: one authority, the bank's certificate, and what its clients show.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// The bank's name.
pub(crate) const HOST: &str = "bank.local";

/// Writes `ca.pem`, and `bank` and `client` each as `.pem`, `.key`, and both in `.both`.
pub(crate) fn write(folder: &Path) {
    let mut params = named("Authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("an authority");
    fs::write(folder.join("ca.pem"), authority.pem()).expect("it can be written");
    let issuer = Issuer::new(params, key);
    for (name, usage) in
        [("bank", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let mut params = named(HOST);
        params.subject_alt_names = vec![rcgen::SanType::DnsName(HOST.try_into().expect("a name"))];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate").pem();
        let key = key.serialize_pem();
        for (end, text) in [("both", format!("{certificate}{key}")), ("pem", certificate), ("key", key)] {
            fs::write(folder.join(format!("{name}.{end}")), text).expect("it can be written");
        }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
