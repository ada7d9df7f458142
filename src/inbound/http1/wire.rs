//! The connection as its driver and a request's body share it: one of them reads at a time.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::inbound::Stream;
use crate::message::http1::{Decoded, Decoder};
use crate::message::{BodyError, Frame};

use super::spare::{SMALL_READ, give_read_buffer, take_read_buffer};

/// A body is read in pieces that grow to this.
const LARGE_READ: usize = 64 * 1024;
/// So much of later requests is read while one is under way.
const MOST_AHEAD: usize = 16 * 1024;
/// And so much of a body that nobody has asked for yet: the app's end shows behind it.
const MOST_UNASKED: usize = 64 * 1024;
/// An app that closes its side only says so with its request or so soon after it. On the wire, one that gives up and
/// closes altogether says the same, but later.
const HALF_CLOSE: Duration = Duration::from_millis(500);

/// The connection with what was read from it.
pub(super) struct Wire<S> {
    pub(super) io: S,
    /// What was read and not yet used.
    pub(super) received: BytesMut,
    /// Whether the app has said that it sends nothing more.
    pub(super) ended: bool,
    /// Whether it said so long after its last byte.
    pub(super) ended_late: bool,
    /// When the app's last byte was seen; `None` until the end is looked for.
    quiet_since: Option<Instant>,
    upload: Option<Upload>,
    read_size: usize,
}

/// A request's body that comes by and by.
struct Upload {
    /// Which request it belongs to: a body that outlives its request must not read from the next one.
    exchange: u64,
    decoder: Decoder,
    failed: bool,
    /// Whether any of it was asked for. Until then the driver reads.
    asked_for: bool,
    /// Whether somebody still holds the body.
    held: bool,
    /// The driver's, to be woken when reading becomes its matter.
    driver: Option<Waker>,
}

/// A wire that is shared.
pub(super) struct Shared<S>(Arc<Mutex<Wire<S>>>);

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Stream> Shared<S> {
    pub(super) fn new(io: S, received: BytesMut) -> Self {
        let (upload, read_size) = (None, SMALL_READ);
        let wire = Wire { io, received, ended: false, ended_late: false, quiet_since: None, upload, read_size };
        Self(Arc::new(Mutex::new(wire)))
    }

    /// The wire, for the time of a poll. Driver and body are seldom in different tasks, so nobody waits here.
    pub(super) fn lock(&self) -> MutexGuard<'_, Wire<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Stream> Wire<S> {
    /// Reads some more, into as much room as reads have filled lately. 0 is the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.received.capacity() == 0 {
            self.received = take_read_buffer();
        }
        if self.received.capacity() - self.received.len() < self.read_size / 2 {
            self.received.reserve(self.read_size);
        }
        let room = self.received.capacity() - self.received.len();
        let count = ready!(pin!(self.io.read_buf(&mut self.received)).poll(cx))?;
        self.ended = count == 0;
        if count == room && self.upload.is_some() {
            self.read_size = (self.read_size * 4).min(LARGE_READ);
        }
        Poll::Ready(Ok(count))
    }

    /// Gives the read buffer back if nothing is in it.
    pub(super) fn release(&mut self) {
        if self.received.is_empty() {
            give_read_buffer(std::mem::take(&mut self.received));
        }
    }

    /// Leaves the reading to a request's body.
    pub(super) fn begin_upload(&mut self, exchange: u64, decoder: Decoder) {
        self.upload = Some(Upload { exchange, decoder, failed: false, asked_for: false, held: true, driver: None });
    }

    /// The next part of that request's body.
    pub(super) fn poll_upload(
        &mut self,
        exchange: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, BodyError>>> {
        self.quiet_since = None;
        loop {
            let Some(upload) = self.upload.as_mut().filter(|upload| upload.exchange == exchange && !upload.failed)
            else {
                return Poll::Ready(Some(Err(BodyError::Abandoned)));
            };
            upload.asked_for = true;
            let error = match upload.decoder.decode(&mut self.received) {
                Ok(Decoded::Frame(frame)) => {
                    upload.wake_driver_at_end(cx);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(Decoded::End) => {
                    upload.wake_driver_at_end(cx);
                    return Poll::Ready(None);
                }
                Ok(Decoded::NeedMore) if self.ended => BodyError::Incomplete,
                Ok(Decoded::NeedMore) => match ready!(self.poll_fill(cx)) {
                    Ok(_) => continue,
                    Err(error) => BodyError::Io(error),
                },
                Err(error) => error,
            };
            self.fail_upload(exchange);
            return Poll::Ready(Some(Err(error)));
        }
    }

    /// What follows is not a request: the body came wrong, or not in time.
    pub(super) fn fail_upload(&mut self, exchange: u64) {
        if let Some(upload) = self.upload.as_mut().filter(|upload| upload.exchange == exchange) {
            upload.failed = true;
        }
    }

    /// Whoever held the body has let go of it.
    pub(super) fn let_go(&mut self, exchange: u64) {
        if let Some(upload) = self.upload.as_mut().filter(|upload| upload.exchange == exchange) {
            upload.held = false;
            if let Some(driver) = upload.driver.take() {
                driver.wake();
            }
        }
    }

    /// How the request's body stands.
    pub(super) fn upload_state(&self) -> UploadState {
        match &self.upload {
            None => UploadState::Complete,
            Some(upload) if upload.failed => UploadState::Failed,
            Some(upload) if upload.decoder.is_at_end() => UploadState::Complete,
            Some(_) => UploadState::Incomplete,
        }
    }

    /// Takes the reading back; with it the decoder of a body that is not complete, if what follows it can still be
    /// found.
    pub(super) fn end_upload(&mut self) -> (UploadState, Option<Decoder>) {
        let state = self.upload_state();
        let upload = self.upload.take();
        self.read_size = SMALL_READ;
        self.quiet_since = None;
        (state, upload.filter(|_| state == UploadState::Incomplete).map(|upload| upload.decoder))
    }

    /// Ready when the app is gone. An app that only has nothing more to say still listens (RFC 9112, section 9.6).
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut most = MOST_AHEAD;
        if let Some(upload) = self.upload.as_mut().filter(|upload| upload.held && !upload.decoder.is_at_end()) {
            if !upload.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
                upload.driver = Some(cx.waker().clone());
            }
            if upload.asked_for {
                return Poll::Pending;
            }
            most = MOST_UNASKED;
        }
        self.quiet_since.get_or_insert_with(Instant::now);
        while !self.ended && self.received.len() < most {
            match ready!(self.poll_fill(cx)) {
                Ok(0) if !self.can_write(cx) => return Poll::Ready(()),
                Ok(0) => self.ended_late = self.quiet_since.is_some_and(|since| since.elapsed() > HALF_CLOSE),
                Ok(_) => self.quiet_since = Some(Instant::now()),
                Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Writing nothing fails once the other end is closed altogether, where the system knows that.
    fn can_write(&mut self, cx: &mut Context<'_>) -> bool {
        !matches!(Pin::new(&mut self.io).poll_write(cx, &[]), Poll::Ready(Err(_)))
    }
}

/// How a request's body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadState {
    /// All of it was read, or there is none.
    Complete,
    /// There is more to come.
    Incomplete,
    /// It came wrong: nobody knows where the next request begins.
    Failed,
}

impl Upload {
    /// The driver watches for a hang-up from the body's end on. In its own task it comes to that by itself.
    fn wake_driver_at_end(&mut self, cx: &Context<'_>) {
        if self.decoder.is_at_end()
            && let Some(driver) = self.driver.take().filter(|driver| !driver.will_wake(cx.waker()))
        {
            driver.wake();
        }
    }
}
