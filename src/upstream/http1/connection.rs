//! An open HTTP/1.1 connection, in use or idle.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use crate::message::Fields;
use crate::upstream::limit::Permit;
use crate::upstream::pool::Pool;
use crate::upstream::tls_stream::TlsStream;
use crate::upstream::wire::Written;
use crate::words::Deadline;

/// The content of a TLS record at most (RFC 8446, section 5.1).
const RECORD: usize = 16 * 1024;
/// Write buffers beyond this are not kept for the next request.
const MOST_KEPT: usize = 16 * 1024;

/// A connection with what belongs to it. Whoever owns it speaks on it; dropped, it closes.
pub(in crate::upstream) struct Connection {
    pub(in crate::upstream) stream: TlsStream,
    /// What has been read and not used yet.
    pub(super) read: BytesMut,
    /// Room for the next request's head.
    write: Vec<u8>,
    /// The end of what is waited for. It stays from request to request, since to arm a timer costs more than to let
    /// it fire for nothing.
    pub(super) deadline: Deadline,
    is_reused: bool,
    /// The sweep of its pool at which it came back last.
    since: u32,
    /// How long it may be idle, as far as the bank has said.
    keep_alive: Option<Duration>,
    /// The end of that time.
    fit_until: Option<Instant>,
    pool: Weak<Pool>,
    _permit: Permit,
}

/// The socket, and nothing of what it carries: tokens are on their way here.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({:?})", self.stream.wire().peer())
    }
}

impl Connection {
    /// A connection that has carried nothing yet.
    pub(in crate::upstream) fn new(stream: TlsStream, permit: Permit, pool: &Arc<Pool>) -> Box<Self> {
        let (read, write) = (BytesMut::new(), Vec::new());
        let (deadline, pool) = (Deadline::never(), Arc::downgrade(pool));
        let (keep_alive, fit_until) = (None, None);
        let (is_reused, since) = (false, 0);
        Box::new(Self { stream, read, write, deadline, is_reused, since, keep_alive, fit_until, pool, _permit: permit })
    }

    /// Whether an idle connection can carry a request: it has not closed, is not about to, is not worn, and says nothing
    /// unasked. Session tickets are taken in on the way.
    pub(in crate::upstream) fn is_fit(&mut self) -> bool {
        if self.fit_until.is_some_and(|until| Instant::now() >= until) || self.stream.is_worn() {
            return false;
        }
        let mut cx = Context::from_waker(Waker::noop());
        // A task that has done much in this turn would be told that nothing has come, whatever has.
        let look = poll_fn(|cx| self.stream.poll_fill(cx, &mut BytesMut::new(), 0));
        // What has begun to come may be anything.
        pin!(unconstrained(look)).poll(&mut cx).is_pending() && !self.stream.holds_part()
    }

    /// Whether it has carried a request before.
    pub(in crate::upstream) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// It has come back to its pool, at this sweep.
    pub(in crate::upstream) fn mark_reused(&mut self, now: u32) {
        (self.is_reused, self.since) = (true, now);
    }

    /// The bank does not answer on it, or ends it. A firewall that has forgotten it has forgotten those that were idle for as
    /// long, and a bank or balancer that was started anew all of them.
    pub(super) fn give_up_those_idle(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.close_idle_since(self.since);
        }
    }

    /// Gives the buffers back while nothing happens.
    pub(in crate::upstream) fn rest(&mut self) {
        self.read = BytesMut::new();
        self.write = Vec::new();
        self.stream.rest();
        self.deadline = Deadline::never();
    }

    /// Closes an idle connection politely: the alert `close_notify` goes first, if the socket takes it at once.
    pub(in crate::upstream) fn close(mut self: Box<Self>) {
        let mut cx = Context::from_waker(Waker::noop());
        // There is nobody to tell if it does not.
        let _ = Pin::new(&mut self.stream).poll_shutdown(&mut cx);
    }

    /// Back to the pool, between two messages.
    pub(super) fn release(mut self: Box<Self>, write: Vec<u8>) {
        if let Some(pool) = self.pool.upgrade() {
            if write.capacity() <= MOST_KEPT {
                self.write = write;
                self.write.clear();
            }
            self.deadline.clear();
            self.fit_until = self.keep_alive.map(|patience| Instant::now() + patience);
            self.reach_for(0);
            pool.take_back(self);
        }
    }

    /// Heeds what an answer says of how long the connection is kept.
    pub(super) fn heed_keep_alive(&mut self, fields: &Fields) {
        self.keep_alive = keep_alive(fields).or(self.keep_alive);
    }

    /// An empty buffer for the request.
    pub(super) fn take_write_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.write)
    }

    /// How much is to be read from the socket at once; never less than usual.
    pub(super) fn reach_for(&mut self, bytes: usize) {
        self.stream.reach_for(bytes);
    }

    /// Whether the buffer has memory of so many bytes.
    #[cfg(test)]
    pub(in crate::upstream) fn keeps(&mut self, bytes: usize) -> bool {
        self.read.try_reclaim(bytes)
    }

    /// The counter of bytes that the socket has taken.
    pub(super) fn written(&self) -> &Written {
        self.stream.wire().written()
    }

    /// Reads what there is, up to `room` or a TLS record if that is more: how much it was, 0 at the end of the stream.
    /// Where the buffer has no room for a record, it gets room for `room` bytes.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < room.min(RECORD) {
            self.read.reserve(room);
        }
        // The buffer may have grown by more than was asked for.
        self.stream.poll_fill(cx, &mut self.read, room.max(RECORD))
    }

    /// Takes all that has come and does not lie in the buffer: nothing at the end of the stream.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        self.stream.poll_take(cx)
    }
}

/// How long an idle connection may be used of which the bank says `Keep-Alive: timeout=…`: somewhat less, so that no
/// request crosses the bank's close on its way, and may have arrived.
fn keep_alive(fields: &Fields) -> Option<Duration> {
    let seconds: u32 = fields.list("keep-alive").find_map(|parameter| {
        let (name, value) = std::str::from_utf8(parameter).ok()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().parse().ok())?
    })?;
    let patience = Duration::from_secs(seconds.into());
    Some(patience.saturating_sub(Duration::from_secs(1)).max(patience.min(Duration::from_secs(1)) / 2))
}
