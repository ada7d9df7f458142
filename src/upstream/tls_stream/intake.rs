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
            self.buffer.extend_from_slice(&held);
            give_back(held);
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
            self.set_aside();
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
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use crate::upstream::wire::Life;

    use super::*;

    /// Both ends of a connection.
    async fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (bank, _) = listener.accept().await.unwrap();
        (Wire::new(tcp, Life::default()), bank)
    }

    async fn read(intake: &mut Intake, wire: &mut Wire) -> io::Result<usize> {
        poll_fn(|cx| intake.poll_read(wire, cx)).await
    }

    #[tokio::test]
    async fn who_reaches_no_farther_than_usual_holds_no_more_whatever_others_gave_back() {
        let (mut far, mut usual) = (Intake::default(), Intake::default());
        far.reach_for(4 * AHEAD);
        let (mut wire, mut bank) = pair().await;
        bank.write_all(b"ab").await.unwrap();
        read(&mut far, &mut wire).await.unwrap();
        assert_eq!(far.ciphertext(), b"ab");
        assert!(far.buffer.capacity() >= 4 * AHEAD);
        far.discard(2);
        assert_eq!(far.buffer.capacity(), 0);
        bank.write_all(b"cd").await.unwrap();
        read(&mut usual, &mut wire).await.unwrap();
        assert_eq!(usual.buffer.capacity(), AHEAD);
    }

    #[test]
    fn a_buffer_that_reaches_farther_is_left_to_whoever_reaches_so_far() {
        give_back(Vec::with_capacity(4 * AHEAD));
        let mut intake = Intake::default();
        intake.make_room(3 * AHEAD);
        assert_eq!(intake.buffer.capacity(), 0);
        intake.make_room(4 * AHEAD);
        assert_eq!(intake.buffer.capacity(), 4 * AHEAD);
    }

    #[tokio::test]
    async fn who_waits_for_the_rest_of_a_record_holds_no_more_than_its_beginning() {
        let ((mut wire, mut bank), mut intake) = (pair().await, Intake::default());
        bank.write_all(b"abc").await.unwrap();
        read(&mut intake, &mut wire).await.unwrap();
        intake.discard(1);
        assert!(poll_fn(|cx| Poll::Ready(intake.poll_read(&mut wire, cx))).await.is_pending());
        assert_eq!(intake.ciphertext(), b"bc");
        assert_eq!(intake.buffer.capacity(), 2);
        bank.write_all(b"de").await.unwrap();
        read(&mut intake, &mut wire).await.unwrap();
        assert_eq!(intake.ciphertext(), b"bcde");
    }

    #[tokio::test]
    async fn content_that_nobody_has_taken_stays_while_more_is_read() {
        let ((mut wire, mut bank), mut intake) = (pair().await, Intake::default());
        bank.write_all(b"-one-two-th").await.unwrap();
        read(&mut intake, &mut wire).await.unwrap();
        for _ in 0..2 {
            intake.decrypted(1..4);
            intake.discard(4);
        }
        assert!(poll_fn(|cx| Poll::Ready(intake.poll_read(&mut wire, cx))).await.is_pending());
        bank.write_all(b"ree").await.unwrap();
        read(&mut intake, &mut wire).await.unwrap();
        assert_eq!(intake.ciphertext(), b"-three");
        intake.decrypted(1..6);
        intake.discard(6);
        assert_eq!(intake.content(), b"onetwothree");
    }

    #[tokio::test]
    async fn no_more_is_held_than_a_message_of_the_handshake_may_have() {
        let ((mut wire, mut bank), mut intake) = (pair().await, Intake::default());
        intake.reach_for(4 * AHEAD);
        let bank = tokio::spawn(async move { while bank.write_all(&[0; 1000]).await.is_ok() {} });
        let error = loop {
            if let Err(error) = read(&mut intake, &mut wire).await {
                break error;
            }
            assert!(intake.buffer.capacity() <= 4 * AHEAD);
        };
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        drop(wire);
        bank.await.unwrap();
    }

    /// A buffer that was read into, with `bytes` in it.
    fn filled(bytes: &[u8]) -> Intake {
        let mut intake = Intake::default();
        intake.make_room(AHEAD);
        intake.buffer.reserve_exact(AHEAD);
        intake.buffer.extend_from_slice(bytes);
        intake
    }

    #[test]
    fn much_content_is_taken_with_its_buffer_and_little_without() {
        for (length, is_moved) in [(AHEAD / 2 + 1, false), (AHEAD / 2 - 1, true)] {
            let mut intake = filled(&vec![7; length + 9]);
            let at = intake.buffer.as_ptr().addr() + 5;
            intake.decrypted(5..5 + length);
            intake.discard(length + 5);
            let content = intake.take();
            assert_eq!((content.len(), content.as_ptr().addr() != at), (length, is_moved));
            assert_eq!(intake.ciphertext(), [7; 4]);
            assert!(is_moved || intake.buffer.capacity() == 4, "the rest is held by itself");
            assert!(intake.content().is_empty());
        }
    }

    #[test]
    fn a_buffer_is_read_into_again_when_nothing_of_its_content_is_wanted_any_more() {
        let mut intake = filled(&vec![7; AHEAD]);
        let at = intake.buffer.as_ptr();
        intake.decrypted(0..AHEAD);
        intake.discard(AHEAD);
        let mut content = intake.take();
        let part = content.split_to(10);
        drop(content);
        assert_ne!(filled(&[]).buffer.as_ptr(), at);
        drop(part);
        assert_eq!(filled(&[]).buffer.as_ptr(), at);
    }

    proptest! {
        /// Each record has something before its content and something behind it.
        #[test]
        fn content_is_taken_once_and_in_order_however_it_is_taken(
            records in proptest::collection::vec((0_usize..30, 1_usize..5000, 0_usize..30), 1..20),
            takes in proptest::collection::vec(0_usize..9000, 1..20),
            all_at in 0_usize..20,
        ) {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for (index, (before, length, behind)) in records.iter().enumerate() {
                let content = vec![u8::try_from(index).unwrap(); *length];
                bytes.extend_from_slice(&vec![254; *before]);
                bytes.extend_from_slice(&content);
                bytes.extend_from_slice(&vec![255; *behind]);
                expected.extend_from_slice(&content);
            }
            let (mut intake, mut taken) = (filled(&bytes), Vec::new());
            for (index, (before, length, behind)) in records.iter().enumerate() {
                intake.decrypted(*before..before + length);
                intake.discard(before + length + behind);
                match takes.get(index) {
                    _ if index == all_at => taken.extend_from_slice(&intake.take()),
                    Some(room) => _ = intake.move_to(&mut taken, *room),
                    None => {}
                }
            }
            taken.extend_from_slice(&intake.take());
            prop_assert!(taken == expected);
            prop_assert_eq!(intake.buffer.capacity(), 0);
        }
    }
}
