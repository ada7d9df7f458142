//! What is worth saying about a chain before a bank says it: each finding with a reason and a remedy.

use std::fmt;

use crate::words::Timestamp;

use super::facts::KeyType;
use super::{Facts, QualifiedKind, Role};

/// One thing about a chain that a bank may not like. None of them keeps bankside from trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Certificate `position` (1 is the leaf) is over.
    Expired {
        /// Where in the chain.
        position: usize,
        /// Its last moment.
        since: Timestamp,
    },
    /// Certificate `position` is not valid yet.
    NotYetValid {
        /// Where in the chain.
        position: usize,
        /// Its first moment.
        until: Timestamp,
    },
    /// The leaf ends soon.
    EndsSoon {
        /// Whole days.
        days_left: i64,
    },
    /// The extended key usages leave out TLS clients.
    NoClientAuth,
    /// The extended key usages allow TLS clients by `anyExtendedKeyUsage` alone, which RFC 5280 (section 4.2.1.12) lets
    /// a server refuse, and OpenSSL does.
    ClientAuthNotNamed,
    /// The key usages leave out signatures, so the key must not sign a handshake.
    NoDigitalSignature,
    /// The key is on a curve that we do not offer for key exchange: under TLS 1.2, OpenSSL refuses it for that.
    CurveNotOffered,
    /// It is qualified for something else than web sites: a seal, mostly.
    NotForWeb,
    /// It has no PSD2 statement, so no roles.
    NoPsd2,
    /// It has PSD2 roles, but not the one that a scope needs.
    RoleMissing {
        /// The role.
        role: Role,
        /// The scope, as the bank writes it.
        scope: String,
    },
    /// The leaf is a certificate authority's.
    Authority,
    /// Certificate `position` is not the issuer of the one before it.
    OutOfOrder {
        /// Where in the chain.
        position: usize,
    },
    /// The leaf stands alone, without the one who issued it.
    IssuerMissing {
        /// Whose certificate is missing.
        issuer: String,
    },
    /// An extension of certificate `position` does not parse.
    Malformed {
        /// Where in the chain.
        position: usize,
        /// Its name.
        extension: &'static str,
    },
}

/// Days before the end from which it is worth a word: a new QWAC takes weeks to get and to register.
const SOON: i64 = 30;

/// What there is to say whatever the time is. `chain` has the leaf first.
pub fn of_chain(chain: &[Facts]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(leaf) = chain.first() else { return findings };
    let about_leaf = [
        (!leaf.client_auth, Finding::NoClientAuth),
        (leaf.client_auth && !leaf.names_client_auth(), Finding::ClientAuthNotNamed),
        (!leaf.digital_signature, Finding::NoDigitalSignature),
        (leaf.key == KeyType::Curve("P-521"), Finding::CurveNotOffered),
        (!leaf.qualified.is_empty() && !leaf.qualified.contains(&QualifiedKind::Web), Finding::NotForWeb),
        (leaf.roles.is_empty(), Finding::NoPsd2),
        (leaf.ca, Finding::Authority),
        (chain.len() == 1 && !leaf.is_self_issued(), Finding::IssuerMissing { issuer: leaf.issuer.clone() }),
    ];
    findings.extend(about_leaf.into_iter().filter(|(holds, _)| *holds).map(|(_, finding)| finding));
    for (index, pair) in chain.windows(2).enumerate() {
        if pair[0].issuer != pair[1].subject {
            findings.push(Finding::OutOfOrder { position: index + 2 });
        }
    }
    for (index, facts) in chain.iter().enumerate() {
        let malformed = facts.malformed.iter();
        findings.extend(malformed.map(|extension| Finding::Malformed { position: index + 1, extension }));
    }
    findings
}

/// What there is to say about a scope that needs a role. A leaf without any role is [`Finding::NoPsd2`] already.
pub fn of_scope(leaf: &Facts, role: Role, scope: &str) -> Option<Finding> {
    let is_missing = !leaf.roles.is_empty() && !leaf.roles.contains(&role);
    is_missing.then(|| Finding::RoleMissing { role, scope: scope.to_owned() })
}

