//! From raw to valid: where a QWAC comes from.

use super::file::warn_if_open_to_all;
use super::raw::{RawIdentity, RawNextIdentity, RawPkcs11};
use super::reader::{Field, Located, Reader};
use super::{FileContent, Identity, IdentitySource, NextIdentity, Pkcs11, Place};
use crate::words::Secret;

/// What a table gives.
pub(super) enum Supply<T> {
    /// There is no table.
    Absent,
    /// There is one, and its problems are noted.
    Bad,
    /// It is valid.
    Given(T),
}

const REMEDY: &str = "name `certificate` and `private_key`, or `pkcs12`";

/// An identity, if there is one.
pub(super) fn identity(table: Field<RawIdentity>, reader: &mut Reader<'_>) -> Supply<Identity> {
    let Located { place, value: raw } = match table {
        Field::Absent => return Supply::Absent,
        Field::Bad => return Supply::Bad,
        Field::Given(table) => table,
    };
    // Without a next one that is bad, this one can still be looked into; the configuration is refused all the same.
    let next = match raw.next {
        Field::Absent | Field::Bad => None,
        Field::Given(next) => next_identity(next, reader).map(Box::new),
    };
    let keys = SourceKeys {
        certificate: raw.certificate,
        private_key: raw.private_key,
        passphrase: raw.passphrase,
        pkcs12: raw.pkcs12,
    };
    let source = any_source(keys, raw.pkcs11, &place, reader);
    match source {
        Some(source) => Supply::Given(Identity { place, source, next }),
        None => Supply::Bad,
    }
}

/// The keys that name files.
struct SourceKeys {
    certificate: Field<FileContent>,
    private_key: Field<FileContent>,
    passphrase: Field<Secret>,
    pkcs12: Field<FileContent>,
}

fn any_source(
    keys: SourceKeys,
    hsm: Field<RawPkcs11>,
    place: &Place,
    reader: &mut Reader<'_>,
) -> Option<IdentitySource> {
    let table = match hsm {
        Field::Absent => return source(keys, place, reader),
        Field::Bad => return None,
        Field::Given(table) => table,
    };
    let key = pkcs11(table, reader);
    let others = [keys.private_key.place(), keys.pkcs12.place()];
    if let Some(place) = others.into_iter().flatten().next() {
        reader.error(place, "the key is in the HSM (`pkcs11`) already", "keep one of them");
    }
    let remedy = "name the PEM file with the certificate and its chain";
    let certificate = reader.need(keys.certificate, place, "certificate", remedy);
    certificate.zip(key).map(|(certificate, key)| IdentitySource::Pkcs11 { certificate, key })
}

fn source(keys: SourceKeys, place: &Place, reader: &mut Reader<'_>) -> Option<IdentitySource> {
    let SourceKeys { certificate, private_key, passphrase, pkcs12 } = keys;
    let has_no_pem = certificate.is_absent() && private_key.is_absent();
    if has_no_pem && pkcs12.is_absent() {
        reader.error(place, "the identity names no certificate", REMEDY);
        return None;
    }
    if !has_no_pem && !pkcs12.is_absent() {
        let place = pkcs12.place().unwrap_or(place);
        reader.error(place, "stands beside `certificate` or `private_key`", "keep one of them");
        return None;
    }
    if matches!(passphrase, Field::Bad) {
        return None;
    }
    let passphrase = passphrase.take();
    if has_no_pem {
        let file = pkcs12.take()?;
        warn_of_weak(&file, passphrase.as_ref(), reader);
        return Some(IdentitySource::Pkcs12 { file, passphrase });
    }
    let certificate = reader.need(certificate, place, "certificate", REMEDY);
    let private_key = reader.need(private_key, place, "private_key", REMEDY);
    if let Some(key) = &private_key {
        warn_of_weak(key, passphrase.as_ref(), reader);
    }
    Some(IdentitySource::Pem { certificate: certificate?, private_key: private_key?, passphrase })
}

/// Without a passphrase, the file's mode is all that protects the key.
fn warn_of_weak(file: &FileContent, passphrase: Option<&Secret>, reader: &mut Reader<'_>) {
    if passphrase.is_none() {
        warn_if_open_to_all(file, reader);
    }
}

fn pkcs11(table: Located<RawPkcs11>, reader: &mut Reader<'_>) -> Option<Pkcs11> {
    let Located { place, value: raw } = table;
    let module = reader.need(raw.module, &place, "module", "name the PKCS#11 library");
    let token = reader.need(raw.token, &place, "token", "name the token's label");
    let key = reader.need(raw.key, &place, "key", "name the key's label");
    let pin = reader.need(raw.pin, &place, "pin", "give the PIN as a secret");
    if !cfg!(feature = "pkcs11") {
        reader.left_out(&place, "a key in an HSM", "use a build with the feature pkcs11");
        return None;
    }
    Some(Pkcs11 { place, module: module?.0, token: token?, key: key?, pin: pin? })
}

fn next_identity(table: Located<RawNextIdentity>, reader: &mut Reader<'_>) -> Option<NextIdentity> {
    let Located { place, value: raw } = table;
    let from = reader.need(raw.from, &place, "from", "say from when it is used: \"2027-01-31T00:00:00Z\"");
    let keys = SourceKeys {
        certificate: raw.certificate,
        private_key: raw.private_key,
        passphrase: raw.passphrase,
        pkcs12: raw.pkcs12,
    };
    let source = any_source(keys, raw.pkcs11, &place, reader);
    Some(NextIdentity { from: from?.0, identity: Identity { place, source: source?, next: None } })
}
