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

use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::listen::Listener;
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
    _place: Place,
}

enum Socket {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
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
    let listener = AsyncFd::new(listener)?;
    let accepting = async {
        let mut wait = FIRST_WAIT;
        loop {
            let Ok(permit) = Arc::clone(&spread.room).acquire_owned().await else { return Ok(()) };
            match accept_one(&listener).await {
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
            .min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
        let Some(worker) = fewest else { return };
        worker.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place { connections: Arc::clone(&worker.connections), _permit: permit };
        // A worker that has ended drops the connection, which is all that can be done with it.
        let _ = worker.sender.send(Accepted { front, connection: Connection { socket, _place: place } });
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
        let Self { socket, _place } = self;
        match socket {
            Socket::Tcp(stream, remote) => {
                stream.set_nodelay(true)?;
                let caller = Caller::Tcp { remote, local: stream.local_addr()? };
                serve(tokio::net::TcpStream::from_std(stream)?, caller, service, settings, drain).await;
            }
            Socket::Unix(stream) => {
                let stream = tokio::net::UnixStream::from_std(stream)?;
                let caller = Caller::Unix { uid: stream.peer_cred().ok().map(|peer| peer.uid()) };
                serve(stream, caller, service, settings, drain).await;
            }
        }
        Ok(())
    }
}

async fn accept_one(listener: &AsyncFd<Listener>) -> io::Result<Socket> {
    loop {
        let mut ready = listener.readable().await?;
        let accepted = ready.try_io(|listener| match listener.get_ref() {
            Listener::Tcp(listener) => {
                let (stream, remote) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Socket::Tcp(stream, remote))
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Socket::Unix(stream))
            }
        });
        if let Ok(accepted) = accepted {
            return accepted;
        }
    }
}

/// Whether the error is about a connection that went away before it was accepted, not about accepting.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Listen;
    use crate::inbound::listen::bind;

    fn listener() -> (Listener, SocketAddr) {
        let listener = bind(&Listen::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let Listen::Tcp(address) = listener.address().unwrap() else { panic!("not TCP") };
        (listener, address)
    }

    #[tokio::test]
    async fn each_connection_goes_to_the_worker_that_has_the_fewest() {
        let (listener, address) = listener();
        let (spread, mut workers) = spread(3, 100);
        let stop = CancellationToken::new();
        let accepting = tokio::spawn(accept(listener, "bank", spread.clone(), stop.clone()));
        let clients: Vec<_> = (0..9).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut held = Vec::new();
        for worker in &mut workers {
            for _ in 0..3 {
                held.push(worker.recv().await.unwrap());
            }
        }
        assert_eq!(spread.connections(), [3, 3, 3]);
        // The first worker's connections end: it gets the next ones.
        held.drain(..3);
        assert_eq!(spread.connections(), [0, 3, 3]);
        let more: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        for _ in 0..3 {
            held.push(workers[0].recv().await.unwrap());
        }
        assert_eq!((spread.connections(), held[0].front), (vec![3, 3, 3], "bank"));
        stop.cancel();
        accepting.await.unwrap().unwrap();
        drop((clients, more));
        assert!(TcpStream::connect(address).is_err());
    }

    #[tokio::test]
    async fn beyond_the_bound_a_connection_waits_until_another_ends() {
        let (listener, address) = listener();
        let (spread, mut workers) = spread(1, 2);
        let accepting = tokio::spawn(accept(listener, (), spread.clone(), CancellationToken::new()));
        let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        let first = workers[0].recv().await.unwrap();
        let second = workers[0].recv().await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(workers[0].try_recv().is_err());
        drop(first);
        assert!(workers[0].recv().await.is_some());
        accepting.abort();
        drop((second, clients));
    }

    #[test]
    fn what_is_wrong_with_accepting_is_told_from_what_is_wrong_with_a_connection() {
        assert!(is_of_one_connection(&io::ErrorKind::ConnectionAborted.into()));
        let too_many_files = io::Error::from_raw_os_error(24);
        assert!(!is_of_one_connection(&too_many_files));
    }
}
