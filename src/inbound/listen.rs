//! Listening on TCP addresses and unix sockets.

use std::fs::{self, File, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::Listen;

use super::socket_file::SocketFile;

/// How many connections the kernel keeps that are not accepted yet.
const BACKLOG: i32 = 1024;
/// Only the user that the sidecar runs as may connect; others get in by a group of the directory's and a `chmod`.
const SOCKET_MODE: u32 = 0o600;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The system says no: in use, not permitted, no such address or directory.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which one.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process serves the socket.
    #[error("another process listens on {}", .0.display())]
    Served(PathBuf),
    /// Something other than a socket has that name, and is not ours to remove.
    #[error("{} is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// Who is connected already was to be told apart by the user.
    #[error("every user may connect to {}, as `access.uids` told them apart: only a restart takes that rule away", .0.display())]
    OpenToAll(PathBuf),
    /// Every user is to be let in to our socket, and that is not what is there.
    #[error("{} is not the socket any more that was bound there: only a restart makes it anew", .0.display())]
    Replaced(PathBuf),
}

/// A bound listener that does not block. It can be made a listener of whatever runtime serves it.
#[derive(Debug)]
pub enum Listener {
    /// On TCP.
    Tcp(TcpListener),
    /// On a unix socket.
    Unix(UnixListener, Origin),
}

/// Where a unix socket comes from, and so who says which users may connect.
#[derive(Debug)]
pub enum Origin {
    /// We bound it; the file goes with the listener.
    Own(SocketFile),
    /// A service manager did.
    Inherited {
        /// Whether it lets every user connect.
        to_all: bool,
    },
}

/// Binds the address. A socket file that nobody serves any more is replaced.
pub fn bind(listen: &Listen) -> Result<Listener, ListenError> {
    match listen {
        Listen::Tcp(address) => bind_tcp(*address)
            .map(Listener::Tcp)
            .map_err(|source| ListenError::Bind { address: address.to_string(), source }),
        Listen::Unix(path) => {
            remove_stale(path)?;
            bind_unix(path)
                .map(|(listener, file)| Listener::Unix(listener, Origin::Own(file)))
                .map_err(|source| ListenError::Bind { address: path.display().to_string(), source })
        }
    }
}

impl Listener {
    /// Whether a service manager's socket lets every user connect.
    pub fn is_inherited_by_all(&self) -> bool {
        matches!(self, Self::Unix(_, Origin::Inherited { to_all: true }))
    }

    /// Where it listens: with the port that the system chose, where 0 was asked for.
    pub fn address(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(listener, _) => {
                let address = listener.local_addr()?;
                Ok(Listen::Unix(address.as_pathname().map(Path::to_owned).unwrap_or_default()))
            }
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Connections of an earlier process that wind down must not keep the address.
    socket.set_reuse_address(true)?;
    if address.ip().is_loopback() {
        spare_the_pacing(&socket);
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Chooses the plainest congestion control (RFC 5681) for the connections to come. Within a host there is no network to
/// be fair to, and BBR, which many hosts have by default, paces what is sent by timers.
fn spare_the_pacing(socket: &Socket) {
    // Every Linux has it and lets everybody use it. Where that is not so, it is only slower.
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_congestion(b"reno");
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // On Linux the file gets the mode that the socket has: it is never open to others, not even for a moment.
    let socket = File::from(OwnedFd::from(socket));
    socket.set_permissions(Permissions::from_mode(SOCKET_MODE))?;
    let socket = Socket::from(OwnedFd::from(socket));
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    #[cfg(not(target_os = "linux"))]
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((OwnedFd::from(socket).into(), file))
}

/// Removes what a process left behind that ended without cleaning up.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let bind = |source| ListenError::Bind { address: path.display().to_string(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(bind(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(ListenError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match reach(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(bind),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(bind(error)),
        // A full backlog is somebody's too.
        Ok(()) | Err(_) => Err(ListenError::Served(path.to_owned())),
    }
}

/// Whether somebody listens. A process that accepts nothing any more is not waited for: a reload would hang with it.
fn reach(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn listen() -> (tempfile::TempDir, PathBuf, Listen) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bank.sock");
        (dir, path.clone(), Listen::Unix(path))
    }

    #[test]
    fn port_0_becomes_a_port_that_can_be_reached() {
        let listener = bind(&Listen::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let Listen::Tcp(address) = listener.address().unwrap() else { panic!("not TCP") };
        assert_ne!(address.port(), 0);
        std::net::TcpStream::connect(address).unwrap();
    }

    #[test]
    fn an_address_in_use_is_an_error_that_names_it() {
        let listener = bind(&Listen::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = listener.address().unwrap();
        let Listen::Tcp(tcp) = &address else { panic!("not TCP") };
        assert_eq!(bind(&address).unwrap_err().to_string(), format!("cannot listen on {tcp}"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn connections_within_the_host_do_without_pacing_and_others_have_what_the_host_has() {
        let default = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap().tcp_congestion().unwrap();
        let of = |address: &str| {
            let Ok(Listener::Tcp(listener)) = bind(&Listen::Tcp(address.parse().unwrap())) else { panic!("not TCP") };
            socket2::SockRef::from(&listener).tcp_congestion().unwrap()
        };
        assert!(of("127.0.0.1:0").starts_with(b"reno"));
        assert_eq!(of("0.0.0.0:0"), default);
    }

    #[test]
    fn a_unix_socket_is_for_its_user_only_and_goes_with_its_listener() {
        let (_dir, path, listen) = listen();
        let listener = bind(&listen).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o7777, SOCKET_MODE);
        assert_eq!(listener.address().unwrap(), listen);
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_served_one_is_not() {
        let (_dir, path, listen) = listen();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = bind(&listen).unwrap();
        assert!(matches!(bind(&listen), Err(ListenError::Served(_))));
        assert!(path.exists());
        drop(listener);
    }

    /// A process that hangs is served all the same, and whoever asks must not hang with it.
    #[test]
    fn a_socket_whose_backlog_is_full_is_a_served_one() {
        let (_dir, path, listen) = listen();
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(1).unwrap();
        let waiting: Vec<_> = std::iter::repeat_with(|| {
            let app = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            app.set_nonblocking(true).unwrap();
            app.connect(&SockAddr::unix(&path).unwrap()).map(|()| app)
        })
        .take_while(Result::is_ok)
        .collect();
        assert!(!waiting.is_empty());
        assert!(matches!(bind(&listen), Err(ListenError::Served(_))));
        assert!(path.exists());
    }

    #[test]
    fn what_is_not_a_socket_is_not_removed() {
        let (_dir, path, listen) = listen();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&listen), Err(ListenError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_successors_socket_is_not_removed() {
        let (_dir, path, listen) = listen();
        let listener = bind(&listen).unwrap();
        fs::remove_file(&path).unwrap();
        let successor = bind(&listen).unwrap();
        drop(listener);
        assert!(path.exists());
        drop(successor);
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let (_dir, path, _) = listen();
        assert!(matches!(bind(&Listen::Unix(path.join("deeper"))), Err(ListenError::Bind { .. })));
    }
}
