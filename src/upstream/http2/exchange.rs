//! One request and the head of its answer, on a stream of a connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use h2::Reason;
use h2::client::ResponseFuture;
use http::StatusCode;

use crate::message::{BodyError, Fields, Interim, Request, Response, Size};
use crate::upstream::deadline::Deadline;
use crate::upstream::exchange::{Broken, Patience};
use crate::upstream::{Failure, Progress};

use super::connection::Lease;
use super::outgoing::{self, Outgoing};
use super::{answer, head};

/// Interim answers that one request may get.
const MOST_INTERIM: usize = 64;

/// Sends `request` on a stream and waits for the answer's head. What is left of the request's body then is sent while
/// the answer's is read. If this future is dropped, the stream is reset.
pub(in crate::upstream) async fn exchange(
    mut lease: Lease,
    mut request: Request,
    patience: Patience,
) -> Result<Response, Broken> {
    let unsent = |failure, unsent| Err(Broken { failure, progress: Progress::NothingSent, unsent });
    let head = match head::request_head(&request) {
        Ok(head) => head,
        Err(failure) => return unsent(failure, None),
    };
    // Only an error counts: whether there is room is known, and the library holds back what is too much.
    if let Poll::Ready(Err(error)) = lease.sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
        lease.status().end();
        let again = lease.is_reused().then(|| Box::new(request));
        return unsent(lease.status().failed(error), again);
    }
    let written = lease.status().watch.written();
    let has_body = request.body.size() != Size::Exact(0);
    let (response, stream) = match lease.sender.send_request(head, !has_body) {
        Ok(sent) => sent,
        Err(error) => return unsent(Failure::Http2(error), None),
    };
    let upload = has_body.then(|| Outgoing::new(stream, std::mem::take(&mut request.body)));
    let mut deadline = Deadline::never();
    if !has_body {
        deadline.set(patience.response);
    }
    let mut exchange = Exchange { request, lease, response, upload, written, has_body, interim: 0, patience, deadline };
    match poll_fn(|cx| exchange.poll(cx)).await {
        Ok(response) => {
            Ok(answer::begin(exchange.lease, exchange.upload, &exchange.request.method, response, patience.idle))
        }
        Err(failure) => Err(exchange.into_broken(failure)),
    }
}

struct Exchange {
    /// Without its body, if it has one: that is in the upload.
    request: Request,
    has_body: bool,
    lease: Lease,
    response: ResponseFuture,
    /// `None` when all is with the connection's task, or nothing more will be sent.
    upload: Option<Outgoing>,
    /// What the socket had taken before.
    written: u64,
    interim: usize,
    patience: Patience,
    deadline: Deadline,
}

impl Exchange {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<http::Response<h2::RecvStream>, Failure>> {
        self.send(cx)?;
        self.pass_on(cx)?;
        match Pin::new(&mut self.response).poll(cx) {
            Poll::Ready(Ok(response)) => return Poll::Ready(Ok(response)),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(self.lease.status().failed(error))),
            Poll::Pending => {}
        }
        ready!(self.deadline.poll(cx));
        Poll::Ready(Err(self.timed_out()))
    }

    /// Sends what can be sent.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        match upload.poll_send(cx) {
            Poll::Pending if upload.has_moved() => self.deadline.set(self.patience.idle),
            Poll::Pending => self.deadline.start(self.patience.idle),
            Poll::Ready(Err(outgoing::Broken::Body(error))) => return Err(Failure::RequestBody(error)),
            Poll::Ready(Ok(()) | Err(outgoing::Broken::Stream)) => {
                self.upload = None;
                self.deadline.set(self.patience.response);
            }
        }
        Ok(())
    }

    /// Passes interim answers on.
    fn pass_on(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        while let Poll::Ready(Some(Ok(head))) = self.response.poll_informational(cx) {
            self.interim += 1;
            if head.status() == StatusCode::SWITCHING_PROTOCOLS || self.interim > MOST_INTERIM {
                return Err(Failure::Malformed("its interim answers are not those of HTTP/2"));
            }
            if let Some(interim) = &self.request.interim {
                // An app that has gone shows elsewhere.
                let _ = interim.send(Interim { status: head.status(), fields: Fields::from(head.headers()) });
            }
        }
        Ok(())
    }

    fn into_broken(self, failure: Failure) -> Broken {
        let status = self.lease.status();
        let is_untouched = status.is_gone() && status.watch.written() == self.written;
        if !is_untouched && !is_refused(&failure) {
            return Broken { failure, progress: Progress::MayHaveArrived, unsent: None };
        }
        let is_dead = matches!(failure, Failure::Closed(_)) && is_untouched;
        let unsent = (is_dead && !self.has_body && self.lease.is_reused()).then(|| Box::new(self.request));
        Broken { failure, progress: Progress::NothingSent, unsent }
    }

    fn timed_out(&self) -> Failure {
        match &self.upload {
            None => Failure::ResponseTimeout(self.patience.response),
            Some(upload) if upload.waits_for_bank() => Failure::ResponseTimeout(self.patience.idle),
            Some(_) => Failure::RequestBody(BodyError::Idle(self.patience.idle)),
        }
    }
}

/// Whether the bank says that it has not processed the request: it refused the stream, or goes away and names an
/// earlier stream as the last (RFC 9113, section 8.7).
fn is_refused(failure: &Failure) -> bool {
    let Failure::Http2(error) = failure else { return false };
    error.is_remote() && (error.is_go_away() || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)))
}
