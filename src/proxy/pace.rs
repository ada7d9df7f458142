//! An upload that comes too slowly while others wait is given up.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::message::{Body, BodyError, BodyStream, Frame, Size};

use super::uploads::Crowd;

/// While the app is waited for so long,
const WINDOW: Duration = Duration::from_secs(2);
/// so many bytes are to come: 1 KiB a second. Less is slow.
const LEAST: u64 = 2 * 1024;

/// A body on its way from the app to the bank, with the place that it holds to its end.
pub(super) struct Paced {
    body: Body,
    place: Option<OwnedSemaphorePermit>,
    crowd: Crowd,
    sent: u64,
    pace: Pace,
}

/// How much has come in the time that the app was waited for; what the bank takes is not the app's.
struct Pace {
    window: Duration,
    /// In this window.
    bytes: u64,
    waited: Duration,
    waits_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// `withheld`: the app does not send before the bank says so, which takes a while.
    pub(super) fn new(body: Body, place: OwnedSemaphorePermit, crowd: Crowd, withheld: bool) -> Self {
        let window = if withheld { 2 * WINDOW } else { WINDOW };
        Self { body, place: Some(place), crowd, sent: 0, pace: Pace::new(window) }
    }

    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let is_slow = ready!(self.pace.poll_window(cx)) < LEAST;
            if is_slow && self.crowd.waits() {
                return Poll::Ready(());
            }
        }
    }
}

impl BodyStream for Paced {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = match self.body.poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.poll_too_slow(cx));
                Some(Err(BodyError::TooSlow))
            }
        };
        if let Some(Ok(Frame::Data(data))) = &frame {
            self.pace.moved(data.len() as u64);
            self.sent += data.len() as u64;
        }
        // Whoever knows the length does not ask for the end.
        if !matches!(frame, Some(Ok(Frame::Data(_)))) || self.body.size() == Size::Exact(self.sent) {
            self.place = None;
        }
        Poll::Ready(frame)
    }

    fn size(&self) -> Size {
        self.body.size()
    }
}

impl Pace {
    fn new(window: Duration) -> Self {
        Self { window, bytes: 0, waited: Duration::ZERO, waits_since: None, timer: None }
    }

    fn moved(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some(since) = self.waits_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Ready at the end of a window, with the bytes that came in it; the next one begins.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        loop {
            let since = *self.waits_since.get_or_insert_with(Instant::now);
            let end = since + self.window.saturating_sub(self.waited);
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() < end {
                timer.as_mut().reset(end);
                continue;
            }
            self.waits_since = None;
            (self.waited, self.window) = (Duration::ZERO, WINDOW);
            // Not before it is needed once more.
            self.timer = None;
            return Poll::Ready(std::mem::take(&mut self.bytes));
        }
    }
}
