//! Whether this machine's clock and the bank's agree, as each answer of the token endpoint tells by its `Date`.

use tracing::{info, warn};

use crate::words::Timestamp;

use super::{CallAnswer, Tokens, answer};

/// Clocks that are further apart, in seconds, make certificates and tokens early or late.
pub(super) const APART: i64 = 30;

impl Tokens {
    /// Remembers by how much the clocks differ, and tells the log when they come apart and together.
    pub(super) fn compare_clocks(&self, answer: &CallAnswer) {
        let Some(ahead) = ahead(answer, self.parts.clock.now()) else { return };
        let is_apart = ahead.abs() > APART;
        let was_apart = self.parts.metrics.clock_ahead().is_some_and(|before| before.abs() > APART);
        self.parts.metrics.set_clock_ahead(ahead);
        let bank = &self.bank.name;
        if is_apart && !was_apart {
            let remedy = "synchronize this machine's clock (NTP)";
            warn!(%bank, ahead_seconds = ahead, remedy, "the bank's clock is another");
        } else if was_apart && !is_apart {
            info!(%bank, ahead_seconds = ahead, "the bank's clock is ours again");
        }
    }
}

/// By how many seconds our clock is ahead of that of the bank (RFC 9110, section 6.6.1).
fn ahead(answer: &CallAnswer, now: Timestamp) -> Option<i64> {
    let date = std::str::from_utf8(answer.fields.get("date")?).ok()?;
    Some(now.seconds().saturating_sub(answer::date(date)?.seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Fields;

    #[test]
    fn the_difference_is_that_of_the_date_and_none_without_one() {
        let at = |value: Option<&str>| {
            let mut fields = Fields::new();
            if let Some(value) = value {
                fields.push("Date", value);
            }
            let answer = CallAnswer { status: http::StatusCode::OK, fields, body: Vec::new().into() };
            ahead(&answer, Timestamp::from_millis(784_111_777_900))
        };
        assert_eq!(at(Some("Sun, 06 Nov 1994 08:49:37 GMT")), Some(0));
        assert_eq!(at(Some("Sun, 06 Nov 1994 07:49:37 GMT")), Some(3600));
        assert_eq!(at(Some("Sun, 06 Nov 1994 08:50:37 GMT")), Some(-60));
        for nothing in [None, Some(""), Some("yesterday")] {
            assert_eq!(at(nothing), None, "{nothing:?}");
        }
    }
}
