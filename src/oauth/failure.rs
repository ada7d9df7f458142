//! The three kinds of failure of a token call: over, not now, unknown.

use std::error::Error;
use std::time::Duration;

use crate::words::Timestamp;

use super::answer::{self, Given, Refusal};
use super::{CallAnswer, CallError};

/// What came of a call that gave no token.
pub(super) enum Failure {
    /// The grant is over.
    Over,
    /// It is tried again later. With `unanswered`, the bank may have acted on the request.
    Later { unanswered: bool, retry_after: Option<Duration>, reason: String },
}

/// Tells the three kinds of failure apart.
pub(super) fn judge(called: Result<CallAnswer, CallError>, by_refresh: bool, now: Timestamp) -> Result<Given, Failure> {
    let later = |unanswered, retry_after, reason| Err(Failure::Later { unanswered, retry_after, reason });
    let refusal = match called.map(|answer| answer::read(&answer, now)) {
        Ok(Ok(given)) => return Ok(given),
        Ok(Err(refusal)) => refusal,
        Err(error) => {
            // A head that says failure is an answer, whatever became of its content.
            let unanswered = error.sent && error.status.is_none_or(|status| status.is_success());
            return later(unanswered, None, chain(&error));
        }
    };
    match refusal {
        refusal if by_refresh && refusal.ends_a_grant() => Err(Failure::Over),
        Refusal::Error { status, code } => later(false, None, format!("{status}: {code}")),
        Refusal::NotNow { status, retry_after } => later(false, retry_after, status.to_string()),
        Refusal::Unreadable { status } => later(true, None, format!("{status}, but no token response")),
    }
}

/// An error with all its sources, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
