//! Where the QWAC comes from. Nothing is parsed here: that is the certificate room's work.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::words::{Hex, Secret, Timestamp};

use super::{Invalid, Place};

/// A file that the configuration names, as it was read. It may be a private key: `Debug` shows the path only.
#[derive(Clone)]
pub struct FileContent {
    /// The key that names it.
    pub place: Place,
    /// Where it lies.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Arc<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for FileContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileContent({})", self.path.display())
    }
}

/// The certificate and key by which the bank knows us.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The `[identity]` table.
    pub place: Place,
    /// Its material.
    pub source: IdentitySource,
    /// What follows it (`[identity.next]`).
    pub next: Option<Box<NextIdentity>>,
}

/// An identity with the moment from which it is used.
#[derive(Clone, Debug)]
pub struct NextIdentity {
    /// From when.
    pub from: Timestamp,
    /// The identity. Nothing follows it.
    pub identity: Identity,
}

impl Identity {
    /// The identity that is to be used at this time: this one, or the one that follows it.
    pub fn at(&self, now: Timestamp) -> &Self {
        match &self.next {
            Some(next) if next.from <= now => &next.identity,
            _ => self,
        }
    }
}

/// The ways in which a company keeps its QWAC.
#[derive(Clone, Debug)]
pub enum IdentitySource {
    /// PEM files.
    Pem {
        /// The leaf first, then the chain.
        certificate: FileContent,
        /// PKCS#8, PKCS#1 or SEC1, encrypted or not.
        private_key: FileContent,
        /// For an encrypted key.
        passphrase: Option<Secret>,
    },
    /// A PKCS#12 file with both.
    Pkcs12 {
        /// The file.
        file: FileContent,
        /// Its password; absent means the empty one.
        passphrase: Option<Secret>,
    },
    /// A key that stays in an HSM (PKCS#11).
    Pkcs11 {
        /// The leaf first, then the chain: PEM.
        certificate: FileContent,
        /// The key.
        key: Pkcs11,
    },
}

/// A private key in an HSM, and the way to it.
#[derive(Clone, Debug)]
pub struct Pkcs11 {
    /// The `[identity.pkcs11]` table.
    pub place: Place,
    /// The HSM's library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// Which of the token's keys.
    pub key: Pkcs11Key,
    /// The user's PIN.
    pub pin: Secret,
}

/// How a key on a token is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pkcs11Key {
    /// By its label (`CKA_LABEL`).
    Label(String),
    /// By its id (`CKA_ID`), written `id:HEX`.
    Id(Vec<u8>),
}

/// As it is written.
impl fmt::Display for Pkcs11Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => f.write_str(label),
            Self::Id(id) => write!(f, "id:{}", Hex(id)),
        }
    }
}

impl FromStr for Pkcs11Key {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some(digits) = text.strip_prefix("id:") else {
            return if text.is_empty() || text.chars().any(char::is_control) {
                Err(Invalid::new("not a key's label", "give the label, or the id as \"id:HEX\""))
            } else {
                Ok(Self::Label(text.to_owned()))
            };
        };
        let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b':').collect();
        let pairs = digits.chunks(2).map(|pair| match pair {
            [_, _] if pair.iter().all(u8::is_ascii_hexdigit) => u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok(),
            _ => None,
        });
        match pairs.collect::<Option<Vec<u8>>>() {
            Some(id) if !id.is_empty() => Ok(Self::Id(id)),
            _ => Err(Invalid::new("not an id in hexadecimal digits", "write it as \"id:0a1b2c\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_label_or_by_id() {
        assert_eq!("qwac".parse(), Ok(Pkcs11Key::Label("qwac".to_owned())));
        assert_eq!("id:0A1b".parse(), Ok(Pkcs11Key::Id(vec![0x0a, 0x1b])));
        assert_eq!("id:0a:1b".parse::<Pkcs11Key>().map(|key| key.to_string()), Ok("id:0a1b".to_owned()));
        for wrong in ["", "id:", "id:abc", "id:+1", "id:zz", "a\nb"] {
            assert!(wrong.parse::<Pkcs11Key>().is_err(), "{wrong:?}");
        }
    }
}
