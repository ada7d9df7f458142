//! Serving HTTP/1.1 and HTTP/1.0: one request after the other, in the connection's own task.
//!
//! A request costs no task and no timer of its own. Buffers and the channel for interim answers are lent by the worker
//! while there is something to do, so a connection that rests costs little more than its socket.

mod answer;
mod body;
mod gather;
mod head;
mod linger;
mod outgoing;
mod spare;
mod wire;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::{Method, Version};
use tokio_util::sync::CancellationToken;

use crate::message::http1::{HeadScan, RequestHead, persists, request_framing};
use crate::message::{Request, Response};

use super::rest::close_at_rest;
use super::{Caller, Departure, Malformed, ServeSettings, Service, Stream};
use crate::words::Deadline;

use head::Arrival;
use outgoing::Outgoing;
use spare::{Channel, take_channel};
use wire::Shared;

pub(super) use spare::{give_read_buffer, take_read_buffer};

/// A connection as its driver sees it.
struct Connection<'a, S> {
    wire: Shared<S>,
    out: Outgoing,
    deadline: Deadline,
    settings: &'a ServeSettings,
    drain: &'a CancellationToken,
    scan: HeadScan,
    /// Whether something of the next head has come.
    has_begun: bool,
    /// How many requests there were.
    exchanges: u64,
    interims: Option<Channel>,
    /// Of the request that is under way.
    departure: Departure,
}

/// What the answer has to know of its request.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    is_head: bool,
    version: Version,
    /// Whether the app keeps the connection open.
    persists: bool,
    /// Whether the app may withhold the body, because it was not told to go on.
    withholds_body: bool,
}

/// How a connection goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// With the next request.
    Persist,
    /// Not, but the answer is complete and has to arrive.
    Close,
    /// Not: the answer broke off, and the app must not take it for complete.
    BreakOff,
    /// The app is gone.
    Gone,
}

/// Serves one connection, of which `received` has been read.
pub(super) async fn serve<S: Stream, V: Service>(
    io: S,
    received: BytesMut,
    caller: &Caller,
    service: &V,
    settings: &ServeSettings,
    drain: &CancellationToken,
) {
    let mut connection = Connection::new(io, received, settings, drain);
    let mut draining = Box::pin(close_at_rest(drain));
    let departure = connection.departure.clone();
    loop {
        let head = match poll_fn(|cx| connection.poll_head(draining.as_mut(), cx)).await {
            Arrival::Head(head) => head,
            Arrival::Malformed(malformed) => return connection.refuse(service.refuse(&malformed, caller)).await,
            Arrival::Closed => return,
        };
        let (request, mut exchange) = match connection.begin(head) {
            Ok(begun) => begun,
            Err(malformed) => return connection.refuse(service.refuse(&malformed, caller)).await,
        };
        // In a box, so that a connection that rests does not carry the room for it.
        let mut call = Box::pin(service.call(request, caller, &departure));
        let response = poll_fn(|cx| connection.poll_response(call.as_mut(), &mut exchange, cx)).await;
        drop(call);
        let Some(response) = response else { return };
        match connection.answer(response, exchange).await {
            After::Persist => {}
            After::Close => return connection.linger().await,
            After::BreakOff => return connection.wire.lock().io.break_off(),
            After::Gone => return,
        }
    }
}

impl<'a, S: Stream> Connection<'a, S> {
    fn new(io: S, received: BytesMut, settings: &'a ServeSettings, drain: &'a CancellationToken) -> Self {
        Self {
            wire: Shared::new(io, received),
            out: Outgoing::default(),
            deadline: Deadline::never(),
            settings,
            drain,
            scan: HeadScan::default(),
            has_begun: false,
            exchanges: 0,
            interims: None,
            departure: Departure::watched(),
        }
    }

    /// The request with this head, and what its answer has to know of it.
    fn begin(&mut self, head: RequestHead) -> Result<(Request, Exchange), Malformed> {
        let framing = request_framing(&head)?;
        self.exchanges += 1;
        self.departure.take_back();
        let body = body::body(&self.wire, self.exchanges, framing, self.settings.idle);
        let RequestHead { method, target, version, mut fields } = head;
        let expects = fields.get("expect").is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
        if version == Version::HTTP_10 && expects {
            // HTTP/1.0 has no interim answers, so the expectation means nothing (RFC 9110, section 10.1.1).
            fields.remove("expect");
        }
        let exchange = Exchange {
            is_head: method == Method::HEAD,
            version,
            persists: persists(version, &fields),
            withholds_body: expects && version == Version::HTTP_11,
        };
        let interim = (version == Version::HTTP_11).then(|| self.interims.insert(take_channel()).0.clone().into());
        Ok((Request { method, target, version, fields, body, interim }, exchange))
    }

    /// The service's answer, or `None` if the app has hung up. Interim answers go out in the meantime.
    fn poll_response<F: Future<Output = Response>>(
        &mut self,
        call: Pin<&mut F>,
        exchange: &mut Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Response>> {
        if let Poll::Ready(response) = call.poll(cx) {
            return Poll::Ready(Some(response));
        }
        self.take_interims(exchange, Some(cx));
        if self.poll_write(cx) == Poll::Ready(false) {
            return Poll::Ready(None);
        }
        let mut wire = self.wire.lock();
        if wire.poll_gone(cx).is_ready() || (wire.ended_late && !self.departure.has_begun()) {
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    /// Queues the interim answers that there are; with a context, whoever sends the next one wakes its task.
    fn take_interims(&mut self, exchange: &mut Exchange, mut cx: Option<&mut Context<'_>>) {
        let Some((_, receiver)) = &mut self.interims else { return };
        loop {
            let next = match &mut cx {
                Some(cx) => match receiver.poll_recv(cx) {
                    Poll::Ready(interim) => interim,
                    Poll::Pending => None,
                },
                None => receiver.try_recv().ok(),
            };
            let Some(interim) = next else { return };
            exchange.withholds_body &= interim.status != http::StatusCode::CONTINUE;
            self.out.interim(&interim);
        }
    }

    /// Writes what waits: true when nothing waits any more, false when the app cannot be written to, or does not read.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let before = self.out.waiting();
        if before == 0 {
            return Poll::Ready(true);
        }
        let flushed = self.out.poll_flush(&mut self.wire.lock().io, cx);
        if let Poll::Ready(result) = flushed {
            self.deadline.clear();
            return Poll::Ready(result.is_ok());
        }
        if self.out.waiting() < before {
            self.deadline.clear();
        }
        self.deadline.start(self.settings.idle);
        ready!(self.deadline.poll(cx));
        // An app that reads slowly makes room by and by, long before the system calls it room.
        if !self.out.push(&self.wire.lock().io) {
            return Poll::Ready(false);
        }
        self.poll_write(cx)
    }

    /// Answers what is not a request, and closes.
    async fn refuse(&mut self, response: Response) {
        let exchange = Exchange { is_head: false, version: Version::HTTP_11, persists: false, withholds_body: false };
        if self.answer(response, exchange).await == After::Close {
            self.linger().await;
        }
    }
}
