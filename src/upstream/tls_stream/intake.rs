//! What has been read from a bank: content that was decrypted where it lay, and behind it ciphertext.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes};
use rustls::InvalidMessage;

use crate::upstream::wire::Wire;

use super::{PIECE, in_pieces};

/// So much is read at once from the socket. It is also more than TLS may ever wait for the rest of: a record has 18 KiB at
/// most, a handshake's message 64 KiB.
pub(super) const AHEAD: usize = 128 * 1024;

thread_local! {
    /// The buffers that connections gave back last, one of the usual size and one of those that reach farther: those of a
    /// worker take turns with them, so that they stay in the cache.
    static SPARE: [Cell<Vec<u8>>; 2] = const { [Cell::new(Vec::new()), Cell::new(Vec::new())] };
}

/// A buffer of what came. It is large only while something lies in it.
///
/// Content, if there is any, comes before the ciphertext: `content.end <= ciphertext <= buffer.len()`.
#[derive(Default)]
pub(super) struct Intake {
    buffer: Vec<u8>,
    /// The content in it that nobody has taken.
    content: Range<usize>,
    /// Where the ciphertext begins that TLS is not done with.
    ciphertext: usize,
    /// So much is read at once, where that is more than usual.
    reach: usize,
}

impl Intake {
    /// From now on so many bytes are read at once, or as many as usual if that is more.
    pub(super) fn reach_for(&mut self, bytes: usize) {
        self.reach = bytes;
    }

    /// What TLS is not done with.
    pub(super) fn ciphertext(&mut self) -> &mut [u8] {
        &mut self.buffer[self.ciphertext..]
    }

    /// The content that nobody has taken.
    pub(super) fn content(&self) -> &[u8] {
        &self.buffer[self.content.clone()]
    }

    /// What lies here of the ciphertext has become content, and joins what is there already, in the place of what was
    /// around it. Then so much of the ciphertext must be discarded.
    pub(super) fn decrypted(&mut self, place: Range<usize>) {
        let place = self.ciphertext + place.start..self.ciphertext + place.end;
        if self.content.is_empty() {
            self.content = place;
            return;
        }
        for start in place.clone().step_by(PIECE) {
            let piece = start..place.end.min(start + PIECE);
            let length = piece.len();
            self.buffer.copy_within(piece, self.content.end);
            self.content.end += length;
        }
    }

    /// TLS is done with so many bytes.
    pub(super) fn discard(&mut self, bytes: usize) {
        self.ciphertext += bytes;
        debug_assert!(self.content.end <= self.ciphertext && self.ciphertext <= self.buffer.len());
        self.give_back_if_empty();
    }

    /// Moves content to the end of `into`, as much as there is and `room` for.
    pub(super) fn move_to(&mut self, into: &mut impl BufMut, room: usize) -> usize {
        let count = self.content.len().min(room);
        in_pieces(&self.content()[..count], |piece| into.put_slice(piece));
        self.content.start += count;
        self.give_back_if_empty();
        count
    }

    /// Takes all content. If it fills half of the buffer, it takes that with it.
    pub(super) fn take(&mut self) -> Bytes {
        let length = self.content.len();
        if length < self.buffer.capacity() / 2 {
            let mut copy = Vec::with_capacity(length);
            self.move_to(&mut copy, length);
            return copy.into();
        }
        let rest = self.ciphertext().to_vec();
        self.ciphertext = 0;
        let content = std::mem::take(&mut self.content);
        Bytes::from_owner(Lent { buffer: std::mem::replace(&mut self.buffer, rest), content })
    }

    /// Reads what there is, behind what is here: how much it was. It is an error if TLS is not done with more than any
    /// message of a handshake: somebody spreads one over records of little but padding, and TLS would hold them all.
    pub(super) fn poll_read(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let reach = self.reach.max(AHEAD);
        self.make_room(reach);
        if self.buffer.len() >= AHEAD {
            let too_large = rustls::Error::from(InvalidMessage::HandshakePayloadTooLarge);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, too_large)));
        }
        let room = reach - self.buffer.len();
        self.buffer.reserve_exact(room);
        let outcome = wire.poll_read(cx, &mut (&mut self.buffer).limit(room));
        if !matches!(outcome, Poll::Ready(Ok(1..))) {
            self.set_aside();
        }
        outcome
    }

    /// Has what is here at the front of a large buffer.
    fn make_room(&mut self, reach: usize) {
        self.close_up();
        if self.buffer.capacity() < reach {
            let held = std::mem::replace(&mut self.buffer, take_spare(reach));
            if !held.is_empty() {
                self.buffer.extend_from_slice(&held);
                give_back(held);
            }
        }
    }

    /// Gives a large buffer back, whatever lies in it.
    pub(super) fn rest(&mut self) {
        if self.buffer.capacity() >= AHEAD {
            self.set_aside();
        }
    }

    /// Whether its memory is no larger.
    #[cfg(test)]
    pub(super) fn holds_at_most(&self, bytes: usize) -> bool {
        self.buffer.capacity() <= bytes
    }

    fn give_back_if_empty(&mut self) {
        if self.content.is_empty() && self.ciphertext == self.buffer.len() {
            (self.content, self.ciphertext) = (0..0, 0);
            give_back(std::mem::take(&mut self.buffer));
        }
    }

    /// Gives a large buffer back, and holds only what is here.
    fn set_aside(&mut self) {
        self.close_up();
        let held = self.buffer.as_slice().to_vec();
        give_back(std::mem::replace(&mut self.buffer, held));
    }

    /// Drops what is neither content nor ciphertext.
    fn close_up(&mut self) {
        if self.ciphertext == 0 {
            return;
        }
        self.buffer.drain(self.content.end..self.ciphertext);
        self.buffer.drain(..self.content.start);
        self.content = 0..self.content.len();
        self.ciphertext = self.content.end;
    }
}

/// What was given back, if it does not reach farther than this: nobody must hold more than is counted.
fn take_spare(reach: usize) -> Vec<u8> {
    SPARE.with(|spare| {
        let spare = &spare[usize::from(reach > AHEAD)];
        let buffer = spare.take();
        if buffer.capacity() <= reach {
            return buffer;
        }
        spare.set(buffer);
        Vec::new()
    })
}

/// For whoever of this worker reads next.
fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() >= AHEAD {
        buffer.clear();
        // At the end of a thread nobody does.
        let _ = SPARE.try_with(|spare| spare[usize::from(buffer.capacity() > AHEAD)].set(buffer));
    }
}

/// Content in the buffer where it was decrypted.
struct Lent {
    buffer: Vec<u8>,
    content: Range<usize>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[self.content.clone()]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests;
