//! Where the QWAC comes from. Nothing is parsed here: that is the certificate room's work.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::words::{Secret, Timestamp};

use super::Place;

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
}
