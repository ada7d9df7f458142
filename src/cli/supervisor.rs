//! What a service manager is told that waits for it (`NOTIFY_SOCKET` of `sd_notify(3)`). Without one, nothing is.

use std::env;
use std::ffi::OsStr;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sd_notify::NotifyState;

use crate::app::Phase;

/// How many messages wait for a manager that does not read. Beyond, they are dropped.
const MOST_LATE: usize = 64;

/// The way to the manager. It never waits: the control thread is the one that tells.
#[derive(Default)]
pub(super) struct Manager {
    /// To the thread that waits for a manager who has not read once; from then on all goes that way, in order.
    late: OnceLock<SyncSender<String>>,
}

impl Manager {
    /// Tells of a phase that begins. The manager may be gone: the sidecar does its work all the same.
    pub(super) fn tell(&self, phase: Phase, status: &str) {
        if let Err(error) = self.send(message(phase, status)) {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }

    fn send(&self, message: String) -> io::Result<()> {
        if let Some(late) = self.late.get() {
            return late.try_send(message).map_err(|_| io::ErrorKind::WouldBlock.into());
        }
        let Some(socket) = socket()? else { return Ok(()) };
        socket.set_nonblocking(true)?;
        match socket.send(message.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_with(socket, message),
            sent => sent.map(drop),
        }
    }

    /// Sends this, and all that follows, from a thread of its own. It ends with the process at the latest.
    fn wait_with(&self, socket: UnixDatagram, message: String) -> io::Result<()> {
        socket.set_nonblocking(false)?;
        let (late, messages) = sync_channel(MOST_LATE);
        std::thread::Builder::new().name("notify".into()).spawn(move || send_each(&socket, &messages))?;
        self.late.get_or_init(|| late).try_send(message).map_err(|_| io::ErrorKind::WouldBlock.into())
    }
}

fn send_each(socket: &UnixDatagram, messages: &Receiver<String>) {
    while let Ok(message) = messages.recv() {
        if let Err(error) = socket.send(message.as_bytes()) {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }
}

/// A socket that leads to the manager, if there is one.
fn socket() -> io::Result<Option<UnixDatagram>> {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Ok(None) };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address(&name)?)?;
    Ok(Some(socket))
}

/// Where it is: a path, or behind an `@` a name of Linux' abstract ones.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.as_encoded_bytes().strip_prefix(b"@") {
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(name)
}

fn message(phase: Phase, status: &str) -> String {
    let state = match phase {
        Phase::Ready => vec![NotifyState::Ready],
        // The manager tells by the time which of several reloads it is that has ended.
        Phase::Reloading => {
            [Some(NotifyState::Reloading), NotifyState::monotonic_usec_now().ok()].into_iter().flatten().collect()
        }
        Phase::Ending => vec![NotifyState::Stopping],
    };
    let lines: Vec<String> = state.iter().chain([&NotifyState::Status(status)]).map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}
