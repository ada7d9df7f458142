//! Distinguished names as text that a person reads and a terminal survives.

use std::fmt::Write;

use der::asn1::{Any, BmpString, Ia5StringRef, ObjectIdentifier, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use der::{Decode, Tag, Tagged};
use x509_cert::name::Name;

use crate::words::{Hex, printable};

/// `commonName` (RFC 4519, section 2.3).
pub const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// `organizationName` (RFC 4519, section 2.19).
pub const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
/// `organizationIdentifier` (X.520): `PSD` + country + `-` + NCA + `-` + id in a QWAC (ETSI TS 119 495, section 5.2.1).
pub const ORGANIZATION_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.97");

/// Attribute types by the short names that people know.
const SHORT_NAMES: [(&str, &str); 15] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.42", "GN"),
    ("2.5.4.97", "organizationIdentifier"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// A name after RFC 4514: most specific part first, special and control characters escaped; with a space behind each
/// comma, and short names for the attributes of a QWAC.
pub fn readable(name: &Name) -> String {
    let parts: Vec<String> = name.iter_rdn().map(|rdn| join(rdn.iter().map(attribute), "+")).collect();
    join(parts.into_iter().rev(), ", ")
}

/// A name in DER as [`readable`] has it; a word where it is none.
pub fn readable_der(der: &[u8]) -> String {
    Name::from_der(der).map_or_else(|_| "a malformed name".to_owned(), |name| readable(&name))
}

/// The first value of an attribute, unescaped but printable.
pub fn value(name: &Name, oid: ObjectIdentifier) -> Option<String> {
    name.iter().find(|attribute| attribute.oid == oid).and_then(|found| text(&found.value)).map(|text| printable(&text))
}

fn join(parts: impl Iterator<Item = String>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

fn attribute(attribute: &x509_cert::attr::AttributeTypeAndValue) -> String {
    let oid = attribute.oid.to_string();
    let key = SHORT_NAMES.iter().find(|(dotted, _)| *dotted == oid).map_or(oid.as_str(), |(_, short)| short);
    match text(&attribute.value) {
        Some(text) => format!("{key}={}", escaped(&text)),
        None => format!("{key}=#{}", Hex(attribute.value.value())),
    }
}

/// The text of a value of one of the string types of X.520.
fn text(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok().map(|s| s.as_str().to_owned()),
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().ok().map(|s| s.as_str().to_owned()),
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().ok().map(|s| s.as_str().to_owned()),
        Tag::TeletexString => value.decode_as::<TeletexStringRef<'_>>().ok().map(|s| s.as_str().to_owned()),
        Tag::BmpString => value.decode_as::<BmpString>().ok().map(|s| s.to_string()),
        _ => None,
    }
}

/// RFC 4514, section 2.4.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (index, c) in text.chars().enumerate() {
        match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => out.extend(['\\', c]),
            '#' if index == 0 => out.push_str("\\#"),
            ' ' if index == 0 || index == last => out.push_str("\\ "),
            c if c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(out, "\\{byte:02X}");
                }
            }
            c => out.push(c),
        }
    }
    out
}
