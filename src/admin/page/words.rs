//! Times and states as people say them.

use std::time::Duration;

use crate::oauth::GrantState;
use crate::words::Timestamp;

/// What a state is called on the page.
pub(super) const fn state(state: GrantState) -> &'static str {
    match state {
        GrantState::Active => "active",
        GrantState::Expired => "expired",
        GrantState::Renewing => "renewing",
        GrantState::NeedsAuthorization => "needs authorization",
        GrantState::UnknownOutcome => "outcome unknown",
    }
}

/// Whether a state is good, to be watched, or bad: a class of the style sheet.
pub(super) const fn mark(state: GrantState) -> &'static str {
    match state {
        GrantState::Active => "good",
        GrantState::Renewing | GrantState::Expired => "watch",
        GrantState::NeedsAuthorization | GrantState::UnknownOutcome => "bad",
    }
}

/// How far away a moment is: `in 3 hours`, `2 days ago`.
pub(super) fn distance(at: Timestamp, now: Timestamp) -> String {
    if at >= now { format!("in {}", span(at.since(now))) } else { format!("{} ago", span(now.since(at))) }
}

/// A duration in its largest unit, rounded down.
pub(super) fn span(duration: Duration) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let seconds = duration.as_secs();
    // Two of the larger unit before it is used: "36 hours" says more than "1 day".
    let unit = UNITS.iter().find(|(length, _)| seconds >= 2 * length);
    match unit {
        Some((length, name)) => format!("{} {name}s", seconds / length),
        None if seconds >= 60 => "1 minute".into(),
        None => "less than a minute".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_read_well_near_and_far() {
        let now = Timestamp::from_millis(1_000_000_000_000);
        let at = |seconds: i64| distance(Timestamp::from_millis(now.millis() + seconds * 1000), now);
        assert_eq!(at(5), "in less than a minute");
        assert_eq!(at(61), "in 1 minute");
        assert_eq!(at(-600), "10 minutes ago");
        assert_eq!(at(7200), "in 2 hours");
        assert_eq!(at(36 * 3600), "in 36 hours");
        assert_eq!(at(90 * 86_400), "in 90 days");
    }
}
