//! What is to be written: heads and small pieces copied together, large pieces as they are, in as few calls as possible.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::inbound::Stream;
use crate::inbound::interim::{ends_here, goes_on};
use crate::message::http1::writing::{write_field, write_status_line};
use crate::message::http1::{begin_chunk, encode_end};
use crate::message::{Fields, Interim};

use super::spare::{give_text, take_text};

/// Up to this length a piece is copied: cheaper than a slice of its own in the system call.
const MOST_COPIED: usize = 4 * 1024;
/// With so much waiting nothing more is taken on.
const MOST_WAITING: usize = 64 * 1024;
/// So many large pieces go out in one call.
const MOST_PIECES: usize = 7;

/// A queue of bytes. The large pieces lie between stretches of the text.
#[derive(Default)]
pub(super) struct Outgoing {
    text: Vec<u8>,
    /// How much of the text is written.
    written: usize,
    /// Each with the place in the text that it comes before.
    pieces: VecDeque<(usize, Bytes)>,
    /// Bytes in `pieces`.
    in_pieces: usize,
}

impl Outgoing {
    /// The text at the queue's end, to write to.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        if self.text.capacity() == 0 {
            self.text = take_text();
        }
        &mut self.text
    }

    /// Adds an interim answer, if it goes on.
    pub(super) fn interim(&mut self, interim: &Interim) {
        if !goes_on(interim) {
            return;
        }
        let reason = interim.status.canonical_reason().unwrap_or_default();
        let text = self.text();
        write_status_line(text, interim.status, reason.as_bytes());
        for (name, value) in interim.fields.iter() {
            if !ends_here(interim, name) {
                write_field(text, name, value);
            }
        }
        text.extend_from_slice(b"\r\n");
    }

    /// Adds content, as a chunk or as it is.
    pub(super) fn data(&mut self, data: Bytes, chunked: bool) {
        let is_chunk = chunked && !data.is_empty();
        if is_chunk {
            begin_chunk(&mut self.text, data.len());
        }
        if data.len() <= MOST_COPIED {
            self.text.extend_from_slice(&data);
        } else {
            self.in_pieces += data.len();
            self.pieces.push_back((self.text.len(), data));
        }
        if is_chunk {
            self.text.extend_from_slice(b"\r\n");
        }
    }

    /// Adds the end of a chunked body.
    pub(super) fn end(&mut self, trailers: Option<&Fields>) {
        encode_end(&mut self.text, trailers);
    }

    /// Whether more may be added before something is written.
    pub(super) fn has_room(&self) -> bool {
        self.waiting() < MOST_WAITING && self.pieces.len() < MOST_PIECES
    }

    /// How many bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.text.len() - self.written + self.in_pieces
    }

    /// Gives the memory back if nothing waits.
    pub(super) fn release(&mut self) {
        if self.waiting() == 0 {
            give_text(std::mem::take(&mut self.text));
            self.pieces = VecDeque::new();
            self.written = 0;
        }
    }

    /// Writes until nothing waits.
    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.waiting() > 0 {
            let mut slices = [IoSlice::new(&[]); 2 * MOST_PIECES + 1];
            let count = self.slices(&mut slices);
            let written = match &slices[..count] {
                [only] => ready!(Pin::new(&mut *io).poll_write(cx, only))?,
                several => ready!(Pin::new(&mut *io).poll_write_vectored(cx, several))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        self.clear();
        Poll::Ready(Ok(()))
    }

    /// Writes whatever the system has room for. Whether it took any of it.
    pub(super) fn push<S: Stream>(&mut self, io: &S) -> bool {
        let before = self.waiting();
        while self.waiting() > 0 {
            let mut slices = [IoSlice::new(&[]); 2 * MOST_PIECES + 1];
            self.slices(&mut slices);
            match io.push(&slices[0]) {
                Ok(count @ 1..) => self.advance(count),
                _ => break,
            }
        }
        if self.waiting() == 0 {
            self.clear();
        }
        self.waiting() < before
    }

    /// All of it is written: the text begins anew.
    fn clear(&mut self) {
        self.text.clear();
        self.written = 0;
    }

    /// What waits, in order and without empty slices.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let (mut count, mut from) = (0, self.written);
        let mut add = |slice: &'a [u8]| {
            if !slice.is_empty() && count < slices.len() {
                slices[count] = IoSlice::new(slice);
                count += 1;
            }
        };
        for (place, data) in &self.pieces {
            add(&self.text[from..*place]);
            add(data);
            from = *place;
        }
        add(&self.text[from..]);
        count
    }

    /// Takes note that so many bytes are written.
    fn advance(&mut self, mut count: usize) {
        while let Some((place, data)) = self.pieces.front_mut() {
            let text = count.min(*place - self.written);
            self.written += text;
            let piece = (count - text).min(data.len());
            data.advance(piece);
            self.in_pieces -= piece;
            count -= text + piece;
            if !data.is_empty() {
                return;
            }
            self.pieces.pop_front();
        }
        self.written += count;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// A writer that takes at most so many bytes a call, and counts calls.
    struct Narrow {
        taken: Vec<u8>,
        width: usize,
        calls: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let count = buf.len().min(self.width);
            self.taken.extend_from_slice(&buf[..count]);
            self.calls += 1;
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
            let count = all.len().min(self.width);
            self.taken.extend_from_slice(&all[..count]);
            self.calls += 1;
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_head_with_small_and_large_pieces_is_one_call() {
        let mut out = Outgoing::default();
        out.text().extend_from_slice(b"head");
        out.data(Bytes::from(vec![b'x'; 10]), true);
        out.data(Bytes::from(vec![b'y'; 10_000]), true);
        out.end(None);
        let mut io = Narrow { taken: Vec::new(), width: usize::MAX, calls: 0 };
        poll_fn(|cx| out.poll_flush(&mut io, cx)).await.unwrap();
        assert_eq!(io.calls, 1);
        let expected = [b"heada\r\nxxxxxxxxxx\r\n2710\r\n", &vec![b'y'; 10_000][..], b"\r\n0\r\n\r\n"].concat();
        assert!(io.taken == expected);
    }

    #[tokio::test]
    async fn a_closed_reader_is_an_error() {
        let (mut io, reader) = duplex(8);
        drop(reader);
        let mut out = Outgoing::default();
        out.text().push(b'x');
        assert!(poll_fn(|cx| out.poll_flush(&mut io, cx)).await.is_err());
    }

    #[tokio::test]
    async fn what_waits_goes_out_as_the_reader_takes_it() {
        let (mut io, mut reader) = duplex(8);
        let mut out = Outgoing::default();
        out.data(Bytes::from(vec![b'z'; 100]), false);
        let write = poll_fn(|cx| out.poll_flush(&mut io, cx));
        let mut taken = vec![0; 100];
        let (written, read) = tokio::join!(write, reader.read_exact(&mut taken));
        assert!(written.is_ok() && read.is_ok() && out.waiting() == 0);
    }

    proptest! {
        #[test]
        fn partial_writes_lose_and_repeat_nothing(
            pieces in proptest::collection::vec((0_usize..9000, any::<bool>()), 1..7),
            width in 1_usize..5000,
        ) {
            let (mut out, mut expected) = (Outgoing::default(), Vec::new());
            for (index, (length, chunked)) in pieces.into_iter().enumerate() {
                let data = vec![u8::try_from(index).unwrap(); length];
                if chunked {
                    crate::message::http1::encode_chunk(&mut expected, &data);
                } else {
                    expected.extend_from_slice(&data);
                }
                out.data(Bytes::from(data), chunked);
            }
            prop_assert_eq!(out.waiting(), expected.len());
            let mut io = Narrow { taken: Vec::new(), width, calls: 0 };
            let waker = std::task::Waker::noop();
            prop_assert!(out.poll_flush(&mut io, &mut Context::from_waker(waker)).is_ready());
            prop_assert!(io.taken == expected);
        }
    }
}
