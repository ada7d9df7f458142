//! One request and the head of its answer, on one connection.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use http::{Method, StatusCode, Version};

use crate::message::http1::framing::may_have_content;
use crate::message::http1::{HeadLimits, HeadScan, ResponseHead, parse_response_head, persists, response_framing};
use crate::message::{BodyError, Interim, Request, Response};
use crate::upstream::exchange::{Broken, Patience, refusal_after_handshake};
use crate::upstream::{Failure, Progress};

use super::answer;
use super::connection::Connection;
use super::framing::speaks_of_content;
use super::outgoing::{self, Outgoing};

/// Room for an answer's head, and often its body.
const ROOM: usize = 8 * 1024;
/// Interim answers that one request may get.
const MOST_INTERIM: usize = 64;

/// Where the sending of the request stands.
pub(super) enum Upload {
    /// Under way.
    Going(Outgoing),
    /// All has left. The buffer can be used again.
    Done(Vec<u8>),
    /// The rest will not be sent.
    GivenUp,
}

/// Sends `request` on `connection` and waits for the answer's head. What is left of the request's body then is sent
/// while the answer's is read. If this future is dropped, the connection closes.
pub(in crate::upstream) async fn exchange(
    connection: Box<Connection>,
    request: &mut Request,
    patience: Patience,
) -> Result<Response, Broken> {
    let mut exchange = Exchange::new(connection, request, patience);
    stand_back().await;
    match poll_fn(|cx| exchange.poll(cx)).await {
        Ok(head) => exchange.into_response(head),
        Err(failure) => Err(exchange.into_broken(failure)),
    }
}

/// Lets the worker's other tasks that are ready run first. They read what has arrived, and then all of them write: each
/// side wakes the other once for many messages instead of once for each. At 64 connections this is worth a fifth of the
/// throughput; a request that is alone pays some nanoseconds.
async fn stand_back() {
    let mut has_stood_back = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_stood_back, true) {
            return Poll::Ready(());
        }
        // Unlike tokio's own yield, this does not ask the system for events in between.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct Exchange<'a> {
    /// Without its body, which is in the upload.
    request: &'a mut Request,
    connection: Box<Connection>,
    upload: Upload,
    /// Why nothing more can be sent. The bank may have answered all the same.
    write_error: Option<io::Error>,
    /// What the socket had taken before.
    written: u64,
    scan: HeadScan,
    /// Whether anything of an answer has come.
    has_read: bool,
    interim: usize,
    /// Whether what follows an interim answer may belong to it.
    is_doubtful: bool,
    patience: Patience,
}

impl<'a> Exchange<'a> {
    fn new(mut connection: Box<Connection>, request: &'a mut Request, patience: Patience) -> Self {
        Self {
            upload: Upload::Going(Outgoing::new(request, connection.take_write_buffer())),
            request,
            write_error: None,
            written: connection.written().get(),
            connection,
            scan: HeadScan::default(),
            has_read: false,
            interim: 0,
            is_doubtful: false,
            patience,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, Failure>> {
        self.send(cx)?;
        if let Poll::Ready(head) = self.poll_head(cx) {
            return Poll::Ready(head);
        }
        if self.is_untouched()
            && let Some(error) = self.write_error.take()
        {
            return Poll::Ready(Err(Failure::Closed(error)));
        }
        ready!(self.connection.deadline.poll(cx));
        Poll::Ready(Err(self.timed_out()))
    }

    /// Sends what can be sent.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Upload::Going(outgoing) = &mut self.upload else { return Ok(()) };
        if self.write_error.is_some() {
            return Ok(());
        }
        match outgoing.poll_send(&mut self.connection.stream, cx) {
            Poll::Ready(Ok(())) => {
                if let Upload::Going(outgoing) = std::mem::replace(&mut self.upload, Upload::GivenUp) {
                    self.upload = Upload::Done(outgoing.into_buffer());
                }
                self.connection.deadline.set(self.patience.response);
            }
            Poll::Ready(Err(outgoing::Broken::Body(error))) => return Err(Failure::RequestBody(error)),
            Poll::Ready(Err(outgoing::Broken::Write(error))) => {
                self.write_error = Some(error);
                self.connection.deadline.set(self.patience.response);
            }
            Poll::Pending if outgoing.has_moved() => self.connection.deadline.set(self.patience.idle),
            Poll::Pending => self.connection.deadline.start(self.patience.idle),
        }
        Ok(())
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, Failure>> {
        let limits = HeadLimits::default();
        loop {
            let head = parse_response_head(&mut self.connection.read, &mut self.scan, &limits)
                .map_err(|error| Failure::Malformed(error.reason()))?;
            match head {
                Some(head) if head.status.is_informational() => self.pass_on(head)?,
                Some(head) => return Poll::Ready(Ok(head)),
                None => match ready!(self.connection.poll_fill(cx, ROOM)) {
                    Ok(0) => return Poll::Ready(Err(self.closed(io::ErrorKind::UnexpectedEof.into()))),
                    Ok(_) => self.has_read = true,
                    Err(error) => return Poll::Ready(Err(self.closed(error))),
                },
            }
        }
    }

    fn pass_on(&mut self, head: ResponseHead) -> Result<(), Failure> {
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::Malformed("it switches protocols unasked"));
        }
        self.interim += 1;
        self.is_doubtful |= speaks_of_content(&head.fields);
        if self.interim > MOST_INTERIM {
            return Err(Failure::Malformed("there are too many interim answers"));
        }
        if let Some(interim) = &self.request.interim {
            // An app that has gone shows elsewhere.
            let _ = interim.send(Interim { status: head.status, fields: head.fields });
        }
        Ok(())
    }

