//! A timer whose end moves often and is reached seldom.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The end of a wait. To move it later costs a look at the clock; the timer is armed anew only when it fires too early.
#[derive(Debug, Default)]
pub struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// No end.
    pub const fn never() -> Self {
        Self { at: None, timer: None }
    }

    /// The wait ends `patience` from now.
    pub fn set(&mut self, patience: Duration) {
        let at = Instant::now() + patience;
        self.timer.take_if(|timer| timer.deadline() > at);
        self.at = Some(at);
    }

    /// The wait ends `patience` from now, unless it has an end already.
    pub fn start(&mut self, patience: Duration) {
        if self.at.is_none() {
            self.set(patience);
        }
    }

    /// There is nothing to wait for. The timer stays armed: it may be of use for the next wait.
    pub fn stop(&mut self) {
        self.at = None;
    }

    /// Ready when the end has come.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        loop {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn an_end_that_was_moved_later_is_kept() {
        let start = Instant::now();
        let mut deadline = Deadline::never();
        deadline.set(SECOND);
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
        deadline.set(3 * SECOND);
        poll_fn(|cx| deadline.poll(cx)).await;
        assert!(start.elapsed() >= 3 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_was_moved_earlier_is_kept() {
        let start = Instant::now();
        let mut deadline = Deadline::never();
        deadline.set(60 * SECOND);
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
        deadline.set(SECOND);
        poll_fn(|cx| deadline.poll(cx)).await;
        assert!(start.elapsed() < 2 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_wait_has_no_end_and_a_started_one_keeps_its_first() {
        let mut deadline = Deadline::never();
        deadline.start(SECOND);
        deadline.stop();
        assert!(tokio::time::timeout(60 * SECOND, poll_fn(|cx| deadline.poll(cx))).await.is_err());
        let start = Instant::now();
        deadline.start(2 * SECOND);
        deadline.start(60 * SECOND);
        poll_fn(|cx| deadline.poll(cx)).await;
        assert!(start.elapsed() < 3 * SECOND);
    }
}
