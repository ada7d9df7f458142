//! Certificates made at test time: a root, and QWACs of every kind under it.

use std::path::Path;
use std::process::Command;

use der::asn1::{Any, ObjectIdentifier, Utf8StringRef};
use der::{Encode, Sequence, Tag};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA256, RsaKeySize, SerialNumber,
    date_time_ymd,
};

use super::Role;

/// The authority and roles of most test certificates.
pub(crate) const NCA_NAME: &str = "Úřad pro příklady";
pub(crate) const NCA_ID: &str = "XX-EXA";
pub(crate) const ORGANIZATION_IDENTIFIER: &str = "PSDXX-EXA-48136450";

/// A certificate with its key.
pub(crate) struct Issued {
    pub(crate) der: Vec<u8>,
    pub(crate) pem: String,
    pub(crate) key_pem: String,
}

/// The kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rsa,
    P256,
    P521,
}

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let certificate = params.self_signed(&key).expect("a root");
        Self { pem: certificate.pem(), der: certificate.der().to_vec(), issuer: Issuer::new(params, key) }
    }

    /// The same authority once more.
    pub(crate) fn again(&self) -> Self {
        let key = KeyPair::from_pem(&self.issuer.key().serialize_pem()).expect("a key");
        let certificate = rustls_pki_types::CertificateDer::from(self.der.clone());
        let issuer = Issuer::from_ca_cert_der(&certificate, key).expect("an authority");
        Self { issuer, pem: self.pem.clone(), der: self.der.clone() }
    }

    pub(crate) fn issue(&self, params: &CertificateParams, kind: Kind) -> Issued {
        let key = key(kind);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { der: certificate.der().to_vec(), pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    /// A server's certificate for `name`.
    pub(crate) fn server(&self, name: &str) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params, Kind::P256)
    }
}

pub(crate) fn key(kind: Kind) -> KeyPair {
    match kind {
        Kind::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        Kind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        Kind::P521 => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
    }
    .expect("a key")
}

/// A certificate's parameters with a common name and a long life.
pub(crate) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2036, 1, 1);
    params
}

/// What a trust service provider puts into a QWAC.
pub(crate) fn qwac() -> CertificateParams {
    let mut params = params("tpp.example");
    params.distinguished_name.push(DnType::OrganizationName, "Example TPP, s.r.o.");
    params.distinguished_name.push(DnType::CountryName, "CZ");
    params.distinguished_name.push(DnType::from_oid(&[2, 5, 4, 97]), ORGANIZATION_IDENTIFIER);
    params.subject_alt_names = vec![rcgen::SanType::DnsName("tpp.example".try_into().expect("a name"))];
    params.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc, 0xde]));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.custom_extensions = vec![qc_extension(&statements(&[Role::PspAi, Role::PspPi]))];
    params
}

/// The extension with this content.
pub(crate) fn qc_extension(content: &[u8]) -> CustomExtension {
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 3], content.to_vec())
}

#[derive(Sequence)]
struct Statement {
    id: ObjectIdentifier,
    info: Any,
}

#[derive(Sequence)]
struct Psd2Info<'a> {
    roles: Vec<RoleInfo<'a>>,
    nca_name: Utf8StringRef<'a>,
    nca_id: Utf8StringRef<'a>,
}

#[derive(Sequence)]
struct RoleInfo<'a> {
    id: ObjectIdentifier,
    name: Utf8StringRef<'a>,
}

/// `qcStatements` with the kind "web" and a PSD2 statement.
pub(crate) fn statements(roles: &[Role]) -> Vec<u8> {
    let roles = roles.iter().map(|role| RoleInfo {
        id: ObjectIdentifier::new(&format!("0.4.0.19495.1.{}", *role as usize + 1)).expect("an identifier"),
        name: Utf8StringRef::new(role.name()).expect("text"),
    });
    let psd2 = Psd2Info {
        roles: roles.collect(),
        nca_name: Utf8StringRef::new(NCA_NAME).expect("text"),
        nca_id: Utf8StringRef::new(NCA_ID).expect("text"),
    };
    let web = vec![ObjectIdentifier::new_unwrap("0.4.0.1862.1.6.3")];
    vec![statement("0.4.0.1862.1.6", &web), statement("0.4.0.19495.2", &psd2)].to_der().expect("statements")
}

fn statement(id: &str, info: &impl Encode) -> Statement {
    let info = info.to_der().expect("a statement");
    Statement {
        id: ObjectIdentifier::new(id).expect("an identifier"),
        info: der::Decode::from_der(&info).expect("DER"),
    }
}

/// An `Any` that is just text, for statements that are not what they should be.
pub(crate) fn misfit() -> Vec<u8> {
    let text = Any::new(Tag::Utf8String, b"not a sequence".to_vec()).expect("text");
    vec![statement("0.4.0.19495.2", &text)].to_der().expect("statements")
}

/// An empty directory for [`openssl`] to work in; `None`, with a word, where the machine does not have the tool.
pub(crate) fn directory_for_openssl() -> Option<tempfile::TempDir> {
    if Command::new("openssl").arg("version").output().is_err() {
        assert!(std::env::var_os("BANKSIDE_TEST_ALL").is_none(), "openssl is missing, and no test may be left out");
        eprintln!("left out: this test needs the openssl tool");
        return None;
    }
    Some(tempfile::tempdir().expect("a directory"))
}

/// Runs the `openssl` tool in `directory`; `arguments` are split at spaces.
pub(crate) fn openssl(directory: &Path, arguments: &str) {
    let run = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
    let run = run.expect("the openssl tool is installed");
    assert!(run.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&run.stderr));
}
