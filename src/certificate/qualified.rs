//! The qualified certificate statements: PSD2 roles and authority (ETSI TS 119 495), and the kind of certificate
//! (ETSI EN 319 412-5).

use std::fmt;

use der::asn1::{AnyRef, ObjectIdentifier, Utf8StringRef};
use der::{Decode, Sequence};

use crate::words::printable;

/// `id-pe-qcStatements` (RFC 3739, section 3.2.6).
pub const QC_STATEMENTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.3");
/// `id-etsi-psd2-qcStatement` (ETSI TS 119 495, section 5.1).
const PSD2: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.19495.2");
/// `id-etsi-qcs-QcType` (ETSI EN 319 412-5, section 4.2.3).
const QC_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6");

/// What a payment service provider may do (ETSI TS 119 495, section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Account servicing: a bank.
    PspAs,
    /// Payment initiation.
    PspPi,
    /// Account information.
    PspAi,
    /// Issuing of card-based payment instruments.
    PspIc,
}

impl Role {
    /// Every role, in the order of their object identifiers.
    pub const ALL: [Self; 4] = [Self::PspAs, Self::PspPi, Self::PspAi, Self::PspIc];

    /// The name in the standard: `PSP_AI`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PspAs => "PSP_AS",
            Self::PspPi => "PSP_PI",
            Self::PspAi => "PSP_AI",
            Self::PspIc => "PSP_IC",
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What it means, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::PspAs => "account servicing",
            Self::PspPi => "payment initiation",
            Self::PspAi => "account information",
            Self::PspIc => "card-based payment instruments",
        }
    }

    fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        const OIDS: [ObjectIdentifier; 4] = [
            ObjectIdentifier::new_unwrap("0.4.0.19495.1.1"),
            ObjectIdentifier::new_unwrap("0.4.0.19495.1.2"),
            ObjectIdentifier::new_unwrap("0.4.0.19495.1.3"),
            ObjectIdentifier::new_unwrap("0.4.0.19495.1.4"),
        ];
        OIDS.iter().position(|known| *known == oid).map(|index| Self::ALL[index])
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a qualified certificate is for (ETSI EN 319 412-5, section 4.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QualifiedKind {
    /// Signatures of people.
    Signature,
    /// Seals of organizations.
    Seal,
    /// Web site authentication: a QWAC.
    Web,
}

impl QualifiedKind {
    fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        const SIGNATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6.1");
        const SEAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6.2");
        const WEB: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6.3");
        match oid {
            SIGNATURE => Some(Self::Signature),
            SEAL => Some(Self::Seal),
            WEB => Some(Self::Web),
            _ => None,
        }
    }
}

/// What the statements of one certificate say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements {
    /// The PSD2 statement, where there is one.
    pub psd2: Option<Psd2>,
    /// What the certificate is for; several are possible, none is usual with old ones.
    pub kinds: Vec<QualifiedKind>,
}

/// The PSD2 statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Psd2 {
    /// What the holder may do. Roles that are not of the standard are left out.
    pub roles: Vec<Role>,
    /// The competent authority in words.
    pub nca_name: String,
    /// The competent authority by its id: `XX-EXA`.
    pub nca_id: String,
}

/// RFC 3739, section 3.2.6.
#[derive(Sequence)]
struct QcStatement<'a> {
    id: ObjectIdentifier,
    #[asn1(optional = "true")]
    info: Option<AnyRef<'a>>,
}

/// ETSI TS 119 495, annex A.
#[derive(Sequence)]
struct Psd2Info<'a> {
    roles: Vec<RoleInfo<'a>>,
    nca_name: Utf8StringRef<'a>,
    nca_id: Utf8StringRef<'a>,
}

#[derive(Sequence)]
struct RoleInfo<'a> {
    id: ObjectIdentifier,
    /// The role's name, which repeats the identifier: only that counts.
    name: Utf8StringRef<'a>,
}

impl Statements {
    /// Reads the value of the extension.
    pub fn from_der(der: &[u8]) -> Result<Self, der::Error> {
        let mut statements = Self::default();
        for statement in Vec::<QcStatement<'_>>::from_der(der)? {
            match (statement.id, statement.info) {
                (PSD2, Some(info)) => statements.psd2 = Some(psd2(&info.decode_as()?)),
                (QC_TYPE, Some(info)) => {
                    let oids: Vec<ObjectIdentifier> = info.decode_as()?;
                    statements.kinds = oids.into_iter().filter_map(QualifiedKind::from_oid).collect();
                }
                _ => {}
            }
        }
        Ok(statements)
    }
}

fn psd2(info: &Psd2Info<'_>) -> Psd2 {
    let mut roles: Vec<Role> = info.roles.iter().filter_map(|role| Role::from_oid(role.id)).collect();
    roles.sort_unstable();
    roles.dedup();
    Psd2 { roles, nca_name: printable(info.nca_name.as_str()), nca_id: printable(info.nca_id.as_str()) }
}
