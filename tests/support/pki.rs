//! Certificates made at test time.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SanType, SerialNumber,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// A certificate with its key, both in PEM.
pub struct Issued {
    pub pem: String,
    pub key_pem: String,
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    pub der: Vec<u8>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = p256();
        let certificate = params.self_signed(&key).expect("a root");
        Self { pem: certificate.pem(), der: certificate.der().to_vec(), issuer: Issuer::new(params, key) }
    }

    /// A client's certificate for a key, with a serial number.
    pub fn client(&self, key: &KeyPair, serial: u32) -> Issued {
        let mut params = params("tpp.example");
        params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(key, &self.issuer).expect("a certificate");
        Issued { pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    /// A server's certificate for an address or a name.
    pub fn server(&self, host: &str) -> Issued {
        let mut params = params(host);
        let name = || SanType::DnsName(host.try_into().expect("ASCII"));
        params.subject_alt_names = vec![host.parse().map_or_else(|_| name(), SanType::IpAddress)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = p256();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub fn p256() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

pub fn rsa_2048() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key")
}

/// A certificate's serial number in hexadecimal digits without leading zeros.
pub fn serial(der: &[u8]) -> String {
    let certificate = Certificate::from_der(der).expect("a certificate");
    let bytes = certificate.tbs_certificate().serial_number().as_bytes();
    let digits = bytes.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
    digits.trim_start_matches('0').to_owned()
}
