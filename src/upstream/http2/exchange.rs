//! One request and the head of its answer, on a stream of a connection.

use std::future::poll_fn;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, ready};

use crate::message::BodyError;
use crate::message::http2::{Reason, Scope, Side, StreamError};
use crate::message::{Request, Response, Size};
use crate::upstream::exchange::{Broken, Patience};
use crate::upstream::{Failure, Progress};
use crate::words::Deadline;

use super::answer;
use super::connection::{Connection, Lease};
use super::machine::{Answered, Machine};
use super::outgoing::{self, Outgoing};

/// A stream that is under way. Dropped, it is reset, unless both sides are done.
#[derive(Debug)]
pub(super) struct Place {
    id: u32,
    lease: Lease,
    /// The end of what is waited for on it.
    pub(super) deadline: Deadline,
}

impl Place {
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        self.lease.connection()
    }

    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.connection().machine()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let deadline = std::mem::take(&mut self.deadline);
        self.machine().forget(self.id, deadline);
    }
}

/// Sends `request` on a stream and waits for the answer's head. What is left of the request's body then is sent while
/// the answer's is read. If this future is dropped, the stream is reset.
pub(in crate::upstream) async fn exchange(
    lease: Lease,
    request: &mut Request,
    patience: Patience,
) -> Result<Response, Broken> {
    let unsent = |failure, is_whole| Err(Broken { failure, progress: Progress::NothingSent, is_whole });
    let has_body = request.body.size() != Size::Exact(0);
    let written = lease.connection().written();
    let begun = lease.connection().machine().begin(request, !has_body);
    let begun = match begun {
        Ok(Some(begun)) => begun,
        Ok(None) => {
            // Else the next try might be lent the same, until its task comes to tell the pool.
            lease.connection().be_over(None);
            return unsent(Failure::Closed(std::io::ErrorKind::NotConnected.into()), lease.is_reused());
        }
        Err(failure) => return unsent(failure, false),
    };
    let upload = has_body.then(|| Outgoing::new(std::mem::take(&mut request.body)));
    let mut place = Place { id: begun.stream, lease, deadline: begun.deadline };
    let reads = begun.reads;
    if !has_body {
        place.deadline.set(patience.response);
    }
    let mut exchange = Exchange { request, has_body, place, upload, written, reads, patience };
    match poll_fn(|cx| exchange.poll(cx)).await {
        Ok(Answered::Whole(head, content)) => Ok(answer::whole(&exchange.request.method, head, content)),
        Ok(Answered::Head(head)) => {
            Ok(answer::begin(exchange.place, exchange.upload, &exchange.request.method, head, patience.idle))
        }
        Err(failure) => Err(exchange.into_broken(failure)),
    }
}

struct Exchange<'a> {
    /// Without its body, if it has one: that is in the upload.
    request: &'a mut Request,
    has_body: bool,
    place: Place,
    /// `None` when all is with the connection's task, or nothing more will be sent.
    upload: Option<Outgoing>,
    /// What the socket had taken before.
    written: u64,
    /// How often something had come before.
    reads: u64,
    patience: Patience,
}

impl Exchange<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answered, Failure>> {
        self.send(cx)?;
        if let Poll::Ready(answered) = self.place.machine().poll_answer(self.place.id, cx) {
            return Poll::Ready(answered);
        }
        ready!(self.place.deadline.poll(cx));
        Poll::Ready(Err(self.timed_out()))
    }

    /// Sends what can be sent.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        match upload.poll_send(&self.place, cx) {
            Poll::Pending if upload.has_moved() => self.place.deadline.set(self.patience.idle),
            Poll::Pending => self.place.deadline.start(self.patience.idle),
            Poll::Ready(Err(outgoing::Broken::Body(error))) => return Err(Failure::RequestBody(error)),
            Poll::Ready(Ok(()) | Err(outgoing::Broken::Stream)) => {
                self.upload = None;
                self.place.deadline.set(self.patience.response);
            }
        }
        Ok(())
    }

    fn into_broken(self, failure: Failure) -> Broken {
        let is_untouched = self.is_untouched();
        if !is_untouched && !is_refused(&failure) && !failure.is_about_our_certificate() {
            return Broken { failure, progress: Progress::MayHaveArrived, is_whole: false };
        }
        let is_dead = matches!(failure, Failure::Closed(_)) && is_untouched;
        let is_whole = is_dead && !self.has_body && self.place.lease.is_reused();
        Broken { failure, progress: Progress::NothingSent, is_whole }
    }

    /// Whether no byte of the request has left, and none can leave any more: either TLS was not given any of it, and it
    /// was taken back, or the connection's task has ended, and the socket has taken nothing since.
    fn is_untouched(&self) -> bool {
        let connection = self.place.connection();
        self.place.machine().take_back(self.place.id) || (connection.is_gone() && connection.written() == self.written)
    }

    fn timed_out(&self) -> Failure {
        let patience = match &self.upload {
            None => self.patience.response,
            Some(upload) if upload.waits_for_bank() => self.patience.idle,
            Some(_) => return Failure::RequestBody(BodyError::Idle(self.patience.idle)),
        };
        let reads = self.place.machine().reads();
        if reads == self.reads {
            // Perhaps nobody is there any more. The next request is not to find that out, too.
            self.place.connection().be_over(None);
        }
        Failure::ResponseTimeout(patience)
    }
}

/// Whether the bank says that it has not processed the request: it refused the stream, or goes away and names an
/// earlier stream as the last (RFC 9113, section 8.7).
fn is_refused(failure: &Failure) -> bool {
    let Failure::Http2(StreamError { scope, by: Side::Peer, reason }) = failure else { return false };
    *scope == Scope::Connection || *reason == Reason::REFUSED_STREAM
}
