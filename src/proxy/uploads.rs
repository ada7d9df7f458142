//! Requests whose body is still to come from the app: how many of them may go on, and who waits for its body instead.
//!
//! The head of such a request leaves at once, and takes a connection to the bank for as long as the app needs. Slow apps
//! must not take all of them, so these requests have places of their own, fewer than there are connections. Where none
//! is free, a small body is waited for before anything of the bank is taken; then the request goes like any other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::config::Limits;
use crate::message::{Body, BodyError, BodyStream, Continued, Frame, Interims, Request, Size};
use crate::telemetry::BankMetrics;
use crate::upstream::{ConnectionLimit, Failure, Progress, SendError};

use super::limits::Overloaded;
use super::pace::Paced;
use super::problem::ProxyError;

/// At most this much of one body is read ahead,
const GATHERED: usize = 64 * 1024;
/// and at most this much of all bodies for a bank together.
const MOST_GATHERED: usize = 64 << 20;

/// A bank's places for requests whose body is still to come, shared by all workers.
#[derive(Clone, Debug)]
pub(super) struct Uploads {
    places: Arc<Semaphore>,
    crowd: Crowd,
    queue: Duration,
    /// Bytes in memory.
    gathered: Arc<AtomicUsize>,
}

/// Who waits for what slow uploads hold.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    waiting: Arc<AtomicUsize>,
    connections: Arc<ConnectionLimit>,
}

/// Counted as waiting for as long as it lives.
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Crowd {
    /// Nobody yet, apart from whoever waits for one of these connections.
    pub(super) fn new(connections: Arc<ConnectionLimit>) -> Self {
        Self { waiting: Arc::default(), connections }
    }

    /// One more, for as long as the result lives.
    pub(super) fn join(&self) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(&self.waiting))
    }

    /// Whether there is anybody.
    pub(super) fn waits(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0 || self.connections.is_waited_for()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Uploads {
    /// Half of what a bank may be given at once.
    pub(super) fn new(limits: &Limits, crowd: Crowd) -> Self {
        let places = (limits.in_flight.min(limits.connections) / 2).clamp(1, Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(places)), crowd, queue: limits.queue, gathered: Arc::default() }
    }

    /// Makes a request's body one that may be sent. A body that is here costs nothing.
    pub(super) async fn admit(&self, request: &mut Request, metrics: &BankMetrics) -> Result<(), ProxyError> {
        if request.body.is_at_hand() {
            return Ok(());
        }
        let body = std::mem::take(&mut request.body);
        // The app waits for the bank's word before it sends any of it (RFC 9110, section 10.1.1).
        let expects = request.fields.list("Expect").any(|expected| expected.eq_ignore_ascii_case(b"100-continue"));
        let withheld = expects.then(|| request.interim.as_mut().map(Interims::continued).unwrap_or_default());
        request.body = if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            self.paced(body, place, withheld)
        } else {
            let _queued = metrics.queued();
            // In a box, so that a request in the normal case does not carry the room for it.
            Box::pin(self.wait(body, withheld)).await?
        };
        Ok(())
    }

    async fn wait(&self, body: Body, withheld: Option<Continued>) -> Result<Body, ProxyError> {
        let deadline = Instant::now() + self.queue;
        let overloaded = |_| Overloaded::Uploads(self.queue);
        let all = Arc::clone(&self.gathered);
        let mut gathered = Gathered { frames: VecDeque::new(), bytes: 0, all, is_whole: false, rest: body };
        if withheld.is_none() {
            timeout_at(deadline, gathered.fill()).await.map_err(overloaded)?.map_err(not_sent)?;
        }
        if gathered.is_whole {
            return Ok(gathered.into_body());
        }
        let _waiting = self.crowd.join();
        let place = timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await.map_err(overloaded)?;
        // The semaphore is never closed.
        let place = place.map_err(|_| Overloaded::Uploads(self.queue))?;
        Ok(self.paced(gathered.into_body(), place, withheld))
    }

    fn paced(&self, body: Body, place: OwnedSemaphorePermit, withheld: Option<Continued>) -> Body {
        Body::stream(Paced::new(body, place, self.crowd.clone(), withheld))
    }
}

/// The body failed before anything of the request was sent.
fn not_sent(error: BodyError) -> ProxyError {
    SendError { failure: Failure::RequestBody(error), progress: Progress::NothingSent }.into()
}

/// A body of which something has been read ahead.
struct Gathered {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Those of other bodies, too.
    all: Arc<AtomicUsize>,
    is_whole: bool,
    rest: Body,
}

impl Gathered {
    /// Reads until the body is whole, or until there is enough of it.
    async fn fill(&mut self) -> Result<(), BodyError> {
        while !self.is_whole && self.bytes < GATHERED && self.all.load(Ordering::Relaxed) < MOST_GATHERED {
            match self.rest.frame().await.transpose()? {
                Some(frame) => {
                    if let Frame::Data(data) = &frame {
                        self.bytes += data.len();
                        self.all.fetch_add(data.len(), Ordering::Relaxed);
                    }
                    // Whoever knows the length does not ask for the end; trailers are the end.
                    self.is_whole =
                        matches!(frame, Frame::Trailers(_)) || self.rest.size() == Size::Exact(self.bytes as u64);
                    self.frames.push_back(frame);
                }
                None => self.is_whole = true,
            }
        }
        Ok(())
    }

    fn into_body(self) -> Body {
        Body::stream(self)
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl BodyStream for Gathered {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if self.is_whole => Poll::Ready(None),
            None => self.rest.poll_frame(cx),
        }
    }

    fn size(&self) -> Size {
        self.rest.size()
    }
}

#[cfg(test)]
mod tests;
