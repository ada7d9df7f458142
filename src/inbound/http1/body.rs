//! A request's body, read from the app's connection as it is asked for.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::inbound::Stream;
use crate::message::http1::{Decoder, Framing};
use crate::message::{Body, BodyError, BodyStream, Frame, Size};
use crate::words::Deadline;

use super::wire::Shared;

/// A body that is here already is handed on as a whole up to this length.
const MOST_AT_HAND: u64 = 16 * 1024;

/// The body of a request: as a whole where it has come with the head, else as a stream that reads on.
pub(super) fn body<S: Stream>(wire: &Shared<S>, exchange: u64, framing: Framing, idle: Duration) -> Body {
    let mut shared = wire.lock();
    match framing {
        Framing::None | Framing::UntilClose => Body::absent(),
        Framing::Length(0) => Body::full(Bytes::new()),
        Framing::Length(length) if length <= MOST_AT_HAND.min(shared.received.len() as u64) => {
            // A copy leaves the read buffer in one piece, which is cheaper than getting another one.
            let content = usize::try_from(length).unwrap_or(usize::MAX);
            Body::full(Bytes::copy_from_slice(&shared.received.split_to(content)))
        }
        Framing::Length(_) | Framing::Chunked => {
            shared.begin_upload(exchange, Decoder::new(framing));
            drop(shared);
            Body::stream(AppBody {
                wire: wire.clone(),
                exchange,
                size: framing.size(),
                idle,
                deadline: Deadline::never(),
                done: false,
            })
        }
    }
}

struct AppBody<S: Stream> {
    wire: Shared<S>,
    exchange: u64,
    size: Size,
    idle: Duration,
    deadline: Deadline,
    done: bool,
}

impl<S: Stream> BodyStream for AppBody<S> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let polled = self.wire.lock().poll_upload(self.exchange, cx);
        let Poll::Ready(frame) = polled else {
            return self.poll_idle(cx).map(|error| Some(Err(error)));
        };
        self.deadline.clear();
        self.done = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn size(&self) -> Size {
        self.size
    }
}

impl<S: Stream> AppBody<S> {
    /// Ready when the app has not sent anything for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        self.deadline.start(self.idle);
        self.deadline.poll(cx).map(|()| {
            self.done = true;
            self.wire.lock().fail_upload(self.exchange);
            BodyError::Idle(self.idle)
        })
    }
}

impl<S: Stream> Drop for AppBody<S> {
    fn drop(&mut self) {
        self.wire.lock().let_go(self.exchange);
    }
}
