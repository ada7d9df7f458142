//! A request's body from an HTTP/2 stream.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::RecvStream;

use crate::message::http1::is_forbidden_trailer;
use crate::message::{BodyError, BodyStream, Fields, Frame, Size};
use crate::words::Deadline;

/// The body. The app may send more as what it has sent is used.
pub(super) struct StreamBody {
    stream: RecvStream,
    size: Size,
    idle: Duration,
    deadline: Deadline,
    /// Bytes that were handed on and not yet made room for.
    used: usize,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Data,
    Trailers,
    End,
}

impl StreamBody {
    pub(super) fn new(stream: RecvStream, size: Size, idle: Duration) -> Self {
        Self { stream, size, idle, deadline: Deadline::never(), used: 0, part: Part::Data }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, h2::Error>>> {
        while self.part == Part::Data {
            // Once the stream is closed there is no room to make any more.
            let _ = self.stream.flow_control().release_capacity(std::mem::take(&mut self.used));
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    self.used = data.len();
                    return Poll::Ready(Some(Ok(Frame::Data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.part = Part::Trailers,
            }
        }
        if self.part == Part::End {
            return Poll::Ready(None);
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        self.part = Part::End;
        Poll::Ready(match trailers {
            Ok(None) => None,
            Err(error) => Some(Err(error)),
            Ok(Some(map)) => {
                let mut fields = Fields::from(&map);
                fields.retain(|name, _| !is_forbidden_trailer(name));
                (!fields.is_empty()).then_some(Ok(Frame::Trailers(fields)))
            }
        })
    }
}

impl BodyStream for StreamBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if let Poll::Ready(frame) = self.poll_part(cx) {
            self.deadline.clear();
            if matches!(frame, Some(Err(_))) {
                self.part = Part::End;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Http2)));
        }
        self.deadline.start(self.idle);
        ready!(self.deadline.poll(cx));
        self.part = Part::End;
        Poll::Ready(Some(Err(BodyError::Idle(self.idle))))
    }

    fn size(&self) -> Size {
        self.size
    }
}
