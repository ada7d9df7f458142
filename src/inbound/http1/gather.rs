//! An answer of unknown length for an HTTP/1.0 app whose connection cannot be reset: there, one that broke off would look
//! like one that ended. It is gathered, as far as that is little, and goes out with its length. What is longer streams, and
//! ends in the same way whether it is whole or not.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use crate::inbound::Stream;
use crate::message::{Body, BodyError, BodyStream, Frame, Size};

use super::{After, Connection};

/// So much is gathered; what is longer streams.
const MOST: usize = 1024 * 1024;

impl<S: Stream> Connection<'_, S> {
    /// The body, whole if it is not too long. An error says how the connection ends, before anything of the answer went
    /// out.
    pub(super) async fn gather(&self, mut body: Body) -> Result<Body, After> {
        let mut gathered = BytesMut::new();
        let is_whole = poll_fn(|cx| {
            while gathered.len() < MOST {
                match body.poll_frame(cx) {
                    Poll::Ready(Some(Ok(Frame::Data(data)))) => gathered.extend_from_slice(&data),
                    Poll::Ready(Some(Ok(Frame::Trailers(_))) | None) => return Poll::Ready(Ok(true)),
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(After::BreakOff)),
                    Poll::Pending => return self.wire.lock().poll_gone(cx).map(|()| Err(After::Gone)),
                }
            }
            Poll::Ready(Ok(false))
        })
        .await?;
        let gathered = gathered.freeze();
        Ok(if is_whole { Body::full(gathered) } else { Body::stream(Begun { gathered, rest: body }) })
    }
}

/// A body of which something has been read ahead.
struct Begun {
    gathered: Bytes,
    rest: Body,
}

impl BodyStream for Begun {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.gathered.is_empty() {
            return self.rest.poll_frame(cx);
        }
        Poll::Ready(Some(Ok(Frame::Data(std::mem::take(&mut self.gathered)))))
    }

    fn size(&self) -> Size {
        Size::Unknown
    }
}
