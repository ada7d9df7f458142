//! The task that drives a connection: it reads and writes for all streams, and asks a silent bank for signs of life.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWrite;

use crate::message::http2::StreamError;
use crate::upstream::Failure;
use crate::upstream::exchange::refusal_after_handshake;
use crate::upstream::limit::Permit;
use crate::upstream::tls_stream::TlsStream;
use crate::words::Deadline;

use super::connection::Connection;

/// So long other requests wait for the bank's first words.
const LATE: Duration = Duration::from_secs(1);
/// And for so long after that the one that is under way does.
const FIRST_WORDS: Duration = Duration::from_secs(9);
/// A bank that has said nothing for so long is asked.
const SILENCE: Duration = Duration::from_secs(20);
/// The same while a request is under way.
const SILENCE_IN_USE: Duration = Duration::from_secs(5);
/// After so long without an answer requests go elsewhere. Those under way have timeouts of their own: the bank may be
/// busy with them, and comes to the PING only when it has read what was sent before.
const SUSPECT: Duration = Duration::from_secs(5);
/// After so long a connection that carries none is given up.
const ANSWER: Duration = Duration::from_secs(10);
/// While a request is under way, it is looked so often whether something has come: that costs a request nothing.
const BEAT: Duration = Duration::from_secs(1);
/// A bank that does not read any more may have said why: so long that is waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// As much as a TLS record carries.
const READ: usize = 16 * 1024;

/// A connection with its socket, its permit and its keep-alive.
pub(super) struct Driver {
    stream: TlsStream,
    input: BytesMut,
    connection: Arc<Connection>,
    /// Why nothing can be written any more.
    write_error: Option<io::Error>,
    /// How long is waited at a time.
    beat: Duration,
    /// How often something had come when the wait began.
    reads_before: u64,
    /// For how long nothing has come, or since it was asked.
    silence: Duration,
    is_asked: bool,
    deadline: Deadline,
    _permit: Permit,
}

impl Driver {
    pub(super) fn new(stream: TlsStream, connection: Arc<Connection>, permit: Permit) -> Self {
        let mut deadline = Deadline::never();
        deadline.set(LATE);
        Self {
            stream,
            input: BytesMut::new(),
            connection,
            write_error: None,
            beat: LATE,
            reads_before: 0,
            silence: Duration::ZERO,
            is_asked: false,
            deadline,
            _permit: permit,
        }
    }