    fn into_response(mut self, head: ResponseHead) -> Result<Response, Broken> {
        let framing = match response_framing(&self.request.method, &head) {
            Ok(framing) => framing,
            Err(error) => {
                let failure = Failure::Malformed(error.reason());
                return Err(Broken { failure, progress: Progress::MayHaveArrived, is_whole: false });
            }
        };
        self.connection.heed_keep_alive(&head.fields);
        // A 304 and an answer to HEAD say how long the content would be (RFC 9110, section 8.6).
        let describes = self.request.method == Method::HEAD || head.status == StatusCode::NOT_MODIFIED;
        let has_none = !describes && !may_have_content(head.status);
        let is_doubtful = self.is_doubtful || has_none && speaks_of_content(&head.fields);
        let persists = persists(head.version, &head.fields) && persists(Version::HTTP_11, &self.request.fields);
        let upload = if self.write_error.is_some() { Upload::GivenUp } else { self.upload };
        let body = answer::begin(self.connection, upload, framing, persists && !is_doubtful, self.patience.idle);
        let ResponseHead { status, reason, version, fields } = head;
        Ok(Response { status, reason, version, fields, body })
    }

    fn into_broken(mut self, failure: Failure) -> Broken {
        if !self.is_untouched() && !failure.is_about_our_certificate() {
            return Broken { failure, progress: Progress::MayHaveArrived, is_whole: false };
        }
        let is_dead = matches!(failure, Failure::Closed(_));
        let body = match &mut self.upload {
            Upload::Going(outgoing) if is_dead && self.connection.is_reused() => outgoing.take_body(),
            _ => None,
        };
        let is_whole = body.is_some();
        self.request.body = body.unwrap_or_default();
        Broken { failure, progress: Progress::NothingSent, is_whole }
    }

    /// Whether no byte of the request has left.
    fn is_untouched(&self) -> bool {
        self.connection.written().get() == self.written
    }

    /// What the end of the connection means. Under TLS 1.3 the bank's refusal of our certificate shows here.
    fn closed(&mut self, error: io::Error) -> Failure {
        if let Some(refusal) = refusal_after_handshake(&self.connection.stream, &error) {
            return refusal;
        }
        self.give_up_those_idle();
        Failure::Closed(self.write_error.take().unwrap_or(error))
    }

    /// A connection that had rested has failed without a word: those that rested as long are in no better state.
    fn give_up_those_idle(&self) {
        if !self.has_read && self.connection.is_reused() {
            self.connection.give_up_those_idle();
        }
    }

    fn timed_out(&mut self) -> Failure {
        let patience = match (&self.upload, self.write_error.take()) {
            (_, Some(error)) => return Failure::Closed(error),
            (Upload::Going(outgoing), _) if !outgoing.waits_for_bank() => {
                return Failure::RequestBody(BodyError::Idle(self.patience.idle));
            }
            (Upload::Going(_), _) => self.patience.idle,
            _ => self.patience.response,
        };
        self.give_up_those_idle();
        Failure::ResponseTimeout(patience)
    }
}
