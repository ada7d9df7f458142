//! An upload that comes too slowly while others wait is given up.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::message::{Body, BodyError, BodyStream, Continued, Frame, Size};

use super::uploads::Crowd;

/// A stretch of waiting for the app,
const WINDOW: Duration = Duration::from_secs(2);
/// and the bytes that must come in it: 1 KiB a second. Less is slow.
const LEAST: u64 = 2 * 1024;

/// A body on its way from the app to the bank, with the place that it holds to its end.
pub(super) struct Paced {
    body: Body,
    place: Option<OwnedSemaphorePermit>,
    crowd: Crowd,
    sent: u64,
    /// The app sends nothing before the bank has said so.
    withheld: Option<Continued>,
    pace: Pace,
}

/// How much has come in the time that the app was waited for; what the bank takes is not the app's.
#[derive(Default)]
struct Pace {
    /// In this window.
    bytes: u64,
    waited: Duration,
    waits_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// `withheld`: the app sends nothing before the bank has said so.
    pub(super) fn new(body: Body, place: OwnedSemaphorePermit, crowd: Crowd, withheld: Option<Continued>) -> Self {
        Self { body, place: Some(place), crowd, sent: 0, withheld, pace: Pace::default() }
    }

    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.withheld.as_ref().is_some_and(|bank| !bank.has_come()) {
            // It is the bank that is waited for. Its word wakes this task, as it goes to the app.
            return Poll::Pending;
        }
        self.withheld = None;
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
            self.withheld = None;
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
            let end = since + WINDOW.saturating_sub(self.waited);
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() < end {
                timer.as_mut().reset(end);
                continue;
            }
            self.waits_since = None;
            self.waited = Duration::ZERO;
            // Not before it is needed once more.
            self.timer = None;
            return Poll::Ready(std::mem::take(&mut self.bytes));
        }
    }
}
