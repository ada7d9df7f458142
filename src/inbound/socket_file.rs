//! The file of a unix socket, told apart from whatever somebody else puts in its place.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// Every user may connect whom the directory lets in.
const OPEN_SOCKET_MODE: u32 = 0o666;

/// The file of a unix socket of ours; removed when dropped, if it is still the same.
#[derive(Debug)]
pub struct SocketFile(BoundFile);

/// Which file a unix socket was bound to.
#[derive(Clone, Debug)]
pub struct BoundFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl SocketFile {
    /// The one that was bound just now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let device_and_inode = device_and_inode(&fs::symlink_metadata(path)?);
        Ok(Self(BoundFile { path: path.to_owned(), device_and_inode }))
    }

    /// Which file it is.
    pub fn bound(&self) -> &BoundFile {
        &self.0
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.0.is_in_place() {
            // Left behind it is only stale, and replaced by the next start.
            let _ = fs::remove_file(&self.0.path);
        }
    }
}

impl BoundFile {
    /// Whether its path still leads to it.
    pub fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|metadata| self.is(&metadata))
    }

    /// Lets every user connect: for where each caller's user is looked at (`access.uids`). Whoever may write the folder
    /// could have put a link or another file in its place: only the socket that was bound by this name gets the mode.
    pub fn open_to_all(&self) -> io::Result<()> {
        let (_held, path) = hold(&self.path)?;
        let is_it = self.is(&fs::metadata(&path)?) && name_of(&path)?.as_deref() == Some(&self.path);
        if !is_it {
            return Err(io::Error::other("another file is where the socket was"));
        }
        fs::set_permissions(path, Permissions::from_mode(OPEN_SOCKET_MODE))
    }

    fn is(&self, metadata: &Metadata) -> bool {
        device_and_inode(metadata) == self.device_and_inode
    }
}

/// Holds what is there, which may be a link; the path leads to that alone as long as it is held.
#[cfg(target_os = "linux")]
fn hold(path: &Path) -> io::Result<(fs::File, PathBuf)> {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    use nix::fcntl::OFlag;

    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Ok((file, path))
}

/// Elsewhere a socket cannot be held: between the look and the change, there is a moment for somebody quick.
#[cfg(not(target_os = "linux"))]
fn hold(path: &Path) -> io::Result<((), PathBuf)> {
    Ok(((), path.to_owned()))
}

/// What the socket was bound as: it keeps that name, wherever its file is moved to.
fn name_of(path: &Path) -> io::Result<Option<PathBuf>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Who would accept it is who asks here: a full backlog must not be waited for.
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.peer_addr()?.as_pathname().map(Path::to_owned))
}

fn device_and_inode(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    fn bound(path: &Path) -> (UnixListener, SocketFile) {
        let listener = UnixListener::bind(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        (listener, SocketFile::of(path).unwrap())
    }

    /// What comes of a path that leads elsewhere before anybody has looked.
    fn opened_late(path: &Path) -> io::Result<()> {
        BoundFile { path: path.to_owned(), device_and_inode: device_and_inode(&fs::symlink_metadata(path)?) }
            .open_to_all()
    }

    #[test]
    fn a_socket_is_opened_to_all_users() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bank.sock");
        let (_listener, file) = bound(&path);
        file.bound().open_to_all().unwrap();
        assert_eq!(mode(&path), 0o666);
    }

    #[test]
    fn what_is_in_the_place_of_the_socket_is_opened_to_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let [path, aside, key] = ["bank.sock", "aside.sock", "key"].map(|name| dir.path().join(name));
        fs::write(&key, "precious").unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        let (_listener, file) = bound(&path);
        fs::rename(&path, &aside).unwrap();
        symlink(&key, &path).unwrap();
        assert!(!file.bound().is_in_place());
        file.bound().open_to_all().unwrap_err();
        opened_late(&path).unwrap_err();
        fs::remove_file(&path).unwrap();
        fs::hard_link(&key, &path).unwrap();
        opened_late(&path).unwrap_err();
        assert_eq!((mode(&key), mode(&aside)), (0o600, 0o600));
    }

    #[test]
    fn another_socket_in_its_place_is_opened_to_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let [path, other] = ["bank.sock", "other.sock"].map(|name| dir.path().join(name));
        let (_listener, file) = bound(&path);
        let (_other, _file) = bound(&other);
        fs::rename(&other, &path).unwrap();
        file.bound().open_to_all().unwrap_err();
        opened_late(&path).unwrap_err();
        assert_eq!(mode(&path), 0o600);
    }
}
