//! What a key may be used for, and which other names a certificate holds, in words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::KeyUsage;
use x509_cert::ext::pkix::name::GeneralName;

use crate::words::printable;

use super::name::readable;

/// `id-kp-clientAuth` (RFC 5280, section 4.2.1.12).
pub const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
/// `anyExtendedKeyUsage` (RFC 5280, section 4.2.1.12).
pub const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// Its name.
pub const CLIENT_AUTH_NAME: &str = "clientAuth";

/// Extended key usages by their names in RFC 5280, section 4.2.1.12.
const EXTENDED: [(&str, &str); 7] = [
    ("1.3.6.1.5.5.7.3.1", "serverAuth"),
    ("1.3.6.1.5.5.7.3.2", CLIENT_AUTH_NAME),
    ("1.3.6.1.5.5.7.3.3", "codeSigning"),
    ("1.3.6.1.5.5.7.3.4", "emailProtection"),
    ("1.3.6.1.5.5.7.3.8", "timeStamping"),
    ("1.3.6.1.5.5.7.3.9", "OCSPSigning"),
    ("2.5.29.37.0", "anyExtendedKeyUsage"),
];

/// The names of RFC 5280, section 4.2.1.3, in its order.
pub fn key_usages(usage: &KeyUsage) -> Vec<String> {
    let named = [
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "contentCommitment"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
        (usage.encipher_only(), "encipherOnly"),
        (usage.decipher_only(), "decipherOnly"),
    ];
    named.iter().filter(|(set, _)| *set).map(|(_, name)| (*name).to_owned()).collect()
}

/// The name of an extended key usage; its number where it has no usual name.
pub fn extended_key_usage(oid: ObjectIdentifier) -> String {
    let dotted = oid.to_string();
    EXTENDED.iter().find(|(known, _)| *known == dotted).map_or(dotted.clone(), |(_, name)| (*name).to_owned())
}

/// A subject alternative name; `None` for kinds that say nothing to a person.
pub fn alternative_name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text) | GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => {
            Some(printable(text.as_str()))
        }
        GeneralName::DirectoryName(name) => Some(readable(name)),
        GeneralName::IpAddress(octets) => address(octets.as_bytes()).map(|address| address.to_string()),
        GeneralName::RegisteredId(oid) => Some(oid.to_string()),
        GeneralName::OtherName(_) | GeneralName::EdiPartyName(_) => None,
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    let v6 = <[u8; 16]>::try_from(octets).map(|octets| IpAddr::from(Ipv6Addr::from(octets)));
    v4.or(v6).ok()
}
