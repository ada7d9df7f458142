//! A QWAC for the sandbox: issued with any roles, validity and key, and written in the forms in which companies keep one.

use std::time::Duration;

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rcgen::{
    CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

use crate::words::{Secret, Timestamp};

use super::Error;
use super::statements::{self, Role};

/// The attribute organizationIdentifier (X.520, 2.5.4.97; its form is ETSI EN 319 412-1, section 5.1.4).
const ORGANIZATION_IDENTIFIER: [u64; 4] = [2, 5, 4, 97];
/// The extension qcStatements.
const QC_STATEMENTS: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 3];
const DAY: Duration = Duration::from_hours(24);

/// What a QWAC shall be like. The default is one that every simulated bank takes.
#[derive(Clone, Debug)]
pub struct QwacOptions {
    /// The kind of key.
    pub key: QwacKey,
    /// The roles of the PSD2 statement; `None` leaves the statement out.
    pub roles: Option<Vec<Role>>,
    /// The subject's organizationIdentifier.
    pub organization_identifier: String,
    /// The subject's organization, and the start of its common name.
    pub organization: String,
    /// When it is valid.
    pub validity: Validity,
    /// Whether its extended key usage has clientAuth beside serverAuth.
    pub client_auth: bool,
}

impl Default for QwacOptions {
    fn default() -> Self {
        Self {
            key: QwacKey::P256,
            roles: Some(vec![Role::Payments, Role::Accounts, Role::Cards]),
            organization_identifier: "PSDCZ-CNB-48136450".to_owned(),
            organization: "Example TPP".to_owned(),
            validity: Validity::Valid,
            client_auth: true,
        }
    }
}

impl QwacOptions {
    /// The default with these roles instead.
    pub fn with_roles(roles: &[Role]) -> Self {
        Self { roles: Some(roles.to_vec()), ..Self::default() }
    }
}

/// The kinds of keys that trust services certify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QwacKey {
    /// ECDSA on P-256.
    P256,
    /// RSA with 2048 bits.
    Rsa2048,
}

/// When a certificate is valid, seen from the sandbox's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Since yesterday, for a year.
    Valid,
    /// Its year ended yesterday.
    Expired,
    /// Its year begins tomorrow.
    NotYet,
    /// Since yesterday, until these days from now have passed.
    Days(u32),
}

impl Validity {
    fn around(self, now: Timestamp) -> (Timestamp, Timestamp) {
        let year = DAY * 365;
        let earlier = |by: Duration| Timestamp::from_millis(now.millis() - i64::try_from(by.as_millis()).unwrap_or(0));
        match self {
            Self::Valid => (earlier(DAY), now.plus(year)),
            Self::Expired => (earlier(year + DAY), earlier(DAY)),
            Self::NotYet => (now.plus(DAY), now.plus(year + DAY)),
            Self::Days(days) => (earlier(DAY), now.plus(DAY * days)),
        }
    }
}

/// An issued QWAC with its key.
pub struct Qwac {
    chain: Vec<CertificateDer<'static>>,
    root_less_pem: String,
    key: Secret,
    key_pem: Secret,
    serial: String,
}

impl Qwac {
    pub(super) fn issue(
        options: &QwacOptions,
        issuer: &CertifiedIssuer<'static, KeyPair>,
        serial: SerialNumber,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let key = match options.key {
            QwacKey::P256 => KeyPair::generate()?,
            QwacKey::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
        };
        let hex = super::record::hex(&serial.to_bytes());
        let leaf = leaf(options, serial, now)?.signed_by(&key, issuer)?;
        Ok(Self {
            chain: vec![leaf.der().clone(), issuer.der().clone()],
            root_less_pem: leaf.pem() + &issuer.pem(),
            key: Secret::new(key.serialize_der()),
            key_pem: Secret::new(key.serialize_pem()),
            serial: hex,
        })
    }

    /// The leaf, then the issuing authority; the root is the bank's business.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The key, as PKCS#8.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.expose().to_vec()).into()
    }

    /// The chain as PEM: what `identity.certificate` names.
    pub fn chain_pem(&self) -> &str {
        &self.root_less_pem
    }

    /// The key as PKCS#8 in PEM: what `identity.private_key` names.
    pub fn key_pem(&self) -> &Secret {
        &self.key_pem
    }

    /// The serial number in lower-case hexadecimal digits, as the counters of a bank name it.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Key and chain as PKCS#12 (PBES2, AES-256, HMAC-SHA-256).
    pub fn pkcs12(&self, password: &str) -> Result<Vec<u8>, Error> {
        let certificates: Vec<_> = self.chain.iter().map(|der| Certificate::from_der(der)).collect::<Result<_, _>>()?;
        let entry = PrivateKeyChain::new(b"qwac".to_vec(), PrivateKey::from_der(self.key.expose())?, certificates);
        let mut store = KeyStore::new();
        store.add_entry("qwac", KeyStoreEntry::PrivateKeyChain(entry));
        Ok(store.writer(password).write()?)
    }
}

fn leaf(options: &QwacOptions, serial: SerialNumber, now: Timestamp) -> Result<CertificateParams, Error> {
    let (not_before, not_after) = options.validity.around(now);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(options);
    params.subject_alt_names = vec![SanType::DnsName("tpp.example".try_into()?)];
    params.not_before = moment(not_before);
    params.not_after = moment(not_after);
    params.serial_number = Some(serial);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if options.client_auth {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    let statements = statements::encode(options.roles.as_deref(), "Czech National Bank", "CZ-CNB")?;
    params.custom_extensions = vec![CustomExtension::from_oid_content(&QC_STATEMENTS, statements)];
    Ok(params)
}

fn subject(options: &QwacOptions) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "CZ");
    name.push(DnType::LocalityName, "Praha");
    name.push(DnType::OrganizationName, options.organization.as_str());
    name.push(DnType::CustomDnType(ORGANIZATION_IDENTIFIER.to_vec()), options.organization_identifier.as_str());
    name.push(DnType::CommonName, "tpp.example");
    name
}

fn moment(timestamp: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(timestamp.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
