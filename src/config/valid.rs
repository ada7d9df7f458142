//! From raw to valid: the settings that are not a bank's, and what holds between banks.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::file::mode_of;
use super::postgres::postgres;
use super::raw::{RawConfig, RawStore, RawStoreKey, RawStoreUrl};
use super::reader::{Field, Located, Reader};
use super::valid_bank::bank;
use super::valid_identity::identity;
use super::{Bank, Listen, Log, Place, Store, StoreKey, StoreUrl};
use crate::words::Secret;

/// What a configuration says, without what reading it brought to light.
pub(super) struct Settings {
    pub(super) log: Log,
    pub(super) admin: Option<Listen>,
    pub(super) store: Store,
    pub(super) workers: usize,
    pub(super) banks: Vec<Arc<Bank>>,
}

/// Makes it valid. `without_profile` are the banks whose profile could not be read: what they lack says nothing.
/// `root` is the place of the file, and `base` what a path in it is relative to.
pub(super) fn settings(
    raw: RawConfig,
    without_profile: &HashSet<String>,
    root: &Place,
    base: &Path,
    reader: &mut Reader<'_>,
) -> Option<Settings> {
    let log = raw.log.value;
    let admin = raw.admin.value.listen.map(|listen| listen.0);
    if admin.value.as_ref().is_some_and(|listen| !listen.is_local()) {
        let remedy = "listen on loopback or a unix socket, or keep others out by the network's rules";
        reader.warn(&admin.place, "whoever reaches this address can see and change grants", remedy);
    }
    if let Some(listen) = &admin.value {
        warn_of_folder(listen, &admin.place, reader);
    }
    let store = store(raw.store, base, reader);
    let global = identity(raw.identity, reader);

    let no_banks = matches!(&raw.banks, Field::Given(banks) if banks.value.0.is_empty());
    if no_banks || raw.banks.is_absent() {
        reader.error(&root.child("banks"), "there is no bank", "add a table such as [banks.NAME] with its profile");
    }
    let mut listeners = vec![];
    if let Some(listen) = &admin.value {
        listeners.push((listen.clone(), admin.place.clone()));
    }
    let mut banks = Vec::new();
    for (name, table) in raw.banks.take().map(|banks| banks.0).unwrap_or_default() {
        for listen in table.value.listen.get().into_iter().flat_map(|many| &many.0) {
            note_clash(listen, &listeners, reader);
            warn_of_folder(&listen.value, &listen.place, reader);
            listeners.push((listen.value.clone(), listen.place.clone()));
        }
        if !without_profile.contains(&name) {
            banks.extend(bank(&name, table, &global, reader).map(Arc::new));
        }
    }
    let log = Log { format: log.format.value, level: log.level.value.0 };
    let workers = workers(raw.runtime.value.workers.value.0);
    Some(Settings { log, admin: admin.value, store: store?, workers, banks })
}

fn note_clash(listen: &Located<Listen>, listeners: &[(Listen, Place)], reader: &mut Reader<'_>) {
    if let Some((_, place)) = listeners.iter().find(|(other, _)| other.clashes_with(&listen.value)) {
        let reason = format!("the address is taken by {}", place.key);
        reader.error(&listen.place, reason, "choose another port or path");
    }
}

/// Whoever may write a socket's folder may put another socket in its place, and be asked instead of the sidecar.
fn warn_of_folder(listen: &Listen, place: &Place, reader: &mut Reader<'_>) {
    let Listen::Unix(path) = listen else { return };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = mode_of(folder);
    let is_sticky = mode & 0o1000 != 0;
    if mode & 0o022 != 0 && !is_sticky {
        let reason = format!(
            "others than its owner may write {}, and put a socket of theirs in the place of this",
            folder.display()
        );
        reader.warn(
            place,
            reason,
            "take the right away: chmod go-w FOLDER, or let each remove only its own: chmod +t FOLDER",
        );
    }
}

/// One worker per core that the process may use, at most 4, where the configuration leaves it open.
fn workers(configured: u32) -> usize {
    /// More do not pay for a sidecar beside one app.
    const MOST: usize = 4;
    match usize::try_from(configured) {
        Ok(0) | Err(_) => available_parallelism().map_or(1, |cores| cores.get().min(MOST)),
        Ok(workers) => workers,
    }
}

fn store(raw: Located<RawStore>, base: &Path, reader: &mut Reader<'_>) -> Option<Store> {
    let Located { place, value: RawStore { url, key } } = raw;
    let is_sqlite = matches!(url.value, RawStoreUrl::Sqlite(_));
    let url = match url.value {
        RawStoreUrl::Sqlite(path) => Some(StoreUrl::Sqlite(base.join(path))),
        RawStoreUrl::Postgres(rest) => postgres(&rest, &url.place, base, reader).map(Box::new).map(StoreUrl::Postgres),
    };
    let key = store_key(key, is_sqlite, reader);
    Some(Store { place, url: url?, key: key? })
}

/// Of replicas, each would make a key of its own.
const SHARED: &str =
    "make one with `openssl rand -base64 32`, the same for all replicas, unless there was one: give that back";

fn store_key(raw: Located<RawStoreKey>, is_sqlite: bool, reader: &mut Reader<'_>) -> Option<StoreKey> {
    let Located { place, value: RawStoreKey { keys, is_list } } = raw;
    if keys.is_empty() {
        reader.error(
            &place,
            "the list of keys is empty",
            "give the key that seals, and behind it those that only open",
        );
        return None;
    }
    let mut secrets = Vec::new();
    for Located { place, value } in keys {
        let alone = value.env.is_absent() && value.value.is_absent();
        let file = value.file.located().filter(|_| alone && !is_list).map(|file| (&file.place, &file.value.value.0));
        let absent = file.filter(|(_, path)| !path.exists());
        // Looked at only: whoever opens the store makes it. That it is there then counts.
        if let Some((_, path)) = absent.filter(|_| is_sqlite) {
            reader.files.insert(path.clone());
            return Some(StoreKey::Make(path.clone()));
        }
        if let Some((place, path)) = absent.filter(|(_, path)| matches!(path.try_exists(), Ok(false))) {
            reader.files.insert(path.clone());
            reader.error(place, "the key's file is not there", SHARED);
            return None;
        }
        let secret = value.resolve(&place, reader)?;
        secrets.push(decode_key(&secret, &place, reader)?);
    }
    Some(StoreKey::Given(secrets.into()))
}

fn decode_key(secret: &Secret, place: &Place, reader: &mut Reader<'_>) -> Option<Secret> {
    const LENGTH: usize = 32;
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let key = GeneralPurpose::new(&STANDARD, config).decode(secret.expose()).map(Zeroizing::new);
    match key {
        Ok(key) if key.len() == LENGTH => Some(Secret::new(key.as_slice())),
        _ => {
            let remedy = "make one with `openssl rand -base64 32`, or name a file that is not there yet";
            reader.error(place, "not a key: 32 bytes in base64 are expected", remedy);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_as_configured_or_as_the_cores_allow() {
        assert_eq!(workers(7), 7);
        assert!((1..=4).contains(&workers(0)));
    }
}
