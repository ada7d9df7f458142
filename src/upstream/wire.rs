//! The socket beneath TLS: it counts what was written, and reads in large stretches, in which TLS decrypts.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::BufMut;
use rustls::InvalidMessage;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

/// So much is read at once from the socket. It is also more than TLS may ever wait for the rest of: a record has 18 KiB at
/// most, a handshake's message 64 KiB.
const AHEAD: usize = 128 * 1024;

thread_local! {
    /// The buffers that connections gave back last, one of the usual size and one of those that reach farther: those of a
    /// worker take turns with them, so that they stay in the cache.
    static SPARE: [Cell<Vec<u8>>; 2] = const { [Cell::new(Vec::new()), Cell::new(Vec::new())] };
}

/// A TCP connection as TLS uses it. It holds no large buffer while nothing is coming.
pub(super) struct Wire {
    tcp: TcpStream,
    written: Written,
    /// What has been read, of which TLS is done with the first `taken` bytes.
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
pub(super) struct Written(Arc<AtomicU64>);

impl Written {
    /// The bytes so far.
    pub(super) fn get(&self) -> u64 {
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
    pub(super) fn new(tcp: TcpStream, life: Life) -> Self {
        Self { tcp, written: Written::default(), ahead: Vec::new(), taken: 0, reach: AHEAD, life }
    }

    /// The counter of bytes written.
    pub(super) fn written(&self) -> &Written {
        &self.written
    }

    /// Who is at the other end.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.tcp.peer_addr().ok()
    }

    /// From now on so many bytes are read at once, or as many as usual if that is more.
    pub(super) fn reach_for(&mut self, bytes: usize) {
        self.reach = bytes.max(AHEAD);
    }

    /// What has been read and TLS is not done with.
    pub(super) fn ahead(&mut self) -> &mut [u8] {
        &mut self.ahead[self.taken..]
    }

    /// TLS is done with so many bytes.
    pub(super) fn discard(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken == self.ahead.len() {
            self.set_aside();
        }
    }

    /// Reads what there is, behind what TLS is not done with: how much it was. It is an error if that is more than any
    /// message of a handshake: somebody spreads one over records of little but padding, and TLS would hold them all.
    pub(super) fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.life.check()?;
        self.make_room();
        if self.ahead.len() >= AHEAD {
            let too_large = rustls::Error::from(InvalidMessage::HandshakePayloadTooLarge);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, too_large)));
        }
        let room = self.reach - self.ahead.len();
        self.ahead.reserve_exact(room);
        let outcome = pin!(self.tcp.read_buf(&mut (&mut self.ahead).limit(room))).poll(cx);
        if !matches!(outcome, Poll::Ready(Ok(1..))) {
            self.set_aside();
        }
        outcome
    }

    /// Has what TLS is not done with at the front of a large buffer.
    fn make_room(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if self.ahead.capacity() >= self.reach {
            self.ahead.drain(..taken);
            return;
        }
        // Who reads no farther than usual must not hold more, either.
        let spare = SPARE.with(|spare| spare[usize::from(self.reach > AHEAD)].take());
        let held = std::mem::replace(&mut self.ahead, spare);
        self.ahead.extend_from_slice(&held[taken..]);
    }

    /// Gives the large buffer back, and holds only what TLS is not done with.
    fn set_aside(&mut self) {
        let held = self.ahead[std::mem::take(&mut self.taken)..].to_vec();
        let mut ahead = std::mem::replace(&mut self.ahead, held);
        if ahead.capacity() >= AHEAD {
            ahead.clear();
            SPARE.with(|spare| spare[usize::from(ahead.capacity() > AHEAD)].set(ahead));
        }
    }
}

/// Not what it carries: that is decrypted where it lies.
impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({:?})", self.peer())
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
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// Both ends of a connection.
    async fn pair(life: Life) -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (bank, _) = listener.accept().await.unwrap();
        (Wire::new(tcp, life), bank)
    }

    #[tokio::test]
    async fn who_reaches_no_farther_than_usual_holds_no_more_whatever_others_gave_back() {
        let mut wires = Vec::new();
        for reach in [0, 4 * AHEAD] {
            let (mut wire, mut bank) = pair(Life::default()).await;
            wire.reach_for(reach);
            bank.write_all(b"ab").await.unwrap();
            wires.push((wire, bank));
        }
        let (far, _) = &mut wires[1];
        poll_fn(|cx| far.poll_read_ahead(cx)).await.unwrap();
        assert_eq!(far.ahead(), b"ab");
        assert!(far.ahead.capacity() >= 4 * AHEAD);
        far.discard(2);
        assert_eq!(far.ahead.capacity(), 0);
        let (usual, _) = &mut wires[0];
        poll_fn(|cx| usual.poll_read_ahead(cx)).await.unwrap();
        assert_eq!(usual.ahead.capacity(), AHEAD);
    }

    #[tokio::test]
    async fn who_waits_for_the_rest_of_a_record_holds_no_more_than_its_beginning() {
        let (mut wire, mut bank) = pair(Life::default()).await;
        bank.write_all(b"abc").await.unwrap();
        poll_fn(|cx| wire.poll_read_ahead(cx)).await.unwrap();
        wire.discard(1);
        assert!(poll_fn(|cx| Poll::Ready(wire.poll_read_ahead(cx))).await.is_pending());
        assert_eq!(wire.ahead(), b"bc");
        assert_eq!(wire.ahead.capacity(), 2);
        bank.write_all(b"de").await.unwrap();
        poll_fn(|cx| wire.poll_read_ahead(cx)).await.unwrap();
        assert_eq!(wire.ahead(), b"bcde");
    }

    #[tokio::test]
    async fn no_more_is_held_than_a_message_of_the_handshake_may_have() {
        let (mut wire, mut bank) = pair(Life::default()).await;
        wire.reach_for(4 * AHEAD);
        let bank = tokio::spawn(async move { while bank.write_all(&[0; 1000]).await.is_ok() {} });
        let error = loop {
            if let Err(error) = poll_fn(|cx| wire.poll_read_ahead(cx)).await {
                break error;
            }
            assert!(wire.ahead.capacity() <= 4 * AHEAD);
        };
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        drop(wire);
        bank.await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_ends_with_the_life_that_it_was_given() {
        let life = Life::default();
        let (mut wire, mut bank) = pair(life.clone()).await;
        wire.write_all(b"a").await.unwrap();
        bank.write_all(b"b").await.unwrap();
        poll_fn(|cx| wire.poll_read_ahead(cx)).await.unwrap();
        life.end();
        bank.write_all(b"c").await.unwrap();
        let read = poll_fn(|cx| wire.poll_read_ahead(cx)).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(wire.write_all(b"d").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
