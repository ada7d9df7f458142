//! What a certificate says, as plain facts.

use aws_lc_rs::digest;
use der::Decode;
use der::oid::AssociatedOid;
use x509_cert::Certificate;
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::time::Time;

use crate::words::{Hex, Timestamp};

pub use super::algorithm::KeyType;
use super::qualified::{QC_STATEMENTS, Statements};
use super::usage::{self, ANY_USAGE, CLIENT_AUTH};
use super::{CertificateError, QualifiedKind, Role, name};

/// What one certificate says (RFC 5280). Texts have no control characters in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The holder's name after RFC 4514.
    pub subject: String,
    /// The holder's `CN`.
    pub common_name: Option<String>,
    /// The holder's `O`.
    pub organization: Option<String>,
    /// `PSDXX-EXA-48136450`: the holder as the authority knows it.
    pub organization_identifier: Option<String>,
    /// The PSD2 roles. None where there is no PSD2 statement.
    pub roles: Vec<Role>,
    /// The competent authority, in words.
    pub nca_name: Option<String>,
    /// The competent authority's id: `XX-EXA`.
    pub nca_id: Option<String>,
    /// What it is qualified for; empty where it does not say.
    pub qualified: Vec<QualifiedKind>,
    /// The issuer's name after RFC 4514.
    pub issuer: String,
    /// The serial number in lower-case hexadecimal digits, without leading zeros.
    pub serial: String,
    /// Valid from here, included.
    pub not_before: Timestamp,
    /// Valid to here, included.
    pub not_after: Timestamp,
    /// The kind and size of the key.
    pub key: KeyType,
    /// What the key may do, by the names of RFC 5280; `None` where that is not restricted.
    pub key_usages: Option<Vec<String>>,
    /// What it is meant for, by the names of RFC 5280; `None` where that is not restricted.
    pub extended_key_usages: Option<Vec<String>>,
    /// Whether it may be used as a TLS client: the extended key usages name it, or any, or there is no restriction.
    pub client_auth: bool,
    /// Whether it may sign a handshake: the key usages name `digitalSignature`, or there is no restriction.
    pub digital_signature: bool,
    /// The subject alternative names.
    pub names: Vec<String>,
    /// Whether it may issue certificates.
    pub ca: bool,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// Extensions that do not parse, by name: what they may say is missing here.
    pub malformed: Vec<&'static str>,
    pub(super) public_key: Vec<u8>,
}

impl Facts {
    /// Reads a certificate in DER.
    pub fn of(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = Certificate::from_der(der).map_err(CertificateError::NotACertificate)?;
        let tbs = certificate.tbs_certificate();
        let key = tbs.subject_public_key_info();

        let mut malformed = Vec::new();
        let usage: Option<KeyUsage> = extension(tbs, "keyUsage", &mut malformed);
        let extended: Option<ExtendedKeyUsage> = extension(tbs, "extendedKeyUsage", &mut malformed);
        let names: Option<SubjectAltName> = extension(tbs, "subjectAltName", &mut malformed);
        let constraints: Option<BasicConstraints> = extension(tbs, "basicConstraints", &mut malformed);
        let statements = statements(tbs, &mut malformed);
        let psd2 = statements.psd2;

        Ok(Self {
            common_name: name::value(tbs.subject(), name::COMMON_NAME),
            organization: name::value(tbs.subject(), name::ORGANIZATION),
            organization_identifier: name::value(tbs.subject(), name::ORGANIZATION_IDENTIFIER),
            roles: psd2.as_ref().map(|psd2| psd2.roles.clone()).unwrap_or_default(),
            nca_name: psd2.as_ref().map(|psd2| psd2.nca_name.clone()),
            nca_id: psd2.map(|psd2| psd2.nca_id),
            qualified: statements.kinds,
            subject: name::readable(tbs.subject()),
            issuer: name::readable(tbs.issuer()),
            serial: serial(tbs.serial_number().as_bytes()),
            not_before: timestamp(tbs.validity().not_before),
            not_after: timestamp(tbs.validity().not_after),
            key: KeyType::of(key),
            client_auth: extended
                .as_ref()
                .is_none_or(|usages| usages.0.contains(&CLIENT_AUTH) || usages.0.contains(&ANY_USAGE)),
            digital_signature: usage.as_ref().is_none_or(KeyUsage::digital_signature),
            key_usages: usage.as_ref().map(usage::key_usages),
            extended_key_usages: extended
                .map(|usages| usages.0.iter().map(|oid| usage::extended_key_usage(*oid)).collect()),
            names: names.map(|names| names.0.iter().filter_map(usage::alternative_name).collect()).unwrap_or_default(),
            ca: constraints.is_some_and(|constraints| constraints.ca),
            fingerprint: fingerprint(der),
            malformed,
            public_key: key.subject_public_key.raw_bytes().to_vec(),
        })
    }

    /// Whole days until the end, rounded down: 0 on the last day, negative when it is over.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after.seconds() - now.seconds()).div_euclid(SECONDS_A_DAY)
    }

    /// Whether it is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now.seconds() > self.not_after.seconds()
    }

    /// Whether it is not valid yet.
    pub fn is_early(&self, now: Timestamp) -> bool {
        now < self.not_before
    }

    /// Whether holder and issuer have one name: a root, or a certificate that nobody else vouches for.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether the extended key usages name TLS clients, or there is no restriction.
    pub fn names_client_auth(&self) -> bool {
        self.extended_key_usages
            .as_ref()
            .is_none_or(|usages| usages.iter().any(|usage| usage == usage::CLIENT_AUTH_NAME))
    }

    /// The fingerprint in lower-case hexadecimal digits.
    pub fn fingerprint_hex(&self) -> String {
        Hex(&self.fingerprint).to_string()
    }

    /// The bits of the public key without its algorithm: an RSA key is one key whether it is marked for PSS or not.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// The extension of type `T`. One that does not parse, or stands there twice, is as good as none, but is named.
fn extension<'a, T>(tbs: &'a TbsCertificate, name: &'static str, malformed: &mut Vec<&'static str>) -> Option<T>
where
    T: Decode<'a> + AssociatedOid,
{
    let found = tbs.get_extension::<T>();
    if found.is_err() {
        malformed.push(name);
    }
    found.ok().flatten().map(|(_, extension)| extension)
}

fn statements(tbs: &TbsCertificate, malformed: &mut Vec<&'static str>) -> Statements {
    let mut found = tbs.extensions().into_iter().flatten().filter(|extension| extension.extn_id == QC_STATEMENTS);
    let statements = found.next().map(|extension| Statements::from_der(extension.extn_value.as_bytes()));
    match statements {
        Some(Ok(statements)) if found.next().is_none() => statements,
        None => Statements::default(),
        Some(_) => {
            malformed.push("qcStatements");
            Statements::default()
        }
    }
}

fn serial(bytes: &[u8]) -> String {
    let digits = Hex(bytes).to_string();
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() { "0".to_owned() } else { significant.to_owned() }
}

fn timestamp(time: Time) -> Timestamp {
    Timestamp::default().plus(time.to_unix_duration())
}

fn fingerprint(der: &[u8]) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    fingerprint
}
