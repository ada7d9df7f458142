//! A TLS connection to a bank. TLS itself is rustls'; its records are decrypted where they were read, in large stretches,
//! and encrypted into one buffer.

mod in_place;
mod intake;
mod traits;
mod turn;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use tokio::io::AsyncWrite as _;

use super::wire::Wire;
pub(super) use in_place::in_place;
#[cfg(test)]
pub(super) use in_place::with_aead;
use intake::Intake;
use turn::{Step, Turns, Word};

/// So much may wait for the socket before no more is taken.
const HELD: usize = 64 * 1024;
/// Empty buffers larger than this are not kept for the next write.
const MOST_KEPT: usize = 16 * 1024;
/// So many bytes may come without content: a handful of session tickets, keys that change, empty records. Who goes on
/// would keep us busy for ever.
const MOST_IN_VAIN: usize = 64 * 1024;

/// What a connection to a bank is read from and written to.
///
/// As with any TLS, what a write has taken may still wait for the socket: `poll_flush` sends it.
pub struct TlsStream {
    turns: Turns,
    wire: Wire,
    intake: Intake,
    /// How many bytes have come since the handshake, or since there was content last.
    in_vain: usize,
    /// Ciphertext, of which `sent` bytes have left.
    sealed: Vec<u8>,
    sent: usize,
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
        let (turns, intake, sealed) = (Turns::new(session), Intake::default(), Vec::new());
        let mut stream = Self { turns, wire, intake, in_vain: 0, sealed, sent: 0, has_closed: false, send_error: None };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// The socket beneath.
    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// From now on so many bytes are read at once, or as many as usual if that is more.
    pub(super) fn reach_for(&mut self, bytes: usize) {
        self.intake.reach_for(bytes);
    }

    /// What was negotiated.
    pub(super) fn session(&self) -> &CommonState {
        self.turns.session()
    }

    /// Whether its keys have been used so much that nothing new should begin on it.
    pub(super) fn is_worn(&self) -> bool {
        self.turns.is_worn()
    }

    /// Whether the bank has said anything but alerts since the handshake, be it a session ticket.
    pub(super) fn has_spoken(&self) -> bool {
        self.turns.has_spoken()
    }

    /// Whether the beginning of a record has come, and not yet the rest.
    pub(super) fn holds_part(&mut self) -> bool {
        !self.intake.ciphertext().is_empty()
    }

    /// Gives its buffers back while nothing happens.
    pub(super) fn rest(&mut self) {
        self.intake.rest();
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
        self.poll_move(cx, into, room)
    }

    /// Takes all content that has come: none at the end of the stream, of which the same is said as with
    /// [`Self::poll_fill`]. Much content is not moved.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        ready!(self.poll_content(cx))?;
        // What went wrong behind the content shows the next time, too.
        while let Ok(Step::Content) = self.turn(cx) {}
        Poll::Ready(Ok(self.intake.take()))
    }

    fn poll_move(&mut self, cx: &mut Context<'_>, into: &mut impl BufMut, room: usize) -> Poll<io::Result<usize>> {
        ready!(self.poll_content(cx))?;
        Poll::Ready(Ok(self.intake.move_to(into, room)))
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.turn(cx)? {
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

    /// Waits until there is content, or the end.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.intake.content().is_empty() {
            match self.turn(cx)? {
                Step::Blocked | Step::Open => {
                    // What TLS has to say to what came leaves now or with the next write, where an error shows, too. What
                    // the bank says can be read whatever it takes.
                    let _ = self.poll_send(cx);
                    if self.in_vain > MOST_IN_VAIN {
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, InVain)));
                    }
                    self.in_vain += ready!(self.poll_more(cx))?;
                }
                Step::Content => {}
                Step::Closed => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Has TLS work on what has come, until there is content more.
    fn turn(&mut self, cx: &mut Context<'_>) -> io::Result<Step> {
        let step = self.turns.take(&mut self.intake, &mut self.sealed);
        match step {
            Ok(Step::Content) => self.in_vain = 0,
            // The alert, if it can leave at once. The error counts.
            Err(_) => drop(self.poll_send(cx)),
            Ok(_) => {}
        }
        step
    }

    /// Reads some more from the socket: how much it was.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match ready!(self.intake.poll_read(&mut self.wire, cx))? {
            0 => Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without TLS's word for it"))),
            bytes => Poll::Ready(Ok(bytes)),
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
        self.turns.seal(&mut self.intake, &mut self.sealed, Word::Content(content))?;
        // What cannot leave now waits for a flush.
        let _ = self.poll_send(cx)?;
        Poll::Ready(Ok(content.len()))
    }

    /// Has TLS work on all that has come, so that it is ready to encrypt.
    fn settle(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            match self.turn(cx)? {
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

/// Why a connection was cut that brings only what TLS itself has to say.
#[derive(Debug, thiserror::Error)]
#[error("the bank sends more than {} KiB of TLS without any content", MOST_IN_VAIN / 1024)]
struct InVain;

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
