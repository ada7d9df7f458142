//! The qcStatements of a QWAC (ETSI EN 319 412-5, ETSI TS 119 495): written by the issuing CA, read by the banks.

use der::asn1::{Any, Ia5String, ObjectIdentifier, PrintableString};
use der::{Decode, Encode, Sequence};
use serde::{Deserialize, Serialize};

/// The extension qcStatements (RFC 3739, section 3.2.6).
pub(super) const QC_STATEMENTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.3");
/// The statement with roles and NCA (ETSI TS 119 495, section 5.1).
const PSD2: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.19495.2");
/// "This is an EU qualified certificate" (ETSI EN 319 412-5, section 4.2.1).
const COMPLIANCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.1");
/// Where the terms are published (section 4.3.4).
const DISCLOSURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.5");
/// The type of certificate (section 4.2.3)...
const TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6");
/// ...which is: for web site authentication.
const TYPE_WEB: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6.3");

/// What a payment service provider may do (ETSI TS 119 495, section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Keeps accounts.
    #[serde(rename = "PSP_AS")]
    Servicing,
    /// Initiates payments.
    #[serde(rename = "PSP_PI")]
    Payments,
    /// Reads accounts.
    #[serde(rename = "PSP_AI")]
    Accounts,
    /// Issues cards, and asks whether there are funds.
    #[serde(rename = "PSP_IC")]
    Cards,
}

impl Role {
    const ALL: [Self; 4] = [Self::Servicing, Self::Payments, Self::Accounts, Self::Cards];

    /// The name that stands in the certificate beside the identifier.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Servicing => "PSP_AS",
            Self::Payments => "PSP_PI",
            Self::Accounts => "PSP_AI",
            Self::Cards => "PSP_IC",
        }
    }

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Servicing => ObjectIdentifier::new_unwrap("0.4.0.19495.1.1"),
            Self::Payments => ObjectIdentifier::new_unwrap("0.4.0.19495.1.2"),
            Self::Accounts => ObjectIdentifier::new_unwrap("0.4.0.19495.1.3"),
            Self::Cards => ObjectIdentifier::new_unwrap("0.4.0.19495.1.4"),
        }
    }
}

#[derive(Sequence)]
struct Statement {
    id: ObjectIdentifier,
    info: Option<Any>,
}

#[derive(Sequence)]
struct Psd2 {
    roles: Vec<RoleOfPsp>,
    nca_name: String,
    nca_id: String,
}

#[derive(Sequence)]
struct RoleOfPsp {
    id: ObjectIdentifier,
    name: String,
}

#[derive(Sequence)]
struct Location {
    url: Ia5String,
    language: PrintableString,
}

/// The extension's value as a QTSP writes it: compliance, terms, type, and (with `roles`) the PSD2 statement.
///
/// `Some` of no roles at all is a statement that says so; `None` leaves the statement out.
pub(super) fn encode(roles: Option<&[Role]>, nca_name: &str, nca_id: &str) -> der::Result<Vec<u8>> {
    let terms = Location { url: Ia5String::new("https://qtsp.example/terms")?, language: PrintableString::new("en")? };
    let mut statements = vec![
        Statement { id: COMPLIANCE, info: None },
        Statement { id: DISCLOSURE, info: Some(Any::encode_from(&vec![terms])?) },
        Statement { id: TYPE, info: Some(Any::encode_from(&vec![TYPE_WEB])?) },
    ];
    if let Some(roles) = roles {
        let roles = roles.iter().map(|role| RoleOfPsp { id: role.oid(), name: role.name().to_owned() }).collect();
        let psd2 = Psd2 { roles, nca_name: nca_name.to_owned(), nca_id: nca_id.to_owned() };
        statements.push(Statement { id: PSD2, info: Some(Any::encode_from(&psd2)?) });
    }
    statements.to_der()
}

/// The roles that the extension's value states; none where it has no PSD2 statement or is not what it should be.
pub(super) fn roles(extension: &[u8]) -> Vec<Role> {
    let Ok(statements) = Vec::<Statement>::from_der(extension) else { return Vec::new() };
    let psd2 = statements.into_iter().find(|statement| statement.id == PSD2).and_then(|statement| statement.info);
    let Some(Ok(psd2)) = psd2.map(|info| info.decode_as::<Psd2>()) else { return Vec::new() };
    Role::ALL.into_iter().filter(|role| psd2.roles.iter().any(|stated| stated.id == role.oid())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_back_as_they_were_written() {
        for wanted in [vec![], vec![Role::Accounts], vec![Role::Payments, Role::Accounts, Role::Cards]] {
            let extension = encode(Some(&wanted), "Czech National Bank", "CZ-CNB").expect("encodes");
            assert_eq!(roles(&extension), wanted);
        }
    }

    #[test]
    fn the_psd2_statement_has_the_bytes_that_the_standard_says() {
        let extension = encode(Some(&[Role::Accounts]), "CNB", "CZ-CNB").expect("encodes");
        // SEQUENCE { OID 0.4.0.19495.2, SEQUENCE { SEQUENCE { SEQUENCE { OID 0.4.0.19495.1.3, UTF8 "PSP_AI" } }, ... } }
        let statement = b"\x30\x2c\x06\x06\x04\x00\x81\x98\x27\x02\x30\x22\x30\x13\x30\x11\x06\x07\x04\x00\x81\x98\x27\
            \x01\x03\x0c\x06PSP_AI\x0c\x03CNB\x0c\x06CZ-CNB";
        assert!(extension.ends_with(statement), "{extension:02x?}");
    }

    #[test]
    fn what_is_no_statement_states_no_role() {
        assert!(roles(&encode(None, "", "").expect("encodes")).is_empty());
        for garbage in [&b""[..], b"\x30", b"\x30\x80", b"\x04\x02hi"] {
            assert!(roles(garbage).is_empty());
        }
    }
}
