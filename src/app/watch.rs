//! The files that went into a configuration: told when one of them changes and all of them have come to rest.
//!
//! They are looked at each second, whatever their file system and however many links lead to them. Where the kernel
//! tells of changes (inotify), they are looked at then. What is watched are folders: editors and Kubernetes do not
//! write into a file, they put another in its place.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two looks at the files where nobody tells of changes.
const LOOK: Duration = Duration::from_secs(1);
/// After a change, the files must rest this long: a certificate and its key are two files.
const REST: Duration = Duration::from_millis(200);
/// But a file that changes all the time is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Files with what was last seen of them.
pub(super) struct Watch {
    files: Vec<PathBuf>,
    seen: Signature,
    folders: Folders,
}

/// What tells one state of the files from another. A file that cannot be looked at is `None`.
pub(super) type Signature = Vec<Option<[i64; 8]>>;

impl Watch {
    /// Changes of these files count since they were seen like this.
    pub(super) fn new(files: Vec<PathBuf>, seen: Signature) -> Self {
        Self { folders: Folders::of(&files), files, seen }
    }

    /// Follows these files instead. What was seen of those that stay is kept, so that no change between goes unseen.
    pub(super) async fn follow(&mut self, files: Vec<PathBuf>) {
        if files == self.files {
            return;
        }
        let now = signature(files.clone()).await;
        let former = |file: &PathBuf| self.files.iter().position(|other| other == file);
        self.seen = files.iter().zip(now).map(|(file, now)| former(file).map_or(now, |at| self.seen[at])).collect();
        self.folders = Folders::of(&files);
        self.files = files;
    }

    /// This file is as the program itself has just made it: that is no change.
    pub(super) fn made(&mut self, file: &Path) {
        let place = self.files.iter().position(|other| other == file);
        if let Some(seen) = place.and_then(|place| self.seen.get_mut(place)) {
            *seen = state_of(file);
        }
    }

    /// What is about to be read is seen.
    pub(super) async fn look(&mut self) {
        self.seen = signature(self.files.clone()).await;
    }

    /// Whether the files are as they were last seen.
    pub(super) async fn is_as_seen(&self) -> bool {
        signature(self.files.clone()).await == self.seen
    }

    /// Waits for a change, and until it is over. May be dropped at any time: nothing is seen before it returns.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::select! {
                () = self.folders.changed() => sleep(REST).await,
                () = sleep(LOOK) => {}
            }
            let mut now = signature(self.files.clone()).await;
            if now == self.seen {
                continue;
            }
            let deadline = Instant::now() + PATIENCE;
            while Instant::now() < deadline {
                sleep(REST).await;
                let later = signature(self.files.clone()).await;
                if std::mem::replace(&mut now, later) == now {
                    break;
                }
            }
            self.seen = now;
            return;
        }
    }
}

/// Looks at the files, off the thread: one of them may lie at the other end of a network.
async fn signature(files: Vec<PathBuf>) -> Signature {
    tokio::task::spawn_blocking(move || signature_of(&files)).await.unwrap_or_default()
}

/// The state of the files.
pub(super) fn signature_of(files: &[PathBuf]) -> Signature {
    files.iter().map(|file| state_of(file)).collect()
}

fn state_of(file: &Path) -> Option<[i64; 8]> {
    fs::metadata(file).ok().map(|found| of(&found))
}

fn of(file: &fs::Metadata) -> [i64; 8] {
    let number = u64::cast_signed;
    let [device, inode, size] = [file.dev(), file.ino(), file.size()].map(number);
    let mode = i64::from(file.mode());
    [device, inode, size, mode, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()]
}

/// The folders in which the files lie, and those of the links that lead there.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is nobody to tell of changes"))]
fn folders(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    /// As many links as a path may lead through.
    const MOST_LINKS: usize = 40;
    let mut folders = BTreeSet::new();
    for file in files {
        let mut file = file.clone();
        for _ in 0..MOST_LINKS {
            let folder = match file.parent() {
                Some(folder) if folder != Path::new("") => folder.to_owned(),
                _ => PathBuf::from("."),
            };
            folders.insert(folder.clone());
            // A link in the middle of the path, as Kubernetes' `..data`, lies in a folder of its own.
            folders.extend(folder.read_link().ok().and_then(|_| folder.parent().map(Path::to_owned)));
            match file.read_link() {
                Ok(target) => file = folder.join(target),
                Err(_) => break,
            }
        }
    }
    folders
}

#[cfg(target_os = "linux")]
use kernel::Folders;

#[cfg(target_os = "linux")]
mod kernel {
    //! What the kernel tells of folders.

    use std::os::fd::OwnedFd;
    use std::path::PathBuf;

    use inotify::{Inotify, WatchMask};
    use tokio::net::unix::pipe::Receiver;

    /// Folders of which the kernel tells changes; none where it does not. What it tells is not read: that it tells is enough.
    #[derive(Default)]
    pub(super) struct Folders(Option<Receiver>);

    impl Folders {
        pub(super) fn of(files: &[PathBuf]) -> Self {
            let told = Inotify::init().and_then(|inotify| {
                let mask = WatchMask::CREATE
                    | WatchMask::CLOSE_WRITE
                    | WatchMask::MOVED_TO
                    | WatchMask::DELETE
                    | WatchMask::ATTRIB;
                for folder in super::folders(files) {
                    // A folder that is not there is looked at each second, as everything is.
                    let _ = inotify.watches().add(folder, mask | WatchMask::ONLYDIR);
                }
                Receiver::from_owned_fd_unchecked(OwnedFd::from(inotify))
            });
            Self(told.inspect_err(|error| tracing::debug!(%error, "the kernel does not tell of changed files")).ok())
        }

        /// Waits until something has changed in them.
        pub(super) async fn changed(&mut self) {
            let Some(told) = &mut self.0 else { return std::future::pending().await };
            if told.readable().await.is_err() {
                return std::future::pending().await;
            }
            let mut room = [0; 4096];
            while matches!(told.try_read(&mut room), Ok(1..)) {}
        }
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Default)]
struct Folders;

#[cfg(not(target_os = "linux"))]
impl Folders {
    fn of(_: &[PathBuf]) -> Self {
        Self
    }

    async fn changed(&mut self) {
        std::future::pending().await
    }
}
