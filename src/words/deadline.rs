//! A timer whose end moves often and is reached seldom.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Whoever looks at an end so long after it has stood still meanwhile: stopped, frozen, or without a processor.
const STOOD_STILL: Duration = Duration::from_millis(250);
/// What came meanwhile has not been looked at. So long there is for that.
const GRACE: Duration = Duration::from_secs(1);

/// The end of a wait. To move it costs a look at the clock: the runtime's timer behind it is made at the first wait, and
/// armed anew only when it fires too early, or would fire too late.
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
        self.at = Some(Instant::now() + patience);
    }

    /// The wait ends `patience` from now, unless it has an end already.
    pub fn start(&mut self, patience: Duration) {
        if self.at.is_none() {
            self.set(patience);
        }
    }

    /// There is nothing to wait for. The timer stays armed: it may be of use for the next wait.
    pub fn clear(&mut self) {
        self.at = None;
    }

    /// Ready once, when the end has come; then there is none any more. In a process that stood still, it comes a second
    /// after that went on: an answer may have come in time, and lie in the socket.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut at) = self.at else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        loop {
            // A task that has done much in this turn would be told that the end has not come, turn after turn.
            ready!(pin!(unconstrained(timer.as_mut())).poll(cx));
            if timer.deadline() >= at {
                let now = Instant::now();
                if now - at < STOOD_STILL {
                    self.at = None;
                    return Poll::Ready(());
                }
                at = now + GRACE;
                self.at = Some(at);
            }
            timer.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::task::coop;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_back_and_forth_comes_once_and_when_the_last_one_said() {
        let mut deadline = Deadline::never();
        for waits in [[5, 9], [9, 5], [5, 5], [60, 1]] {
            let start = Instant::now();
            for seconds in waits {
                deadline.set(seconds * SECOND);
                assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
            }
            poll_fn(|cx| deadline.poll(cx)).await;
            assert_eq!(start.elapsed().as_secs(), u64::from(waits[1]));
            assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending(), "it comes once");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_in_time_in_a_task_that_has_used_up_its_turn() {
        let mut deadline = Deadline::never();
        deadline.set(SECOND);
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
        tokio::time::advance(SECOND).await;
        poll_fn(|cx| {
            while let Poll::Ready(proceed) = coop::poll_proceed(cx) {
                proceed.made_progress();
            }
            assert!(deadline.poll(cx).is_ready());
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_stood_still_has_a_second_for_what_came_meanwhile() {
        let mut deadline = Deadline::never();
        deadline.set(SECOND);
        let start = Instant::now();
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
        tokio::time::advance(60 * SECOND).await;
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 61);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cleared_wait_has_no_end_and_a_started_one_keeps_its_first() {
        let mut deadline = Deadline::never();
        deadline.start(SECOND);
        deadline.clear();
        assert!(tokio::time::timeout(60 * SECOND, poll_fn(|cx| deadline.poll(cx))).await.is_err());
        let start = Instant::now();
        deadline.start(2 * SECOND);
        deadline.start(60 * SECOND);
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }
}
