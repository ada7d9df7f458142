//! Waiting for a request's head: resting, giving memory back, running out of time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use tokio_util::sync::WaitForCancellationFuture;

use crate::inbound::{Malformed, Stream};
use crate::message::http1::{RequestHead, parse_request_head};

use super::Connection;

/// After so long without a request the connection gives its memory back.
const RELEASE: Duration = Duration::from_secs(2);

/// How long the connection has waited for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Not long: its buffers are kept.
    Short,
    /// Its memory is given back.
    Long,
    /// Something of a head has come.
    Head,
}

/// What came of waiting.
pub(super) enum Arrival {
    /// A head.
    Head(RequestHead),
    /// Something that is none, or not in time.
    Malformed(Malformed),
    /// Nothing for a while: whatever can be given back should be.
    Resting,
    /// The end: the app has closed, we drain, or it has rested long enough.
    Closed,
}

impl<S: Stream> Connection<'_, S> {
    pub(super) fn poll_head(
        &mut self,
        draining: Pin<&mut WaitForCancellationFuture<'_>>,
        cx: &mut Context<'_>,
    ) -> Poll<Arrival> {
        match self.poll_read_head(cx) {
            Poll::Ready(arrival) => {
                self.deadline.clear();
                self.rest = Rest::Short;
                Poll::Ready(arrival)
            }
            Poll::Pending => self.poll_rest(draining, cx),
        }
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
    fn poll_rest(&mut self, draining: Pin<&mut WaitForCancellationFuture<'_>>, cx: &mut Context<'_>) -> Poll<Arrival> {
        let mut wire = self.wire.lock();
        if wire.received.is_empty() {
            if self.rest == Rest::Head {
                self.rest = Rest::Short;
                self.deadline.clear();
            }
            if draining.poll(cx).is_ready() {
                return Poll::Ready(Arrival::Closed);
            }
        } else if self.rest != Rest::Head {
            self.rest = Rest::Head;
            self.deadline.set(self.settings.request);
        }
        if !self.deadline.is_set() {
            let first = RELEASE.min(self.settings.keep_alive);
            self.deadline.set(if self.rest == Rest::Long { self.settings.keep_alive - first } else { first });
        }
        if self.rest == Rest::Long {
            wire.release();
        }
        ready!(self.deadline.poll(cx));
        Poll::Ready(match self.rest {
            Rest::Head => Arrival::Malformed(Malformed {
                status: StatusCode::REQUEST_TIMEOUT,
                reason: "the request's head did not come in time",
            }),
            Rest::Long => Arrival::Closed,
            Rest::Short => {
                self.rest = Rest::Long;
                wire.release();
                self.out.release();
                self.interims = None;
                Arrival::Resting
            }
        })
    }
}
