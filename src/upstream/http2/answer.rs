//! The body of an answer as it streams, and with it what is left of the request.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, header};

use crate::message::http1::framing::{is_forbidden_trailer, may_have_content};
use crate::message::{Body, BodyError, BodyStream, Fields, Frame, Response, Size};
use crate::upstream::deadline::Deadline;

use super::connection::{Lease, Status};
use super::head;
use super::outgoing::Outgoing;

/// The answer. Mostly its content has come together with the head: then the stream is done with here.
pub(super) fn begin(
    lease: Lease,
    upload: Option<Outgoing>,
    method: &Method,
    response: http::Response<RecvStream>,
    idle: Duration,
) -> Response {
    let (parts, stream) = response.into_parts();
    let mut answer = head::response(parts.status, &parts.headers);
    if method == Method::HEAD || !may_have_content(parts.status) {
        return answer;
    }
    if stream.is_end_stream() {
        answer.body = Body::full("");
        return answer;
    }
    let size = size(&parts.headers);
    let hold = Hold::new(lease.status());
    let mut under_way = UnderWay { stream, upload, hold, _lease: lease };
    let ahead = match under_way.poll_data(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(Some(Frame::Data(content)))) if under_way.is_whole(&content, size) => {
            answer.body = Body::full(content);
            return answer;
        }
        Poll::Ready(part) => Some(part),
        // Whoever reads asks again.
        Poll::Pending => None,
    };
    let deadline = Deadline::never();
    let streaming = Answer { under_way: Some(under_way), ahead, size, idle, deadline, is_in_trailers: false };
    answer.body = Body::stream(streaming);
    answer
}

/// What the bank said of the length. With trailers there is more to come than a length tells.
fn size(headers: &HeaderMap) -> Size {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match length {
        Some(length) if !headers.contains_key(header::TRAILER) => Size::Exact(length),
        _ => Size::Unknown,
    }
}

struct Answer {
    /// `None` when all has been read, or nothing more will be.
    under_way: Option<UnderWay>,
    /// What came together with the head.
    ahead: Option<Result<Option<Frame>, h2::Error>>,
    size: Size,
    idle: Duration,
    deadline: Deadline,
    is_in_trailers: bool,
}

struct UnderWay {
    stream: RecvStream,
    upload: Option<Outgoing>,
    hold: Hold,
    _lease: Lease,
}

impl BodyStream for Answer {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let outcome = ready!(self.poll_received(cx)).transpose();
        if !matches!(outcome, Some(Ok(Frame::Data(_)))) {
            self.under_way = None;
        }
        Poll::Ready(outcome)
    }

    fn size(&self) -> Size {
        self.size
    }
}

impl Answer {
    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, BodyError>> {
        let Some(under_way) = &mut self.under_way else { return Poll::Ready(Ok(None)) };
        under_way.send(cx, &mut self.deadline);
        if !self.is_in_trailers {
            let part = self.ahead.take().map_or_else(|| under_way.poll_data(cx), Poll::Ready);
            match part {
                Poll::Ready(Ok(Some(frame))) => {
                    self.deadline.stop();
                    if under_way.stream.is_end_stream() {
                        self.under_way = None;
                    }
                    return Poll::Ready(Ok(Some(frame)));
                }
                Poll::Ready(Ok(None)) => self.is_in_trailers = true,
                Poll::Ready(Err(error)) => return Poll::Ready(at_error(error).map(|()| None)),
                Poll::Pending => return self.poll_idle(cx),
            }
        }
        match under_way.stream.poll_trailers(cx) {
            Poll::Ready(Ok(Some(trailers))) if self.size == Size::Unknown => {
                let mut fields = Fields::from(&trailers);
                fields.retain(|name, _| !is_forbidden_trailer(name));
                Poll::Ready(Ok((!fields.is_empty()).then_some(Frame::Trailers(fields))))
            }
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(None)),
            Poll::Ready(Err(error)) => Poll::Ready(at_error(error).map(|()| None)),
            Poll::Pending => self.poll_idle(cx),
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, BodyError>> {
        self.deadline.start(self.idle);
        ready!(self.deadline.poll(cx));
        Poll::Ready(Err(BodyError::Idle(self.idle)))
    }
}

impl UnderWay {
    /// Whether this first part is the whole content.
    fn is_whole(&self, part: &Bytes, size: Size) -> bool {
        self.stream.is_end_stream() && size == Size::Exact(part.len() as u64)
    }

    /// Sends what can be sent of the request. If that fails, the answer goes on.
    fn send(&mut self, cx: &mut Context<'_>, deadline: &mut Deadline) {
        let Some(upload) = &mut self.upload else { return };
        if upload.poll_send(cx).is_ready() {
            self.upload = None;
        } else if upload.has_moved() {
            deadline.stop();
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, h2::Error>> {
        loop {
            let data = self.stream.poll_data(cx);
            self.hold.set(data.is_ready());
            let Some(data) = ready!(data).transpose()? else { return Poll::Ready(Ok(None)) };
            self.stream.flow_control().release_capacity(data.len())?;
            if !data.is_empty() {
                return Poll::Ready(Ok(Some(Frame::Data(data))));
            }
        }
    }
}

/// After a complete answer a bank may reset the stream for the rest of the request, without a fault of anybody
/// (RFC 9113, section 8.1).
fn at_error(error: h2::Error) -> Result<(), BodyError> {
    match error.reason() {
        Some(Reason::NO_ERROR) if error.is_reset() && error.is_remote() => Ok(()),
        _ => Err(BodyError::Http2(error)),
    }
}

/// Tells the connection whether the bank waits for the app or the app for the bank.
struct Hold {
    status: Arc<Status>,
    is_held: bool,
}

impl Hold {
    fn new(status: &Arc<Status>) -> Self {
        status.hold(true);
        Self { status: Arc::clone(status), is_held: true }
    }

    fn set(&mut self, is_held: bool) {
        if self.is_held != is_held {
            self.is_held = is_held;
            self.status.hold(is_held);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.set(false);
    }
}
