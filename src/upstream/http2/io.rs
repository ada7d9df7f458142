//! The bytes beneath HTTP/2. What is written within a turn leaves as one, and what the library keeps to itself is told:
//! that it has read something, and TLS errors apart from others.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::upstream::Failure;
use crate::upstream::connect::{BankStream, refusal};
use crate::upstream::wire::Written;

/// So much is gathered before it is written in the middle of a turn.
const GATHERED: usize = 64 * 1024;
/// A larger buffer is not kept.
const KEPT: usize = 16 * 1024;

/// What there is to know of the bytes of a connection.
#[derive(Debug)]
pub(super) struct Watch {
    written: Written,
    reads: AtomicU64,
    refusal: OnceLock<Failure>,
}

/// A bank's stream as the library uses it.
pub(super) struct Io {
    shared: Arc<Mutex<Shared>>,
    watch: Arc<Watch>,
}

/// Writes what the library has put into an [`Io`].
pub(super) struct Writer(Arc<Mutex<Shared>>);

struct Shared {
    stream: BankStream,
    out: BytesMut,
}

impl Watch {
    /// How many bytes the socket has taken.
    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    /// How many reads have brought something.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// The bank's refusal of our certificate, which under TLS 1.3 shows after the handshake.
    pub(super) fn refusal(&self) -> Option<Failure> {
        self.refusal.get().map(Failure::for_another)
    }

    fn note(&self, error: &io::Error) {
        if let Some(refusal) = refusal(error)
            && self.reads() == 0
        {
            let _ = self.refusal.set(refusal);
        }
    }
}

impl Io {
    pub(super) fn new(stream: BankStream) -> Self {
        let written = stream.get_ref().0.written().clone();
        let watch = Watch { written, reads: AtomicU64::new(0), refusal: OnceLock::new() };
        let shared = Shared { stream, out: BytesMut::new() };
        Self { shared: Arc::new(Mutex::new(shared)), watch: Arc::new(watch) }
    }

    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    pub(super) fn writer(&self) -> Writer {
        Writer(Arc::clone(&self.shared))
    }
}

impl Writer {
    /// Writes what has been gathered. Ready when all has left.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).poll_flush(cx)
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let bytes = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(bytes);
        }
        if self.out.capacity() > KEPT {
            self.out = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut lock(&self.shared).stream).poll_read(cx, buf);
        match &outcome {
            Poll::Ready(Ok(())) if buf.filled().len() > before => {
                self.watch.reads.store(self.watch.reads() + 1, Ordering::Relaxed);
            }
            Poll::Ready(Err(error)) => self.watch.note(error),
            _ => {}
        }
        outcome
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.shared);
        if !shared.out.is_empty() && shared.out.len() + buf.len() > GATHERED {
            ready!(shared.poll_write_out(cx))?;
        }
        shared.out.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    /// Nothing: the library flushes behind each frame of data. The [`Writer`] does it, once, at the end of a turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.shared);
        ready!(shared.poll_flush(cx))?;
        Pin::new(&mut shared.stream).poll_shutdown(cx)
    }
}
