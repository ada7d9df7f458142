//! What is to leave.

use std::task::{Context, Poll};

use super::{DEFAULT_MAX_FRAME, Machine, Reason, flag, frame, kind, window};
use crate::message::Fields;
use crate::message::http2::FrameHead;
use crate::message::http2::frame::FRAME_HEAD;
use crate::upstream::Failure;
use crate::upstream::http2::head;

/// Content is added as long as less than this waits to be written: no large body delays the others by more.
const ROOM: usize = 64 * 1024;
/// A larger buffer is not kept.
const KEPT: usize = 2 * ROOM;

/// Frames that wait to be written, so that all of a turn leave as one.
#[derive(Default)]
pub(in crate::upstream::http2) struct Out {
    pub(super) bytes: Vec<u8>,
    /// How many of them have left.
    written: usize,
    /// How many bytes have left before.
    before: u64,
}

/// The stream takes no more of the request: its answer, or the lack of one, tells more.
#[derive(Debug)]
pub(in crate::upstream::http2) struct Closed;

impl Out {
    /// What waits.
    pub(in crate::upstream::http2) fn waiting(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// So many bytes of it have left.
    pub(in crate::upstream::http2) fn advance(&mut self, bytes: usize) {
        self.written += bytes;
        // A socket that takes little at a time may never take all: what has left does not stay for that.
        if self.written < self.bytes.len() && self.written < KEPT {
            return;
        }
        self.before += self.written as u64;
        self.bytes.drain(..self.written);
        self.written = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
    }

    /// Nothing more leaves, and of what waits nobody knows how much has: a write that fails may have taken some before.
    pub(in crate::upstream::http2) fn give_up(&mut self) {
        self.advance(self.waiting().len());
    }

    /// How many bytes have left in all.
    pub(in crate::upstream::http2) fn left(&self) -> u64 {
        self.before + self.written as u64
    }

    /// Gives the memory back while nothing waits.
    pub(in crate::upstream::http2) fn rest(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// Where the next byte will be among all.
    pub(super) fn end(&self) -> u64 {
        self.position(self.bytes.len())
    }

    /// Where a byte of the buffer is among all.
    pub(super) fn position(&self, index: usize) -> u64 {
        self.before + index as u64
    }

    /// Where one of all bytes is in the buffer. Those that have left may not be there any more.
    pub(super) fn index(&self, position: u64) -> usize {
        usize::try_from(position.saturating_sub(self.before)).unwrap_or(usize::MAX)
    }

    /// Adds a field section, of which nothing stays if it cannot be written.
    pub(super) fn write_section(
        &mut self,
        stream: u32,
        is_end: bool,
        max_frame: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; FRAME_HEAD]);
        if let Err(failure) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(failure);
        }
        let length = self.bytes.len() - start - FRAME_HEAD;
        if length > max_frame {
            let block = self.bytes.split_off(start + FRAME_HEAD);
            self.bytes.truncate(start);
            frame::write_field_section(&mut self.bytes, stream, is_end, &block, max_frame);
            return Ok(());
        }
        let flags = flag::END_HEADERS | u8::from(is_end);
        let head = FrameHead { length, kind: kind::HEADERS, flags, stream };
        self.bytes[start..start + FRAME_HEAD].copy_from_slice(&head.bytes());
        Ok(())
    }

    pub(super) fn reset(&mut self, stream: u32, reason: Reason) {
        frame::write(&mut self.bytes, kind::RST_STREAM, 0, stream, &u32::from(reason).to_be_bytes());
    }

    pub(super) fn window_update(&mut self, stream: u32, more: u32) {
        frame::write(&mut self.bytes, kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    }
}

impl Machine {
    /// How much may be sent on a stream at once: what the windows and the buffer leave, at most a frame.
    pub(in crate::upstream::http2) fn poll_room(&mut self, id: u32, cx: &Context<'_>) -> Poll<Result<usize, Closed>> {
        let waiting = self.out.waiting().len();
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_sent && self.end.is_none()) else {
            return Poll::Ready(Err(Closed));
        };
        let window = usize::try_from(stream.send_window.min(self.send_window)).unwrap_or(0);
        // A larger frame would fill a TLS record, and gain nothing.
        let room = window.min(ROOM.saturating_sub(waiting)).min(self.bank.max_frame).min(DEFAULT_MAX_FRAME);
        if room == 0 {
            stream.register(cx);
            stream.waits_for_room = true;
            self.anyone_waits_for_room = true;
            return Poll::Pending;
        }
        Poll::Ready(Ok(room))
    }

    /// Ready when the stream takes no more of the request.
    pub(in crate::upstream::http2) fn poll_closed(&mut self, id: u32, cx: &Context<'_>) -> Poll<()> {
        match self.streams.get_mut(&id).filter(|stream| !stream.is_sent && self.end.is_none()) {
            Some(stream) => {
                stream.register(cx);
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// Adds content, for which [there is room](Self::poll_room).
    pub(in crate::upstream::http2) fn send_content(&mut self, id: u32, content: &[u8], is_end: bool) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_sent) else { return };
        stream.send_window -= window(content.len());
        self.send_window -= window(content.len());
        stream.is_sent = is_end;
        frame::write(&mut self.out.bytes, kind::DATA, u8::from(is_end), id, content);
        self.wake_driver();
    }

    /// Ends the request with trailers.
    pub(in crate::upstream::http2) fn send_trailers(&mut self, id: u32, fields: &Fields) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_sent) else { return };
        stream.is_sent = true;
        let write = |block: &mut Vec<u8>| {
            head::write_trailers(block, fields);
            Ok(())
        };
        // Only a head can fail to be written.
        let _ = self.out.write_section(id, true, self.bank.max_frame, write);
        self.wake_driver();
    }

    /// Something has been written, so there may be room again.
    pub(in crate::upstream::http2) fn has_written(&mut self) {
        if self.out.waiting().is_empty() {
            self.answered = 0;
        }
        if self.out.waiting().len() < ROOM / 2 {
            self.wake_those_who_wait_for_room();
        }
    }

    pub(super) fn wake_those_who_wait_for_room(&mut self) {
        if !std::mem::take(&mut self.anyone_waits_for_room) {
            return;
        }
        for stream in self.streams.values_mut() {
            if std::mem::take(&mut stream.waits_for_room) {
                stream.wake();
            }
        }
    }
}
