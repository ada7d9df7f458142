//! The body of an answer as it streams, and with it what is left of the request.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use crate::message::http1::framing::{is_forbidden_trailer, may_have_content};
use crate::message::{Body, BodyError, BodyStream, Frame, Response, Size};
use crate::upstream::Failure;

use super::connection::Connection;
use super::exchange::Place;
use super::head::Head;
use super::machine::Part;
use super::outgoing::Outgoing;

/// How long the end of an answer is waited for that is otherwise complete.
const FOR_THE_END: Duration = Duration::from_secs(1);

/// An answer that has come as a whole, with its content if there is any.
pub(super) fn whole(method: &Method, head: Head, content: Option<Bytes>) -> Response {
    let has_content = may_have_one(method, &head);
    let mut answer = response(head);
    if has_content {
        answer.body = Body::full(content.unwrap_or_default());
    }
    answer
}

/// An answer whose content is yet to come, or to be read.
pub(super) fn begin(place: Place, upload: Option<Outgoing>, method: &Method, head: Head, idle: Duration) -> Response {
    if !may_have_one(method, &head) {
        let_go(place, upload.as_ref());
        return response(head);
    }
    if place.machine().is_read(place.id()) {
        return whole(method, head, None);
    }
    let size = size(&head);
    let mut answer = response(head);
    let hold = Hold::new(place.connection());
    let mut place = place;
    place.deadline.clear();
    let under_way = Some(UnderWay { hold, upload, place });
    answer.body = Body::stream(Answer { under_way, size, idle });
    answer
}

/// HTTP/2 has no reason phrase; apps that speak HTTP/1.1 are used to the usual one.
fn response(head: Head) -> Response {
    Response { version: http::Version::HTTP_2, fields: head.fields, ..Response::new(head.status, Body::absent()) }
}

fn may_have_one(method: &Method, head: &Head) -> bool {
    method != Method::HEAD && may_have_content(head.status)
}

/// What the bank said of the length. With trailers there is more to come than a length tells.
fn size(head: &Head) -> Size {
    let length = head.fields.get("content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    match length {
        Some(length) if !head.fields.contains("trailer") => Size::Exact(length),
        _ => Size::Unknown,
    }
}

struct Answer {
    /// `None` when all has been read, or nothing more will be.
    under_way: Option<UnderWay>,
    size: Size,
    idle: Duration,
}

/// Parts go in the order in which they stand: the place last.
struct UnderWay {
    hold: Hold,
    upload: Option<Outgoing>,
    place: Place,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(UnderWay { hold, upload, place }) = self.under_way.take() {
            drop(hold);
            let_go(place, upload.as_ref());
        }
    }
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
        under_way.send(cx);
        let place = &mut under_way.place;
        let part = place.machine().poll_part(place.id(), cx);
        under_way.hold.set(part.is_ready());
        match part {
            Poll::Ready(Ok(Part::Content(content))) => {
                place.deadline.clear();
                if place.machine().is_read(place.id()) {
                    self.under_way = None;
                }
                Poll::Ready(Ok(Some(Frame::Data(content))))
            }
            Poll::Ready(Ok(Part::Trailers(mut fields))) if self.size == Size::Unknown => {
                fields.retain(|name, _| !is_forbidden_trailer(name));
                Poll::Ready(Ok((!fields.is_empty()).then_some(Frame::Trailers(fields))))
            }
            Poll::Ready(Ok(Part::Trailers(_) | Part::End)) => Poll::Ready(Ok(None)),
            Poll::Ready(Err(failure)) => Poll::Ready(Err(broken(failure))),
            Poll::Pending => {
                place.deadline.start(self.idle);
                ready!(place.deadline.poll(cx));
                Poll::Ready(Err(BodyError::Idle(self.idle)))
            }
        }
    }
}

impl UnderWay {
    /// Sends what can be sent of the request. If that fails, the answer goes on.
    fn send(&mut self, cx: &mut Context<'_>) {
        let Some(upload) = &mut self.upload else { return };
        if upload.poll_send(&self.place, cx).is_ready() {
            self.upload = None;
        } else if upload.has_moved() {
            self.place.deadline.clear();
        }
    }
}

/// Nobody wants more of the answer. If all of it but the word that this was all has come, that is waited for: banks
/// hang up on whoever breaks off stream after stream.
fn let_go(mut place: Place, upload: Option<&Outgoing>) {
    if upload.is_some() || !place.machine().lacks_only_the_end(place.id()) {
        return;
    }
    // Without one, everything ends.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    place.deadline.set(FOR_THE_END);
    runtime.spawn(poll_fn(move |cx| {
        let part = place.machine().poll_part(place.id(), cx);
        if part.is_ready() { Poll::Ready(()) } else { place.deadline.poll(cx) }
    }));
}

/// What the end of a stream or connection means for a body.
fn broken(failure: Failure) -> BodyError {
    match failure {
        Failure::Http2(error) => BodyError::Stream(error),
        Failure::Malformed(reason) => BodyError::Malformed(reason),
        Failure::Closed(error) => BodyError::Io(error),
        other => BodyError::Io(std::io::Error::other(other)),
    }
}

/// Tells the connection whether the bank waits for the app or the app for the bank.
struct Hold {
    connection: Arc<Connection>,
    is_held: bool,
}

impl Hold {
    fn new(connection: &Arc<Connection>) -> Self {
        connection.hold(true);
        Self { connection: Arc::clone(connection), is_held: true }
    }

    fn set(&mut self, is_held: bool) {
        if self.is_held != is_held {
            self.is_held = is_held;
            self.connection.hold(is_held);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.set(false);
    }
}
