//! What whoever waits for an answer is given of it.

use std::task::{Context, Poll};

use bytes::Bytes;

use crate::message::Fields;
use crate::upstream::Failure;
use crate::upstream::http2::head::Head;

use super::{CONNECTION_WINDOW, Machine, Reason, STREAM_WINDOW, Scope, Side, StreamError};

/// What has come of an answer when its head is there.
#[derive(Debug)]
pub(in crate::upstream::http2) enum Answered {
    /// All; the stream is done with.
    Whole(Head, Option<Bytes>),
    /// The head, and what more there is is asked for with [`Machine::poll_part`].
    Head(Head),
}

/// A part of an answer's body.
#[derive(Debug)]
pub(in crate::upstream::http2) enum Part {
    Content(Bytes),
    Trailers(Fields),
    End,
}

impl Machine {
    /// The answer's head, when it is there.
    pub(in crate::upstream::http2) fn poll_answer(
        &mut self,
        id: u32,
        cx: &Context<'_>,
    ) -> Poll<Result<Answered, Failure>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Err(gone())) };
        let Some(head) = stream.head.take() else {
            let failure = stream.failure.as_ref().or(self.end.as_ref());
            if let Some(failure) = failure {
                return Poll::Ready(Err(failure.for_another()));
            }
            stream.register(cx);
            return Poll::Pending;
        };
        let is_whole = stream.is_closed() && stream.failure.is_none() && stream.trailers.is_none();
        if !is_whole || stream.content.is_in_pieces() {
            return Poll::Ready(Ok(Answered::Head(head)));
        }
        let content = stream.content.pop();
        self.streams.remove(&id);
        if let Some(content) = &content {
            self.release(id, content.len());
        }
        Poll::Ready(Ok(Answered::Whole(head, content)))
    }

    /// The next part of an answer's body.
    pub(in crate::upstream::http2) fn poll_part(&mut self, id: u32, cx: &Context<'_>) -> Poll<Result<Part, Failure>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Err(gone())) };
        if let Some(content) = stream.content.pop() {
            self.release(id, content.len());
            return Poll::Ready(Ok(Part::Content(content)));
        }
        if let Some(failure) = &stream.failure {
            return Poll::Ready(Err(failure.for_another()));
        }
        if let Some(trailers) = stream.trailers.take() {
            return Poll::Ready(Ok(Part::Trailers(trailers)));
        }
        if stream.is_received {
            return Poll::Ready(Ok(Part::End));
        }
        if let Some(end) = &self.end {
            return Poll::Ready(Err(end.for_another()));
        }
        stream.register(cx);
        Poll::Pending
    }

    /// Whether the answer is complete and all of its content has been read.
    pub(in crate::upstream::http2) fn is_read(&self, id: u32) -> bool {
        self.streams.get(&id).is_none_or(|stream| {
            stream.is_received && stream.failure.is_none() && stream.content.is_empty() && stream.trailers.is_none()
        })
    }

    /// Whether the request is complete, and the answer but for the word that it is.
    pub(in crate::upstream::http2) fn lacks_only_the_end(&self, id: u32) -> bool {
        self.streams.get(&id).is_some_and(|stream| {
            stream.is_sent && !stream.is_received && stream.has_all_content() && stream.content.is_empty()
        })
    }

    /// Content has been read, so the bank may send as much again. It is told when half a window has gathered.
    pub(super) fn release(&mut self, id: u32, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.unreleased = self.unreleased.saturating_add(bytes);
        if self.unreleased >= CONNECTION_WINDOW / 2 {
            self.receive_window += i64::from(self.unreleased);
            self.out.window_update(0, std::mem::take(&mut self.unreleased));
            self.wake_driver();
        }
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_received) else { return };
        stream.unreleased = stream.unreleased.saturating_add(bytes);
        if stream.unreleased >= STREAM_WINDOW / 2 {
            stream.receive_window += i64::from(stream.unreleased);
            self.out.window_update(id, std::mem::take(&mut stream.unreleased));
            self.wake_driver();
        }
    }
}

/// What is not there any more was forgotten by whoever asks: this is not reached.
fn gone() -> Failure {
    Failure::Http2(StreamError { scope: Scope::Stream, by: Side::Us, reason: Reason::CANCEL })
}
