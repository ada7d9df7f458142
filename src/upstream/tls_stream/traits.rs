//! The connection as tokio's traits have it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::turn::Word;
use super::{HELD, TlsStream, in_pieces};

#[cfg(test)]
impl tokio::io::AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        ready!(self.poll_move(cx, buf, room))?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_seal(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Together, since each record costs.
        let mut gathered = Vec::with_capacity(bufs.iter().map(|buf| buf.len()).sum::<usize>().min(HELD));
        for buf in bufs {
            let room = HELD - gathered.len();
            in_pieces(&buf[..buf.len().min(room)], |piece| gathered.extend_from_slice(piece));
        }
        self.poll_seal(cx, &gathered)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_all(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.has_closed, true) {
            self.settle(cx)?;
            let Self { turns, intake, sealed, .. } = &mut *self;
            turns.seal(intake, sealed, Word::End)?;
        }
        ready!(self.poll_send(cx))?;
        match ready!(Pin::new(&mut self.wire).poll_shutdown(cx)) {
            // It is what was wanted.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            outcome => Poll::Ready(outcome),
        }
    }
}
