//! The certification authorities, made at run time: one for the banks' servers, and a trust service that issues QWACs.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::words::{Clock, Random};

use super::Error;
use super::qwac::{Qwac, QwacOptions};

/// An issuer with its certificate and key.
type Issuer = CertifiedIssuer<'static, KeyPair>;

/// The names and addresses by which the simulated banks are reached.
const SERVER_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The certification authorities of a sandbox. They last as long as it does, and nobody else trusts them.
pub struct Pki {
    server_ca: Issuer,
    qwac_root: Issuer,
    qwac_issuer: Issuer,
    clock: Clock,
    random: Random,
}

impl Pki {
    /// Makes all authorities anew.
    pub fn new(clock: Clock, random: Random) -> Result<Self, Error> {
        let server_ca = Issuer::self_signed(authority("Sandbox Server CA", &random), KeyPair::generate()?)?;
        let qwac_root = Issuer::self_signed(authority("Sandbox QTSP Root CA", &random), KeyPair::generate()?)?;
        let qwac_issuer =
            Issuer::signed_by(authority("Sandbox QTSP QWAC CA", &random), KeyPair::generate()?, &qwac_root)?;
        Ok(Self { server_ca, qwac_root, qwac_issuer, clock, random })
    }

    /// The authority of the banks' server certificates, as PEM: what `tls.ca` names.
    pub fn server_ca_pem(&self) -> String {
        self.server_ca.pem()
    }

    /// The same, as DER.
    pub fn server_ca(&self) -> CertificateDer<'static> {
        self.server_ca.der().clone()
    }

    /// The root of the trust service: the anchor to which every QWAC must lead.
    pub fn qwac_root(&self) -> CertificateDer<'static> {
        self.qwac_root.der().clone()
    }

    /// A server's certificate for `names` (DNS names and addresses), with its key.
    pub fn server(&self, names: &[&str]) -> Result<ServerIdentity, Error> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = named("Sandbox Bank");
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = date_time_ymd(2049, 12, 31);
        params.serial_number = Some(serial(&self.random));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.server_ca)?;
        Ok(ServerIdentity {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }

    /// A server's certificate for the names by which the simulated banks are reached.
    pub(super) fn local_server(&self) -> Result<ServerIdentity, Error> {
        self.server(&SERVER_NAMES)
    }

    /// A QWAC as the trust service would issue it, with its key and chain.
    pub fn qwac(&self, options: &QwacOptions) -> Result<Qwac, Error> {
        Qwac::issue(options, &self.qwac_issuer, serial(&self.random), self.clock.now())
    }
}

/// A server's chain and key.
pub struct ServerIdentity {
    /// The leaf, and nothing else: its authority is the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

/// An authority that outlasts every clock that a test may set.
fn authority(name: &str, random: &Random) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params.serial_number = Some(serial(random));
    params.use_authority_key_identifier_extension = true;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "CZ");
    name.push(DnType::OrganizationName, "bankside sandbox");
    name.push(DnType::CommonName, common_name);
    name
}

/// 16 random bytes that are a positive number with no zero before it (RFC 5280, section 4.1.2.2).
fn serial(random: &Random) -> SerialNumber {
    let mut bytes = random.bytes::<16>();
    bytes[0] = (bytes[0] & 0x3f) | 0x40;
    SerialNumber::from_slice(&bytes)
}