    /// One turn: takes in all that has come, then writes all that this and others have to say. An error is the end.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        self.connection.machine().register_driver(cx);
        if let Err(failure) = self.read(cx) {
            return Poll::Ready(failure);
        }
        // If it cannot be written, the reason may be there by now, and is what those who wait for this connection are
        // to be told.
        if self.write_error.is_none()
            && !self.say(cx)
            && let Err(failure) = self.read(cx)
        {
            return Poll::Ready(failure);
        }
        self.tell();
        if self.connection.is_done() {
            // If it does not leave at once, nobody waits for it.
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
            return Poll::Ready(closed(io::ErrorKind::NotConnected.into()));
        }
        self.watch_silence(cx)
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        loop {
            self.input.reserve(READ);
            let Poll::Ready(read) = self.stream.poll_fill(cx, &mut self.input, usize::MAX) else { return Ok(()) };
            match read {
                Ok(0) => return Err(self.ended(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Err(self.ended(error)),
            }
            let received = self.connection.machine().receive(&mut self.input);
            received.map_err(|error| self.say_goodbye(error, cx))?;
        }
    }

    /// What the end of the connection means. Under TLS 1.3 the bank's refusal of our certificate shows here.
    fn ended(&mut self, error: io::Error) -> Failure {
        match refusal_after_handshake(&self.stream, &error) {
            Some(refusal) => refusal,
            None => closed(self.write_error.take().unwrap_or(error)),
        }
    }

    /// Tells the bank what was wrong, if it still takes it.
    fn say_goodbye(&mut self, error: StreamError, cx: &mut Context<'_>) -> Failure {
        self.connection.machine().go_away(error.reason);
        let _ = self.write(cx);
        Failure::Http2(error)
    }

    /// Writes what there is to say; whether that can be. If not, the bank's last words are waited for.
    fn say(&mut self, cx: &mut Context<'_>) -> bool {
        self.write_error = self.write(cx).err();
        if self.write_error.is_some() {
            self.deadline.set(LAST_WORDS);
        }
        self.write_error.is_none()
    }

    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut machine = self.connection.machine();
        let mut has_written = false;
        while !machine.out.waiting().is_empty() {
            let Poll::Ready(bytes) = Pin::new(&mut self.stream).poll_write(cx, machine.out.waiting()) else { break };
            match bytes {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => machine.out.advance(bytes),
                Err(error) => {
                    // TLS may have taken some of it, and the socket too, before that.
                    machine.out.give_up();
                    return Err(error);
                }
            }
            has_written = true;
        }
        if has_written {
            machine.has_written();
        }
        // TLS may hold back what the socket did not take.
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells the pool what has become of the connection.
    fn tell(&self) {
        let machine = self.connection.machine();
        let (most, takes_no_more) = (machine.most_streams(), machine.takes_no_more());
        drop(machine);
        let is_over = takes_no_more || self.write_error.is_some() || self.stream.is_worn();
        // Before the bank has said anything nobody else uses the connection, and why it ends will be told then.
        let Some(most) = most else { return };
        self.connection.settle(most);
        if is_over {
            self.connection.be_over(None);
        }
    }

    /// Ready if the bank is not alive, as far as is known, and nobody waits for it to be.
    fn watch_silence(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let is_in_use = self.connection.is_in_use();
        if is_in_use && self.beat > BEAT && self.connection.is_settled() && self.write_error.is_none() {
            // What begins in a long wait does not wait for its end.
            self.wait(BEAT);
        }
        while self.deadline.poll(cx).is_ready() {
            if let Some(error) = self.write_error.take() {
                return Poll::Ready(closed(error));
            }
            if self.beat == LATE && !self.connection.is_settled() {
                self.connection.be_late();
                self.wait(FIRST_WORDS);
                continue;
            }
            let wants_to_ask = self.count_silence(is_in_use);
            let is_given_up = self.is_asked && self.silence >= ANSWER && !is_in_use;
            if is_given_up || !self.connection.is_settled() {
                return Poll::Ready(closed(io::ErrorKind::TimedOut.into()));
            }
            if self.is_asked && self.silence >= SUSPECT {
                self.connection.be_over(None);
            }
            self.wait(match (is_in_use, self.is_asked) {
                (true, _) => BEAT,
                (false, true) => ANSWER,
                (false, false) => SILENCE,
            });
            if wants_to_ask {
                self.rest_and_ask(cx);
            }
        }
        Poll::Pending
    }

    /// Counts a wait that has ended; whether the bank is to be asked now.
    fn count_silence(&mut self, is_in_use: bool) -> bool {
        let reads = self.connection.machine().reads();
        if reads != std::mem::replace(&mut self.reads_before, reads) {
            (self.silence, self.is_asked) = (Duration::ZERO, false);
            return false;
        }
        self.silence += self.beat;
        let wants_to_ask = !self.is_asked && self.silence >= if is_in_use { SILENCE_IN_USE } else { SILENCE };
        if wants_to_ask {
            (self.silence, self.is_asked) = (Duration::ZERO, true);
        }
        wants_to_ask
    }

    fn wait(&mut self, beat: Duration) {
        self.beat = beat;
        self.deadline.set(beat);
    }

    fn rest_and_ask(&mut self, cx: &mut Context<'_>) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.connection.machine().ping();
        if !self.say(cx) {
            self.tell();
        }
        self.connection.machine().out.rest();
    }
}

fn closed(error: io::Error) -> Failure {
    Failure::Closed(error)
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.turn(cx).map(|failure| self.connection.be_gone(failure))
    }
}

/// However it ends: streams that are open fail with the connection. The first reason counts.
impl Drop for Driver {
    fn drop(&mut self) {
        self.connection.be_gone(closed(io::ErrorKind::NotConnected.into()));
    }
}
