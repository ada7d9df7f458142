//! Waiting for a request's head, within its time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;

use crate::inbound::{Malformed, Stream};
use crate::message::http1::{RequestHead, parse_request_head};

use super::Connection;

/// What came of waiting.
pub(super) enum Arrival {
    /// A head.
    Head(RequestHead),
    /// Something that is none, or not in time.
    Malformed(Malformed),
    /// The end: the app has closed, we drain, or the connection has rested long enough.
    Closed,
}

impl<S: Stream> Connection<'_, S> {
    pub(super) fn poll_head(
        &mut self,
        draining: Pin<&mut impl Future<Output = ()>>,
        cx: &mut Context<'_>,
    ) -> Poll<Arrival> {
        if let Poll::Ready(arrival) = self.poll_read_head(cx) {
            self.deadline.clear();
            self.has_begun = false;
            return Poll::Ready(arrival);
        }
        self.poll_rest(draining, cx)
    }

    fn poll_read_head(&mut self, cx: &mut Context<'_>) -> Poll<Arrival> {
        let mut wire = self.wire.lock();
        loop {
            match parse_request_head(&mut wire.received, &mut self.scan, &self.settings.head) {
                Ok(Some(head)) => return Poll::Ready(Arrival::Head(head)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Arrival::Malformed(error.into())),
            }
            if wire.ended || !matches!(ready!(wire.poll_fill(cx)), Ok(1..)) {
                return Poll::Ready(Arrival::Closed);
            }
        }
    }

    /// What time and drain have to say while nothing comes.
    fn poll_rest(&mut self, draining: Pin<&mut impl Future<Output = ()>>, cx: &mut Context<'_>) -> Poll<Arrival> {
        let mut wire = self.wire.lock();
        let has_begun = !wire.received.is_empty();
        if has_begun != std::mem::replace(&mut self.has_begun, has_begun) {
            self.deadline.clear();
        }
        self.deadline.start(if has_begun { self.settings.request } else { self.settings.keep_alive });
        if !has_begun {
            wire.release();
            self.out.release();
            if draining.poll(cx).is_ready() {
                return Poll::Ready(Arrival::Closed);
            }
        }
        ready!(self.deadline.poll(cx));
        if !has_begun {
            return Poll::Ready(Arrival::Closed);
        }
        let reason = "the request's head did not come in time";
        Poll::Ready(Arrival::Malformed(Malformed { status: StatusCode::REQUEST_TIMEOUT, reason }))
    }
}
