//! What the sidecar needs of this machine: addresses that are free, a store that can be written, and the key to it.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::app::{App, mistaken};
use crate::config::{Listen, Place, Problem, Store, StoreKey, StoreUrl, in_its_line, place_of_listen};
use crate::inbound::listen::ListenError;
use crate::store::Sqlite;
use crate::words::with_causes;

use super::super::health;

/// How long a sidecar that may run here has for its answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What would keep a sidecar from starting here. Whoever runs this may be another user than the sidecar's, and a sidecar
/// may be running that these addresses are in use by: these are warnings. What only a person can change is an error: a
/// store that the key does not open or that is no database, a socket's name that something else has.
pub(super) fn problems(app: &App) -> Vec<Problem> {
    let config = app.config();
    let of_store = written(&config.store).or_else(|| opened(&config.store));
    let mut problems: Vec<Problem> = of_store.into_iter().chain(made(&config.store)).collect();
    let is_running = config.admin.as_ref().is_some_and(is_running);
    let look = |listen, place: &Place| {
        no_socket(listen, place).or_else(|| if is_running { None } else { address(listen, place) })
    };
    for bank in &config.banks {
        let place = place_of_listen(config, Some(bank));
        problems.extend(bank.listen.iter().filter_map(|listen| look(listen, &place)));
    }
    let place = place_of_listen(config, None);
    problems.extend(config.admin.iter().filter_map(|listen| look(listen, &place)));
    problems
}

/// Whether a sidecar answers there.
fn is_running(admin: &Listen) -> bool {
    health::ask(admin, "/livez", PATIENCE).is_ok_and(|answer| answer.ends_with(b"\r\n\r\nok\n"))
}

/// Whether something else has a socket's name: it is not the sidecar's to remove.
fn no_socket(listen: &Listen, place: &Place) -> Option<Problem> {
    let Listen::Unix(path) = listen else { return None };
    fs::symlink_metadata(path).ok().filter(|metadata| !metadata.file_type().is_socket())?;
    let reason = format!("{listen} cannot be listened on: {}", ListenError::NotASocket(path.clone()));
    Some(Problem::error(place, reason, "choose another path, or take away what is there"))
}

/// Why it cannot be listened on.
fn address(listen: &Listen, place: &Place) -> Option<Problem> {
    let error = match listen {
        Listen::Tcp(address) => bind(*address).err()?,
        Listen::Unix(path) => socket(path).err()?,
    };
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "end what listens there (`ss -ltnp` names it), or choose another address",
        io::ErrorKind::PermissionDenied => "choose a port above 1023, or let the service manager listen",
        io::ErrorKind::AddrNotAvailable => "use an address of this machine",
        io::ErrorKind::NotFound => "make its folder, or choose another path",
        _ => "choose another address",
    };
    Some(Problem::warning(place, format!("{listen} cannot be listened on: {error}"), remedy))
}

fn bind(address: SocketAddr) -> io::Result<()> {
    TcpListener::bind(address).map(drop)
}

/// A socket that somebody serves, or a folder that is not there. A stale socket is replaced at the start.
fn socket(path: &Path) -> io::Result<()> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    fs::metadata(folder(path)).map(drop)
}

/// Why the store's file could not be written.
fn written(store: &Store) -> Option<Problem> {
    let StoreUrl::Sqlite(path) = &store.url else { return None };
    let error = can_write(path).err()?;
    let reason = format!("the store {} cannot be written by this user: {error}", path.display());
    let remedy = "let the sidecar's user write the file and its folder, and run this command as that user";
    Some(Problem::warning(&in_its_line(store.place.child("url"), &["store", "url"]), reason, remedy))
}

/// Why the store's key could not be made, if it is to be.
fn made(store: &Store) -> Option<Problem> {
    let StoreKey::Make(path) = &store.key else { return None };
    let error = can_write(path).err()?;
    let reason = format!("the store's key {} cannot be made by this user: {error}", path.display());
    let remedy = "let the sidecar's user write its folder, and run this command as that user";
    Some(Problem::warning(&in_its_line(store.place.child("key"), &["store", "key"]), reason, remedy))
}

/// Why the store, if there is one, could not be opened with its key.
fn opened(store: &Store) -> Option<Problem> {
    let error = Sqlite::look(store).err()?;
    mistaken(store, &error).or_else(|| {
        let reason = format!("the store could not be looked into: {}", with_causes(&error));
        let place = in_its_line(store.place.child("url"), &["store", "url"]);
        Some(if error.is_no_database() {
            Problem::error(&place, reason, "name another file: where there is none, a store is made")
        } else {
            Problem::warning(&place, reason, "see that it is a store, and whole")
        })
    })
}

/// The file, if it is there, and its folder must be writable: `SQLite` puts files beside its database.
fn can_write(path: &Path) -> io::Result<()> {
    if path.exists() {
        OpenOptions::new().read(true).write(true).open(path)?;
    }
    let probe = folder(path).join(format!(".bankside-check-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(probe)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
