//! A reload that was refused, and when it is tried again.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::config::Problems;

use super::{Cause, Reloader};

/// How long it is until a reload that was refused is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(5));

/// A reload that was refused, perhaps for a reason that passes: an address that is taken, an HSM that is away.
pub(super) struct Refused {
    cause: Cause,
    problems: Problems,
    /// When it is tried again, and how long that is after the last time.
    again: Instant,
    wait: Duration,
}

impl Reloader {
    /// Notes when a reload with these problems is tried again; whether this was such a try, and they are told already.
    pub(super) fn refuse(&mut self, cause: Cause, problems: Option<&Problems>) -> bool {
        let former = self.refused.take();
        let Some(problems) = problems else {
            // That the next identity could be taken says nothing of what the files say.
            self.refused = former.filter(|former| cause == Cause::Date && former.cause != Cause::Date);
            return false;
        };
        let is_again = former.as_ref().is_some_and(|former| former.again <= Instant::now());
        let wait = former.as_ref().filter(|_| is_again).map_or(AGAIN.0, |former| (former.wait * 2).min(AGAIN.1));
        let is_known = is_again && former.is_some_and(|former| former.problems == *problems);
        let again = Instant::now() + wait;
        self.refused = Some(Refused { cause, problems: problems.clone(), again, wait });
        is_known
    }
}

/// Why a reload that was refused is tried again, once its time has come.
pub(super) async fn time_to_try_again(refused: Option<&Refused>) -> Cause {
    let Some(refused) = refused else { return pending().await };
    sleep_until(refused.again).await;
    refused.cause
}
