//! Sockets that a service manager has opened for us (socket activation, `LISTEN_FDS` of `sd_listen_fds(3)`).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use listenfd::ListenFd;

use crate::config::Listen;

use super::listen::{Listener, Origin};

/// Listening sockets that were there before us, each until it is asked for by its address.
#[derive(Debug, Default)]
pub struct Inherited(Vec<Listener>);

impl Inherited {
    /// Those that the environment tells of. To be called once, before there are other threads: the variables are
    /// removed, so that no child takes them for its own.
    pub fn from_environment() -> io::Result<Self> {
        let mut sockets = ListenFd::from_env();
        let mut listeners = Vec::new();
        for index in 0..sockets.len() {
            let listener = match sockets.take_tcp_listener(index) {
                Ok(tcp) => tcp.map(Listener::Tcp),
                Err(_) => sockets.take_unix_listener(index)?.map(inherited),
            };
            listeners.extend(listener);
        }
        for listener in &listeners {
            match listener {
                Listener::Tcp(listener) => listener.set_nonblocking(true)?,
                Listener::Unix(listener, _) => listener.set_nonblocking(true)?,
            }
        }
        Ok(Self(listeners))
    }

    /// Takes the one that listens on this address.
    pub fn take(&mut self, listen: &Listen) -> Option<Listener> {
        let is_it = |listener: &Listener| listener.address().is_ok_and(|address| is_same(&address, listen));
        let at = self.0.iter().position(is_it)?;
        Some(self.0.swap_remove(at))
    }

    /// The addresses of those that nobody has asked for.
    pub fn left(&self) -> Vec<Listen> {
        self.0.iter().filter_map(|listener| listener.address().ok()).collect()
    }
}

fn inherited(listener: UnixListener) -> Listener {
    let to_all = is_open_to_all(&listener);
    Listener::Unix(listener, Origin::Inherited { to_all })
}

/// Whether its mode lets every user connect: 0666 is what systemd has by default. A mode for a group is somebody's
/// decision. Where there is no file to be seen, nothing says that anybody is kept out.
fn is_open_to_all(listener: &UnixListener) -> bool {
    let metadata = listener.local_addr().ok().and_then(|address| fs::metadata(address.as_pathname()?).ok());
    metadata.is_none_or(|metadata| metadata.mode() & 0o002 != 0)
}

/// A path may be written in several ways, and lead through links.
fn is_same(one: &Listen, other: &Listen) -> bool {
    let file = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    match (one, other) {
        (Listen::Unix(one), Listen::Unix(other)) => one == other || file(one).is_some_and(|it| file(other) == Some(it)),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use crate::inbound::listen::bind;

    use super::*;

    #[test]
    fn a_socket_is_open_to_all_where_no_mode_keeps_others_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bank.sock");
        let listener = UnixListener::bind(&path).unwrap();
        for (mode, to_all) in [(0o600, false), (0o660, false), (0o664, false), (0o666, true), (0o602, true)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_open_to_all(&listener), to_all, "{mode:o}");
        }
        fs::remove_file(&path).unwrap();
        assert!(is_open_to_all(&listener));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_without_a_file_is_open_to_all() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;

        let name = SocketAddr::from_abstract_name(format!("bankside-{}", std::process::id())).unwrap();
        assert!(is_open_to_all(&UnixListener::bind_addr(&name).unwrap()));
    }

    #[test]
    fn each_socket_is_given_once_and_to_its_address_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = Listen::Unix(dir.path().join("bank.sock"));
        let (tcp, unix) = (bind(&"127.0.0.1:0".parse().unwrap()).unwrap(), bind(&path).unwrap());
        let address = tcp.address().unwrap();
        let mut inherited = Inherited(vec![tcp, unix]);
        assert!(inherited.take(&"127.0.0.1:1".parse().unwrap()).is_none());
        assert_eq!(inherited.take(&address).unwrap().address().unwrap(), address);
        assert!(inherited.take(&address).is_none());
        assert_eq!(inherited.left(), std::slice::from_ref(&path));
        let winding = Listen::Unix(dir.path().join(".").join("bank.sock"));
        assert!(inherited.take(&winding).is_some());
        assert!(inherited.left().is_empty());
    }
}
