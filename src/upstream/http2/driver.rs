//! The task that drives a connection: it reads and writes for all streams, and asks a silent bank for signs of life.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};

use crate::upstream::deadline::Deadline;
use crate::upstream::limit::Permit;

use super::connection::Status;
use super::io::{Io, Writer};

/// A bank that has said nothing for so long is asked.
const SILENCE: Duration = Duration::from_secs(20);
/// And has so long for the answer.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection with its socket, its permit and its keep-alive.
pub(super) struct Driver {
    connection: Connection<Io, Bytes>,
    writer: Writer,
    status: Arc<Status>,
    pings: Option<PingPong>,
    /// The reads when the wait began.
    reads: u64,
    is_asked: bool,
    deadline: Deadline,
    _permit: Permit,
}

impl Driver {
    pub(super) fn new(
        mut connection: Connection<Io, Bytes>,
        writer: Writer,
        status: Arc<Status>,
        permit: Permit,
    ) -> Self {
        let pings = connection.ping_pong();
        let mut deadline = Deadline::never();
        deadline.set(SILENCE);
        Self { connection, writer, status, pings, reads: 0, is_asked: false, deadline, _permit: permit }
    }

    /// Whether the bank is alive, as far as is known.
    fn watch_silence(&mut self, cx: &mut Context<'_>) -> bool {
        while self.deadline.poll(cx).is_ready() {
            let reads = self.status.watch.reads();
            let is_silent = reads == self.reads;
            self.reads = reads;
            if is_silent && self.is_asked {
                return false;
            }
            self.is_asked = is_silent && self.ask();
            self.deadline.set(if self.is_asked { ANSWER } else { SILENCE });
        }
        true
    }

    /// The answer itself is of no interest, since any read is a sign of life. But it must be taken for the next ping.
    fn ask(&mut self) -> bool {
        self.pings.as_mut().is_some_and(|pings| {
            let _ = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
            pings.send_ping(Ping::opaque()).is_ok()
        })
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = &mut *self;
        if Pin::new(&mut driver.connection).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Poll::Ready(Err(_)) = driver.writer.poll_flush(cx) {
            return Poll::Ready(());
        }
        if driver.status.watch.reads() > 0 {
            // The first that a bank says are its SETTINGS (RFC 9113, section 3.4).
            driver.status.settle(driver.connection.max_concurrent_send_streams());
        }
        if driver.watch_silence(cx) { Poll::Pending } else { Poll::Ready(()) }
    }
}

/// However it ends: streams that are open fail with the connection.
impl Drop for Driver {
    fn drop(&mut self) {
        self.status.be_gone();
    }
}
