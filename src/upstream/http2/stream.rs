//! One stream as the connection's state knows it.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use bytes::{Bytes, BytesMut};
use http::Method;

use crate::message::http1::framing::may_have_content;
use crate::message::{Fields, Interims, Request};
use crate::upstream::Failure;

use super::head::Head;

/// A request under way, and what has come of its answer.
#[expect(clippy::struct_excessive_bools, reason = "both directions end on their own, and each bit is asked for alone")]
pub(super) struct Stream {
    is_head_request: bool,
    /// Where its head begins among all bytes that are sent; `None` when it was taken out of them.
    pub(super) at: Option<u64>,
    pub(super) interim: Option<Interims>,
    pub(super) interims: usize,
    /// The answer's head, until it is taken.
    pub(super) head: Option<Head>,
    pub(super) has_head: bool,
    pub(super) content: Content,
    pub(super) trailers: Option<Fields>,
    /// What is yet to come of the content, where that is known.
    left: Option<u64>,
    /// Whether the answer is complete, or nothing more of it is of use.
    pub(super) is_received: bool,
    /// Whether the request is complete, or nothing more of it is of use.
    pub(super) is_sent: bool,
    /// Why the answer will not be complete.
    pub(super) failure: Option<Failure>,
    /// Who waits for any of this to change.
    pub(super) task: Option<Waker>,
    /// What may be sent. The bank can make it negative (RFC 9113, section 6.9.2).
    pub(super) send_window: i64,
    /// Whether the task waits to send.
    pub(super) waits_for_room: bool,
    /// What the bank may send.
    pub(super) receive_window: i64,
    /// What was read, and the bank has not been told of.
    pub(super) unreleased: u32,
}

/// Content that has come and was not read yet. Mostly it is one piece.
#[derive(Default)]
pub(super) struct Content {
    /// Nothing follows where this is not.
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
    /// Small pieces behind the others, as one: what is kept grows with its bytes, however few a frame has.
    last: BytesMut,
    bytes: usize,
}

impl Stream {
    pub(super) fn new(request: &Request, is_sent: bool, at: u64, send_window: i64, receive_window: i64) -> Self {
        Self {
            is_head_request: request.method == Method::HEAD,
            at: Some(at),
            interim: request.interim.clone(),
            interims: 0,
            head: None,
            has_head: false,
            content: Content::default(),
            trailers: None,
            left: None,
            is_received: false,
            is_sent,
            failure: None,
            task: None,
            send_window,
            waits_for_room: false,
            receive_window,
            unreleased: 0,
        }
    }

    /// Takes the answer's head in.
    pub(super) fn begin(&mut self, head: Head) -> Result<(), &'static str> {
        let mut lengths = head.fields.get_all("content-length");
        let length = match (lengths.next(), lengths.next()) {
            (None, _) => None,
            (Some(length), None) => Some(parse_length(length).ok_or("its length is not a number")?),
            _ => return Err("it has more than one length"),
        };
        drop(lengths);
        self.left = if self.is_head_request || !may_have_content(head.status) { Some(0) } else { length };
        self.head = Some(head);
        self.has_head = true;
        Ok(())
    }

    /// Counts content.
    pub(super) fn count(&mut self, bytes: usize) -> Result<(), &'static str> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(bytes as u64).ok_or("it is longer than it says")?;
        }
        Ok(())
    }

    /// Whether all content is there that is to come, as far as that is known.
    pub(super) fn has_all_content(&self) -> bool {
        self.left == Some(0)
    }

    /// The answer is complete.
    pub(super) fn finish(&mut self) -> Result<(), &'static str> {
        if self.left.is_some_and(|left| left > 0) {
            return Err("it is shorter than it says");
        }
        self.is_received = true;
        Ok(())
    }

    /// Nothing more comes and nothing more is sent. A complete answer stays one.
    pub(super) fn fail(&mut self, failure: Failure) {
        if !self.is_received {
            self.failure = Some(failure);
        }
        (self.is_received, self.is_sent) = (true, true);
        self.wake();
    }

    /// Whether nothing more happens on it.
    pub(super) fn is_closed(&self) -> bool {
        self.is_received && self.is_sent
    }

    pub(super) fn wake(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    pub(super) fn register(&mut self, cx: &Context<'_>) {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
        }
    }
}

fn parse_length(value: &[u8]) -> Option<u64> {
    // No sign, which `parse` would take.
    if value.iter().all(u8::is_ascii_digit) { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

impl Content {
    /// Adds a piece without copying it.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        if self.first.is_none() {
            self.first = Some(piece);
            return;
        }
        let last = self.take_last();
        self.more.extend(last);
        self.more.push_back(piece);
    }

    /// Adds a copy of a small piece.
    pub(super) fn push_copy(&mut self, piece: &[u8]) {
        self.bytes += piece.len();
        if self.first.is_none() {
            self.first = Some(Bytes::copy_from_slice(piece));
        } else {
            self.last.extend_from_slice(piece);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let piece = self.first.take()?;
        self.bytes -= piece.len();
        self.first = self.more.pop_front().or_else(|| self.take_last());
        Some(piece)
    }

    fn take_last(&mut self) -> Option<Bytes> {
        (!self.last.is_empty()).then(|| std::mem::take(&mut self.last).freeze())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether there is more than one piece.
    pub(super) fn is_in_pieces(&self) -> bool {
        !self.more.is_empty() || !self.last.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }
}
