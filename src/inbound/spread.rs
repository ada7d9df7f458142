//! Accepting connections and handing each to the worker that has the fewest.
//!
//! An app with four connections shall use four cores, which the kernel's own ways of spreading (`SO_REUSEPORT`, several
//! accepting workers) do not promise.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::listen::{Listener, Origin};
use super::{Caller, ServeSettings, Service, serve};

/// The first wait after the system refused to accept; it doubles up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Where accepted connections go. Clones go to the same workers.
pub struct Spread<T> {
    workers: Arc<[Worker<T>]>,
    room: Arc<Semaphore>,
    /// Which worker is asked first, so that equals take turns.
    turn: Arc<AtomicUsize>,
}

impl<T> Clone for Spread<T> {
    fn clone(&self) -> Self {
        Self { workers: Arc::clone(&self.workers), room: Arc::clone(&self.room), turn: Arc::clone(&self.turn) }
    }
}

struct Worker<T> {
    connections: Arc<AtomicUsize>,
    sender: UnboundedSender<Accepted<T>>,
}

/// A connection, and what was said of its listener: which bank it is for.
pub struct Accepted<T> {
    /// As given to [`accept`].
    pub front: T,
    /// The connection.
    pub connection: Connection,
}

/// A connection that is not served yet. It counts until it is dropped, or its serving ends.
pub struct Connection {
    socket: Socket,
    place: Place,
}

enum Socket {
    Tcp(TcpStream, SocketAddr),
    /// Over a socket that a service manager lets every user connect to, or not.
    Unix(UnixStream, bool),
}

/// A place among all connections, and among its worker's.
struct Place {
    connections: Arc<AtomicUsize>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Spreads over so many workers, each of which takes its connections from one of the receivers. With `most` connections
/// in all, further ones wait in the kernel; there must be more than listeners.
pub fn spread<T>(workers: usize, most: usize) -> (Spread<T>, Vec<UnboundedReceiver<Accepted<T>>>) {
    let (workers, receivers): (Vec<_>, Vec<_>) = (0..workers)
        .map(|_| {
            let (sender, receiver) = unbounded_channel();
            (Worker { connections: Arc::default(), sender }, receiver)
        })
        .unzip();
    let room = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    (Spread { workers: workers.into(), room, turn: Arc::default() }, receivers)
}

/// Accepts connections for `front` until `stop`; then the listener is closed.
pub async fn accept<T: Clone>(
    listener: Listener,
    front: T,
    spread: Spread<T>,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = Accepting::new(listener)?;
    let accepting = async {
        let mut wait = FIRST_WAIT;
        loop {
            let Ok(permit) = Arc::clone(&spread.room).acquire_owned().await else { return Ok(()) };
            match listener.accept().await {
                Ok(socket) => {
                    spread.hand_over(socket, front.clone(), permit);
                    wait = FIRST_WAIT;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: asking at once again would only burn the processor.
                    tracing::warn!(%error, "connections cannot be accepted for now");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LAST_WAIT);
                }
            }
        }
    };
    stop.run_until_cancelled(accepting).await.unwrap_or(Ok(()))
}

impl<T> Spread<T> {
    /// How many connections each worker has.
    pub fn connections(&self) -> Vec<usize> {
        self.workers.iter().map(|worker| worker.connections.load(Ordering::Relaxed)).collect()
    }

    fn hand_over(&self, socket: Socket, front: T, permit: OwnedSemaphorePermit) {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.workers.len();
        let fewest = (0..count)
            .map(|offset| &self.workers[(first.wrapping_add(offset)) % count])
            // One that has ended has the fewest, and would get all.
            .filter(|worker| !worker.sender.is_closed())
            .min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
        let Some(worker) = fewest else { return };
        worker.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place { connections: Arc::clone(&worker.connections), _permit: permit };
        // A worker that ends just now drops the connection, which is all that can be done with it.
        let _ = worker.sender.send(Accepted { front, connection: Connection { socket, place } });
    }
}

impl Connection {
    /// Serves the connection on the runtime that this is called on, as [`serve()`].
    pub async fn serve<V: Service>(
        self,
        service: V,
        settings: &ServeSettings,
        drain: CancellationToken,
    ) -> io::Result<()> {
        let Self { socket, place } = self;
        match socket {
            Socket::Tcp(stream, remote) => {
                stream.set_nodelay(true)?;
                let caller = Caller::Tcp { remote, local: stream.local_addr()? };
                serve(tokio::net::TcpStream::from_std(stream)?, caller, service, settings, drain).await;
            }
            Socket::Unix(stream, to_all) => {
                let stream = tokio::net::UnixStream::from_std(stream)?;
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                let caller = Caller::Unix { uid, is_stranger: to_all && !is_own_user(uid) };
                serve(stream, caller, service, settings, drain).await;
            }
        }
        drop(place);
        Ok(())
    }
}

/// A listener on the acceptor's runtime.
enum Accepting {
    Tcp(tokio::net::TcpListener),
    /// The file, if it is ours, goes with its listener.
    Unix(tokio::net::UnixListener, Origin),
}

impl Accepting {
    fn new(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(listener) => Self::Tcp(tokio::net::TcpListener::from_std(listener)?),
            Listener::Unix(listener, origin) => Self::Unix(tokio::net::UnixListener::from_std(listener)?, origin),
        })
    }

    /// The next connection, free of this runtime: its worker has one of its own.
    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                Ok(Socket::Tcp(stream.into_std()?, remote))
            }
            Self::Unix(listener, origin) => {
                let (stream, _) = listener.accept().await?;
                Ok(Socket::Unix(stream.into_std()?, matches!(origin, Origin::Inherited { to_all: true })))
            }
        }
    }
}

/// Whether it is the user that the sidecar runs as, or root: the ones whom a socket of our own lets in.
pub fn is_own_user(uid: Option<u32>) -> bool {
    uid.is_some_and(|uid| uid == 0 || uid == nix::unistd::geteuid().as_raw())
}

/// Whether the error is about a connection that went away before it was accepted, not about accepting.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests;
