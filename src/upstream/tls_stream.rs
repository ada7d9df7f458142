//! A TLS connection to a bank. TLS itself is rustls'; its records are decrypted where they were read, in large stretches,
//! and encrypted into one buffer.

mod in_place;
mod traits;
mod turn;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use tokio::io::AsyncWrite as _;

use super::wire::Wire;
pub(super) use in_place::provider;
use turn::{Step, Turns, Word};

/// So much may wait for the socket before no more is taken.
const HELD: usize = 64 * 1024;
/// Empty buffers larger than this are not kept for the next write.
const MOST_KEPT: usize = 16 * 1024;

/// What a connection to a bank is read from and written to.
///
/// As with any TLS, what a write has taken may still wait for the socket: `poll_flush` sends it.
pub struct TlsStream {
    turns: Turns,
    wire: Wire,
    /// Ciphertext, of which `sent` bytes have left.
    sealed: Vec<u8>,
    sent: usize,
    /// What was decrypted and nobody has taken yet.
    plain: BytesMut,
    /// Whether we have said that we send nothing more.
    has_closed: bool,
    /// Why nothing leaves any more.
    send_error: Option<io::ErrorKind>,
}

impl TlsStream {
    /// The handshake (RFC 8446, section 2), up to our last word of it.
    ///
    /// An error of rustls lies within the [`io::Error`]; the bank is told of it by an alert, if that can leave at once.
    pub(super) async fn shake_hands(session: UnbufferedClientConnection, wire: Wire) -> io::Result<Self> {
        let (turns, sealed, plain) = (Turns::new(session), Vec::new(), BytesMut::new());
        let mut stream = Self { turns, wire, sealed, sent: 0, plain, has_closed: false, send_error: None };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// The socket beneath.
    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The socket beneath.
    pub(super) fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// What was negotiated.
    pub(super) fn session(&self) -> &CommonState {
        self.turns.session()
    }

    /// Whether something was decrypted that nobody has taken.
    pub(super) fn holds_content(&self) -> bool {
        !self.plain.is_empty()
    }

    /// Gives its buffer back while nothing happens.
    pub(super) fn rest(&mut self) {
        if self.sealed.is_empty() {
            self.sealed = Vec::new();
        }
    }

    /// Reads up to `most` bytes, and no more than `into` has room for: how many it were, 0 at the end of the stream. An
    /// end without TLS's word for it (`close_notify`) is an error, [`io::ErrorKind::UnexpectedEof`].
    ///
    /// Without any room it only tells whether something has come.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut BytesMut,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let room = most.min(into.capacity() - into.len());
        if self.plain.is_empty() {
            let before = into.len();
            return match ready!(self.poll_step(cx, into, room))? {
                Step::Content => Poll::Ready(Ok(into.len() - before)),
                _ => Poll::Ready(Ok(0)),
            };
        }
        let count = self.plain.len().min(room);
        in_pieces(&self.plain[..count], |piece| into.extend_from_slice(piece));
        self.plain.advance(count);
        if self.plain.is_empty() {
            self.plain = BytesMut::new();
        }
        Poll::Ready(Ok(count))
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.turn(cx, &mut BytesMut::new(), 0)? {
                Step::Blocked => {
                    ready!(self.poll_send(cx))?;
                    ready!(self.poll_more(cx))?;
                }
                // Content may come before our last word.
                Step::Content => {}
                Step::Open => return self.poll_flush_all(cx),
                Step::Closed => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// Content or the end, whichever comes next.
    fn poll_step(&mut self, cx: &mut Context<'_>, into: &mut BytesMut, room: usize) -> Poll<io::Result<Step>> {
        loop {
            match self.turn(cx, into, room)? {
                Step::Blocked | Step::Open => {
                    // What TLS has to say to what came leaves now or with the next write, where an error shows, too. What
                    // the bank says can be read whatever it takes.
                    let _ = self.poll_send(cx);
                    ready!(self.poll_more(cx))?;
                }
                step => return Poll::Ready(Ok(step)),
            }
        }
    }

    /// Has TLS work on what has come. Content goes to `into`, as far as it has `room`; the rest is held.
    fn turn(&mut self, cx: &mut Context<'_>, into: &mut BytesMut, room: usize) -> io::Result<Step> {
        let (plain, mut room) = (&mut self.plain, room);
        let take = |content: &[u8]| {
            let (now, later) = content.split_at(content.len().min(room));
            // What comes behind something that is held is held, too.
            room = if later.is_empty() { room - now.len() } else { 0 };
            in_pieces(now, |piece| into.extend_from_slice(piece));
            plain.extend_from_slice(later);
        };
        let step = self.turns.take(&mut self.wire, &mut self.sealed, take);
        if step.is_err() {
            // The alert, if it can leave at once. The error counts.
            let _ = self.poll_send(cx);
        }
        step
    }

    /// Reads some more from the socket.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.wire.poll_read_ahead(cx))? {
            0 => Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without TLS's word for it"))),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Encrypts as much as may wait beside what waits already, and sends what the socket takes; how many bytes of content
    /// were encrypted.
    fn poll_seal(&mut self, cx: &mut Context<'_>, content: &[u8]) -> Poll<io::Result<usize>> {
        let sent = self.poll_send(cx)?;
        self.sealed.drain(..std::mem::take(&mut self.sent));
        let room = HELD.saturating_sub(self.sealed.len());
        if room == 0 {
            return sent.map(|()| Ok(0));
        }
        let content = &content[..content.len().min(room)];
        self.settle(cx)?;
        self.turns.seal(&mut self.wire, &mut self.sealed, Word::Content(content))?;
        // What cannot leave now waits for a flush.
        let _ = self.poll_send(cx)?;
        Poll::Ready(Ok(content.len()))
    }

    /// Has TLS work on all that has come, so that it is ready to encrypt. Content is held.
    fn settle(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            match self.turn(cx, &mut BytesMut::new(), 0)? {
                Step::Content => {}
                // Who has closed its side may still listen.
                Step::Open | Step::Closed => return Ok(()),
                Step::Blocked => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    /// Sends what waits. After an error nothing of it leaves any more, whatever else happens.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(kind) = self.send_error {
            return Poll::Ready(Err(kind.into()));
        }
        let outcome = ready!(self.poll_send_all(cx));
        self.send_error = outcome.as_ref().err().map(io::Error::kind);
        self.sent = 0;
        self.sealed.clear();
        if self.sealed.capacity() > MOST_KEPT {
            self.sealed = Vec::new();
        }
        Poll::Ready(outcome)
    }

    fn poll_send_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.sealed.len() {
            match ready!(Pin::new(&mut self.wire).poll_write(cx, &self.sealed[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.sent += bytes,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.wire).poll_flush(cx)
    }
}

/// The socket, and nothing of what it carries: tokens are on their way here.
impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsStream({:?})", self.wire.peer())
    }
}

/// More than a few KiB the C library leaves to a string instruction of the processor, and AMD's Zen 3 and 4 take 30 times
/// as long for that one where the copy begins up to 15 bytes behind the original, modulo the size of a page (glibc's bug
/// 30994). In pieces of this size vectors are moved.
const PIECE: usize = 2048;

/// Hands on `bytes` in pieces that are fast to copy wherever they lie.
fn in_pieces(bytes: &[u8], put: impl FnMut(&[u8])) {
    bytes.chunks(PIECE).for_each(put);
}

#[cfg(test)]
mod tests;