/// What there is to say at this time. `chain` has the leaf first.
pub fn of_time(chain: &[Facts], now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, facts) in chain.iter().enumerate() {
        let (position, days_left) = (index + 1, facts.days_left(now));
        if facts.is_expired(now) {
            findings.push(Finding::Expired { position, since: facts.not_after });
        } else if facts.is_early(now) {
            findings.push(Finding::NotYetValid { position, until: facts.not_before });
        } else if position == 1 && days_left < SOON {
            findings.push(Finding::EndsSoon { days_left });
        }
    }
    findings
}

impl Finding {
    /// Whether a bank that checks at all will refuse: `check` calls this an error where `run` only warns.
    pub fn is_fatal_for_check(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::NotYetValid { .. })
    }

    /// What to do, without a full stop.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Expired { .. } | Self::EndsSoon { .. } => {
                "get the next certificate from the trust service provider, and register it at the bank"
            }
            Self::NotYetValid { .. } => "wait, or look at this machine's clock",
            Self::NoClientAuth | Self::ClientAuthNotNamed | Self::NoDigitalSignature => {
                "ask the trust service provider for a QWAC that is meant for TLS clients"
            }
            Self::CurveNotOffered => {
                "get the next one with an RSA key, or one on P-256 or P-384, if the bank speaks TLS 1.2 only"
            }
            Self::NotForWeb => "use the QWAC, not the QSealC",
            Self::NoPsd2 => "use the QWAC that the trust service provider issued for PSD2, unless this is a test",
            Self::RoleMissing { .. } => {
                "leave the scope out, or use a QWAC with the role; [roles] says which scope needs which"
            }
            Self::Authority => "put the leaf first",
            Self::OutOfOrder { .. } => "put each issuer's certificate after the one that it issued",
            Self::IssuerMissing { .. } => "put the issuer's certificate after the leaf: many banks do not have it",
            Self::Malformed { .. } => "show the certificate to the trust service provider",
        }
    }
}

/// What is the matter, without a full stop.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { position, since } => write!(f, "{} expired at {since}", Which(*position)),
            Self::NotYetValid { position, until } => write!(f, "{} is not valid before {until}", Which(*position)),
            Self::EndsSoon { days_left: 0 } => f.write_str("the certificate ends today"),
            Self::EndsSoon { days_left: 1 } => f.write_str("the certificate ends in 1 day"),
            Self::EndsSoon { days_left } => write!(f, "the certificate ends in {days_left} days"),
            Self::NoClientAuth => f.write_str("the certificate is not meant for TLS clients (no clientAuth)"),
            Self::ClientAuthNotNamed => f.write_str(
                "the certificate is for TLS clients by anyExtendedKeyUsage alone, which many servers refuse",
            ),
            Self::NoDigitalSignature => f.write_str("the certificate's key may not sign (no digitalSignature)"),
            Self::CurveNotOffered => {
                f.write_str("the certificate's key is on P-521, which many banks' servers refuse under TLS 1.2")
            }
            Self::NotForWeb => f.write_str("the certificate is qualified for signatures or seals, not for TLS"),
            Self::NoPsd2 => f.write_str("the certificate names no PSD2 role"),
            Self::RoleMissing { role, scope } => {
                write!(f, "the certificate has no role {role} ({}), which the scope {scope} needs", role.meaning())
            }
            Self::Authority => f.write_str("the first certificate is a certificate authority's"),
            Self::OutOfOrder { position } => {
                write!(f, "certificate {position} of the chain did not issue the one before it")
            }
            Self::IssuerMissing { issuer } => write!(f, "the chain lacks its issuer, {issuer}"),
            Self::Malformed { position, extension } => write!(f, "{}'s {extension} is malformed", Which(*position)),
        }
    }
}

/// A certificate of the chain, by its position.
struct Which(usize);

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("the certificate"),
            position => write!(f, "certificate {position} of the chain"),
        }
    }
}
