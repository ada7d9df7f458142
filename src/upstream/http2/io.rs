//! The bytes beneath HTTP/2, watched: the library does not tell what it has read, nor TLS errors apart from others.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::upstream::Failure;
use crate::upstream::connect::{BankStream, refusal};
use crate::upstream::wire::Written;

/// What there is to know of the bytes of a connection.
#[derive(Debug)]
pub(super) struct Watch {
    written: Written,
    reads: AtomicU64,
    refusal: OnceLock<Failure>,
}

/// A bank's stream, watched.
pub(super) struct Io {
    stream: BankStream,
    watch: Arc<Watch>,
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
        Self { stream, watch: Arc::new(watch) }
    }

    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
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
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
