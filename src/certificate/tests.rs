//! The room as a whole: certificates made here and by `openssl`, keys in every form, and what is wrong with them.

mod anything;
mod facts;
mod keys;
#[cfg(feature = "pkcs12")]
mod pkcs12;

use std::fs;
use std::path::Path;

use crate::words::{Secret, Timestamp};

use super::key::check_pair;
use super::pki::{self, Authority, Kind};
use super::{CertificateError, Facts, PrivateKey, pem};

/// 2026-11-21T07:30:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_795_246_200_000);

/// A leaf and a root in a directory, as `leaf.pem`, `key.pem` (PKCS#8) and `root.pem`, for the `openssl` tool to work
/// on. `None` where the machine has no such tool.
fn directory_with(kind: Kind) -> Option<tempfile::TempDir> {
    let directory = pki::directory_for_openssl()?;
    let root = Authority::new("Test Root");
    let leaf = root.issue(&pki::qwac(), kind);
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("a file");
    write("leaf.pem", &leaf.pem);
    write("key.pem", &leaf.key_pem);
    write("root.pem", &root.pem);
    Some(directory)
}

fn read(directory: &Path, name: &str) -> Vec<u8> {
    fs::read(directory.join(name)).expect("a file")
}

/// Whether the key in a file opens with the passphrase and belongs to the leaf.
fn pairs(directory: &Path, name: &str, passphrase: Option<&str>) -> Result<(), CertificateError> {
    let leaf = pem::chain(&read(directory, "leaf.pem"))?;
    let key = PrivateKey::from_pem(&read(directory, name), passphrase.map(Secret::from).as_ref())?;
    check_pair(&*key.signing_key()?, &[Facts::of(&leaf[0])?])
}
