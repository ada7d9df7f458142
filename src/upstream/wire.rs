//! The socket beneath TLS: it counts what was written, and ends with the configuration that it was made under.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::BufMut;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

/// A TCP connection as TLS uses it.
#[derive(Debug)]
pub(super) struct Wire {
    tcp: TcpStream,
    written: Written,
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
        Self { tcp, written: Written::default(), life }
    }

    /// The counter of bytes written.
    pub(super) fn written(&self) -> &Written {
        &self.written
    }

    /// Who is at the other end.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.tcp.peer_addr().ok()
    }

    /// Reads what there is, as far as `into` has room: how much it was, 0 at the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut impl BufMut) -> Poll<io::Result<usize>> {
        self.life.check()?;
        pin!(self.tcp.read_buf(into)).poll(cx)
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
    async fn a_connection_ends_with_the_life_that_it_was_given() {
        let life = Life::default();
        let (mut wire, mut bank) = pair(life.clone()).await;
        let mut into = Vec::new();
        wire.write_all(b"a").await.unwrap();
        bank.write_all(b"b").await.unwrap();
        poll_fn(|cx| wire.poll_read(cx, &mut into)).await.unwrap();
        life.end();
        bank.write_all(b"c").await.unwrap();
        let read = poll_fn(|cx| wire.poll_read(cx, &mut into)).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(into, b"b");
        assert_eq!(wire.write_all(b"d").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
