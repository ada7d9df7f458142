//! The socket beneath TLS: it counts what was written, and reads all that is there, however little TLS asks for.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// TLS asks for 4 KiB at a time; so much is read at once from the socket.
const AHEAD: usize = 128 * 1024;

thread_local! {
    /// The buffers that connections gave back last, one of the usual size and one of those that reach farther: those of a
    /// worker take turns with them, so that they stay in the cache.
    static SPARE: [Cell<Vec<u8>>; 2] = const { [Cell::new(Vec::new()), Cell::new(Vec::new())] };
}

/// A TCP connection as TLS uses it. It holds no buffer while nothing is coming.
#[derive(Debug)]
pub struct Wire {
    tcp: TcpStream,
    written: Written,
    /// What has been read ahead, of which `taken` is with TLS.
    ahead: Vec<u8>,
    taken: usize,
    /// So much is read at once.
    reach: usize,
    life: Life,
}

/// How long the connections of one TLS client may go on. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Life(Arc<AtomicBool>);

impl Life {
    /// The connections fail the next time that something is read or written.
    pub fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(io::Error::new(io::ErrorKind::TimedOut, Outlived)) } else { Ok(()) }
    }
}

/// Why a connection of a former configuration was cut.
#[derive(Debug, thiserror::Error)]
#[error("the configuration that the connection was made under was replaced long ago")]
struct Outlived;

/// How many bytes the socket has taken. If that is what it was before a request, nothing of the request has left,
/// whatever lies in the buffers above.
#[derive(Clone, Debug, Default)]
pub struct Written(Arc<AtomicU64>);

impl Written {
    /// The bytes so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, outcome: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = outcome {
            // One task writes, so this need not be one step.
            self.0.store(self.get() + *bytes as u64, Ordering::Relaxed);
        }
    }
}

impl Wire {
    /// Takes a connection over, for as long as it may live.
    pub fn new(tcp: TcpStream, life: Life) -> Self {
        Self { tcp, written: Written::default(), ahead: Vec::new(), taken: 0, reach: AHEAD, life }
    }

    /// The counter of bytes written.
    pub fn written(&self) -> &Written {
        &self.written
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.tcp.peer_addr().ok()
    }

    /// From now on so many bytes are read at once, or as many as usual if that is more.
    pub fn reach_for(&mut self, bytes: usize) {
        self.reach = bytes.max(AHEAD);
    }

    /// Reads what there is. A buffer that nothing came for goes back.
    fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ahead.capacity() == 0 {
            // Who reads no farther than usual must not hold more, either.
            self.ahead = SPARE.with(|spare| spare[usize::from(self.reach > AHEAD)].take());
        }
        self.ahead.reserve(self.reach);
        let outcome = pin!(self.tcp.read_buf(&mut (&mut self.ahead).limit(self.reach))).poll(cx);
        if self.ahead.is_empty() {
            self.give_back();
        }
        outcome
    }

    fn give_back(&mut self) {
        self.ahead.clear();
        self.taken = 0;
        let ahead = std::mem::take(&mut self.ahead);
        if ahead.capacity() > 0 {
            SPARE.with(|spare| spare[usize::from(ahead.capacity() > AHEAD)].set(ahead));
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            self.life.check()?;
            ready!(self.poll_read_ahead(cx))?;
        }
        let end = self.ahead.len().min(self.taken + buf.remaining());
        buf.put_slice(&self.ahead[self.taken..end]);
        self.taken = end;
        if end == self.ahead.len() {
            self.give_back();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.life.check()?;
        let outcome = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.written.add(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bufs {
            // The system takes a single piece with less ado.
            return self.poll_write(cx, only);
        }
        self.life.check()?;
        let outcome = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.written.add(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_reaches_no_farther_than_usual_holds_no_more_whatever_others_gave_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut wires = Vec::new();
        for reach in [0, 4 * AHEAD] {
            let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut bank, _) = listener.accept().await.unwrap();
            let mut wire = Wire::new(tcp, Life::default());
            wire.reach_for(reach);
            bank.write_all(b"ab").await.unwrap();
            wires.push((wire, bank));
        }
        let (far, _) = &mut wires[1];
        assert_eq!(far.read_u8().await.unwrap(), b'a');
        assert!(far.ahead.capacity() >= 4 * AHEAD);
        assert_eq!(far.read_u8().await.unwrap(), b'b');
        let (usual, _) = &mut wires[0];
        assert_eq!(usual.read_u8().await.unwrap(), b'a');
        assert_eq!(usual.ahead.capacity(), AHEAD);
    }

    #[tokio::test]
    async fn a_connection_ends_with_the_life_that_it_was_given() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut bank, _) = listener.accept().await.unwrap();
        let life = Life::default();
        let mut wire = Wire::new(tcp, life.clone());
        wire.write_all(b"a").await.unwrap();
        bank.write_all(b"b").await.unwrap();
        assert_eq!(wire.read_u8().await.unwrap(), b'b');
        life.end();
        bank.write_all(b"c").await.unwrap();
        assert_eq!(wire.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(wire.write_all(b"d").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
