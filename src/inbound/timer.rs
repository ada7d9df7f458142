//! A timer that costs next to nothing as long as it does not fire.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// A deadline that moves with every request. The runtime's timer behind it is moved only when it fires too early, or
/// would fire too late: a later deadline costs a look at the clock.
pub(super) struct Deadline {
    sleep: Pin<Box<Sleep>>,
    at: Option<Instant>,
}

impl Deadline {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { sleep: Box::pin(sleep(Duration::ZERO)), at: None }
    }

    /// The deadline is `after` from now.
    pub(super) fn set(&mut self, after: Duration) {
        self.at = Some(Instant::now() + after);
    }

    /// There is no deadline any more.
    pub(super) fn clear(&mut self) {
        self.at = None;
    }

    /// Whether there is a deadline.
    pub(super) fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Ready once, when the deadline has come; then there is none any more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        if self.sleep.deadline() > at {
            self.sleep.as_mut().reset(at);
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if Instant::now() >= at {
                self.at = None;
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_back_and_forth_fires_when_the_last_one_said() {
        for waits in [[5, 9], [9, 5], [5, 5]] {
            let (start, mut deadline) = (Instant::now(), Deadline::new());
            for seconds in waits {
                deadline.set(Duration::from_secs(seconds));
                assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
            }
            poll_fn(|cx| deadline.poll(cx)).await;
            assert_eq!(start.elapsed().as_secs(), waits[1]);
            assert!(!deadline.is_set());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cleared_deadline_does_not_fire() {
        let mut deadline = Deadline::new();
        deadline.set(Duration::from_secs(1));
        deadline.clear();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
    }
}
