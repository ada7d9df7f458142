//! A request's body on its way out, as fast as the bank's windows allow.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;

use crate::message::{Body, BodyError, Frame, Size};

use super::head;

/// What is left of a request to be sent.
pub(super) struct Outgoing {
    stream: SendStream<Bytes>,
    body: Body,
    /// A frame, or what is left of it.
    data: Bytes,
    /// How much is to come, where that is known.
    left: Option<u64>,
    has_moved: bool,
}

/// Why a request's body could not be sent.
#[derive(Debug)]
pub(super) enum Broken {
    /// The stream has ended; its answer, or the lack of one, tells more.
    Stream,
    /// The body.
    Body(BodyError),
}

impl Outgoing {
    /// The body of a request whose head has been sent.
    pub(super) fn new(stream: SendStream<Bytes>, body: Body) -> Self {
        let left = match body.size() {
            Size::Exact(length) => Some(length),
            Size::Unknown => None,
        };
        Self { stream, body, data: Bytes::new(), left, has_moved: false }
    }

    /// Hands frames to the connection's task, until the body is over.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            if !self.data.is_empty() {
                ready!(self.poll_send_data(cx))?;
                if self.left == Some(0) {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let Poll::Ready(frame) = self.body.poll_frame(cx) else {
                return match self.stream.poll_reset(cx) {
                    Poll::Ready(_) => Poll::Ready(Err(Broken::Stream)),
                    Poll::Pending => Poll::Pending,
                };
            };
            self.has_moved = true;
            match frame.transpose().map_err(Broken::Body)? {
                Some(Frame::Data(data)) => self.data = data,
                _ if self.left.is_some() => return Poll::Ready(Err(Broken::Body(BodyError::Incomplete))),
                Some(Frame::Trailers(fields)) => {
                    let sent = self.stream.send_trailers(head::trailers(&fields));
                    return Poll::Ready(sent.map_err(|_| Broken::Stream));
                }
                None => {
                    let sent = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(sent.map_err(|_| Broken::Stream));
                }
            }
        }
    }

    /// Whether something has been sent or has come from the app since this was asked last.
    pub(super) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Whether the bank is what keeps it from moving, and not the app.
    pub(super) fn waits_for_bank(&self) -> bool {
        !self.data.is_empty()
    }

    fn poll_send_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.stream.reserve_capacity(self.data.len());
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Broken::Stream)),
            }
        }
        let part = self.data.split_to(self.stream.capacity().min(self.data.len()));
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(part.len() as u64)
                .ok_or(Broken::Body(BodyError::Malformed("it is longer than its sender said")))?;
        }
        self.has_moved = true;
        let is_last = self.left == Some(0) && self.data.is_empty();
        Poll::Ready(self.stream.send_data(part, is_last).map_err(|_| Broken::Stream))
    }
}
