//! When a token is renewed ahead, and how long it is waited after a failure.

use std::time::Duration;

use crate::words::Timestamp;

/// A token with a long life is renewed at most so long before its end: earlier would waste it.
const LONGEST_LEAD: Duration = Duration::from_hours(1);
/// The lead grows by up to this fraction by chance, so that grants that were given together are not renewed together.
const LEAD_JITTER: f64 = 0.2;

/// After the first failure, the second, and all that follow. With these, 10 s of trouble cost 4 calls at most, and
/// callers are served within 6 s of its end.
const WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// Waits grow by up to this fraction by chance, so that grants that failed together do not try again together.
const WAIT_JITTER: f64 = 0.25;
/// The shortest wait, after a call that took long to fail.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait, and that a `Retry-After` is honoured: a mistake at the bank must not end a grant's use for a day.
pub(super) const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// When a token is due: after the fraction `at` of its life, or an hour before its end where that is later, and a
/// little before by `chance` (0 to 1).
pub(super) fn renew_at(issued_at: Timestamp, expires_at: Timestamp, at: f64, chance: f64) -> Timestamp {
    let life = expires_at.since(issued_at);
    let lead = life.mul_f64((1.0 - at).clamp(0.0, 1.0)).min(LONGEST_LEAD);
    let lead = lead.mul_f64(1.0 + LEAD_JITTER * chance).min(life);
    issued_at.plus(life.saturating_sub(lead))
}

/// How long it is from the end of a call to the next one. `failures` is how many went before this one; `took` is how
/// long the call took, since what counts is the time between calls.
pub(super) fn wait(failures: u32, took: Duration, retry_after: Option<Duration>, chance: f64) -> Duration {
    let index = usize::try_from(failures).unwrap_or(usize::MAX).min(WAITS.len() - 1);
    let between = WAITS[index].mul_f64(1.0 + WAIT_JITTER * chance);
    let own = between.saturating_sub(took).max(SHORTEST_WAIT);
    own.max(retry_after.unwrap_or_default().min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn due_after(life: Duration, at: f64, chance: f64) -> Duration {
        let issued = Timestamp::from_millis(1_000_000);
        renew_at(issued, issued.plus(life), at, chance).since(issued)
    }

    #[test]
    fn a_token_is_due_after_its_fraction_and_by_chance_a_little_before() {
        assert_eq!(due_after(Duration::from_mins(5), 0.8, 0.0), Duration::from_mins(4));
        assert_eq!(due_after(Duration::from_mins(5), 0.8, 1.0), Duration::from_secs(228));
        assert_eq!(due_after(Duration::from_secs(2), 0.8, 0.0), Duration::from_millis(1600));
    }

    #[test]
    fn a_long_life_is_used_until_an_hour_before_its_end() {
        let day = Duration::from_hours(24);
        assert_eq!(due_after(day, 0.8, 0.0), day.checked_sub(LONGEST_LEAD).unwrap());
    }

    #[test]
    fn ten_seconds_of_instant_failures_cost_four_calls_at_most() {
        let (mut at, mut calls) = (Duration::ZERO, 0);
        while at < Duration::from_secs(10) {
            at += wait(calls, Duration::ZERO, None, 0.0);
            calls += 1;
        }
        assert_eq!(calls, 4);
    }

    #[test]
    fn the_time_that_a_call_took_is_part_of_the_wait() {
        assert_eq!(wait(1, Duration::from_millis(700), None, 0.0), Duration::from_millis(1300));
        assert_eq!(wait(1, Duration::from_secs(8), None, 0.0), SHORTEST_WAIT);
    }

    #[test]
    fn what_the_bank_asks_for_is_honoured_within_bounds() {
        let asked = |seconds| wait(0, Duration::ZERO, Some(Duration::from_secs(seconds)), 0.0).as_secs();
        assert_eq!((asked(0), asked(7), asked(86_400)), (1, 7, 300));
    }

    proptest! {
        #[test]
        fn a_token_is_never_due_before_it_was_issued_or_after_its_end(
            life in 0u64..u64::MAX, at in -1.0f64..2.0, chance in 0.0f64..1.0,
        ) {
            let (issued, life) = (Timestamp::from_millis(5), Duration::from_millis(life >> 1));
            let due = renew_at(issued, issued.plus(life), at, chance);
            prop_assert!(due >= issued && due <= issued.plus(life));
        }

        #[test]
        fn no_wait_is_longer_than_what_recovery_allows(failures: u32, took in 0u64..60_000, chance in 0.0f64..1.0) {
            let wait = wait(failures, Duration::from_millis(took), None, chance);
            prop_assert!(wait >= SHORTEST_WAIT && wait <= Duration::from_secs(5));
        }
    }
}
