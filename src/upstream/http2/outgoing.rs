//! A request's body on its way out, as fast as the bank's windows allow.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use crate::message::{Body, BodyError, Frame, Size};

use super::exchange::Place;
use super::machine::Closed;

/// What is left of a request to be sent.
pub(super) struct Outgoing {
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

impl From<Closed> for Broken {
    fn from(_: Closed) -> Self {
        Self::Stream
    }
}

impl Outgoing {
    /// The body of a request whose head has been sent.
    pub(super) fn new(body: Body) -> Self {
        let left = match body.size() {
            Size::Exact(length) => Some(length),
            Size::Unknown => None,
        };
        Self { body, data: Bytes::new(), left, has_moved: false }
    }

    /// Hands frames to the connection's task, until the body is over.
    pub(super) fn poll_send(&mut self, place: &Place, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            if !self.data.is_empty() {
                ready!(self.poll_send_data(place, cx))?;
                if self.left == Some(0) {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let Poll::Ready(frame) = self.body.poll_frame(cx) else {
                return place.machine().poll_closed(place.id(), cx).map(|()| Err(Broken::Stream));
            };
            self.has_moved = true;
            match frame.transpose().map_err(Broken::Body)? {
                Some(Frame::Data(data)) => self.data = data,
                _ if self.left.is_some() => return Poll::Ready(Err(Broken::Body(BodyError::Incomplete))),
                Some(Frame::Trailers(fields)) => place.machine().send_trailers(place.id(), &fields),
                None => place.machine().send_content(place.id(), &[], true),
            }
            if self.data.is_empty() {
                return Poll::Ready(Ok(()));
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

    fn poll_send_data(&mut self, place: &Place, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut machine = place.machine();
        let room = ready!(machine.poll_room(place.id(), cx))?.min(self.data.len());
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(room as u64)
                .ok_or(Broken::Body(BodyError::Malformed("it is longer than its sender said")))?;
        }
        self.has_moved = true;
        let is_last = self.left == Some(0) && room == self.data.len();
        machine.send_content(place.id(), &self.data[..room], is_last);
        self.data.advance(room);
        Poll::Ready(Ok(()))
    }
}
