//! How fast the bank's token endpoint is asked, all grants together: many that are due at once are spread.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Gives out turns, a fixed time apart. Turns that were not taken are not made up for.
pub(super) struct Pace {
    apart: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many turns a second.
    pub(super) fn new(rate: u32) -> Self {
        Self { apart: Duration::from_secs(1) / rate.max(1), next: Mutex::default() }
    }

    /// Takes the next turn that nobody has, if it comes within `patience`: how long it is until then. Else nothing is
    /// taken, and the error is how long it would have been. Who has no patience comes after all who have.
    pub(super) fn take(&self, patience: Duration) -> Result<Duration, Duration> {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.map_or(now, |next| next.max(now));
        let wait = turn - now;
        if wait > patience {
            return Err(wait);
        }
        *next = Some(turn + self.apart);
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const NONE: Duration = Duration::ZERO;

    #[tokio::test(start_paused = true)]
    async fn turns_are_apart_and_who_waits_comes_before_who_does_not() {
        let pace = Pace::new(10);
        let tenth = Duration::from_millis(100);
        assert_eq!(pace.take(NONE), Ok(NONE));
        assert_eq!(pace.take(NONE), Err(tenth));
        assert_eq!(pace.take(Duration::from_secs(1)), Ok(tenth));
        advance(tenth).await;
        assert_eq!(pace.take(NONE), Err(tenth), "this turn was taken before");
        advance(tenth).await;
        assert_eq!(pace.take(NONE), Ok(NONE));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_promised_a_turn_that_comes_too_late_and_idle_time_saves_none_up() {
        let pace = Pace::new(10);
        let half = Duration::from_millis(500);
        let taken = (0..100).filter(|_| pace.take(half).is_ok()).count();
        assert_eq!(taken, 6);
        advance(Duration::from_mins(1)).await;
        let taken = (0..100).filter(|_| pace.take(half).is_ok()).count();
        assert_eq!(taken, 6);
    }
}
