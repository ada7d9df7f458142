//! Whether a request whose sending failed may be sent once more. A payment must never be sent twice on our account.

use http::Method;

use crate::upstream::{Failure, Progress, SendError};

/// How often a request is sent in all because connections died before a byte of it had left.
const MOST_UNSENT: u32 = 3;

/// What is known when sending failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) method: &'a Method,
    /// Whether the bytes of the body are all at hand.
    pub(super) body_kept: bool,
    /// Whether the operator allows a replay on this route.
    pub(super) route_replay: bool,
    /// How often it was sent because of failures, this time included.
    pub(super) sent: u32,
    /// Whether one of the earlier sendings may have arrived.
    pub(super) may_have_arrived_before: bool,
}

/// The decision, with its reason for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resend {
    Once(&'static str),
    Never(&'static str),
}

/// Decides by what happened (INTERFACE, section 3). The connection must have died: a bank that is slow, refuses
/// connections or answers nonsense is not asked again.
pub(super) fn decide(attempt: Attempt<'_>, error: &SendError) -> Resend {
    if !connection_died(&error.failure) {
        return Resend::Never("the connection did not die");
    }
    if !attempt.body_kept {
        return Resend::Never("the body is not at hand any more");
    }
    match error.progress {
        Progress::NothingSent if attempt.sent < MOST_UNSENT => Resend::Once("nothing of it was sent"),
        Progress::NothingSent => Resend::Never("connections die again and again"),
        Progress::MayHaveArrived if attempt.may_have_arrived_before => Resend::Never("it was sent once more already"),
        Progress::MayHaveArrived if is_read_only(attempt.method) => Resend::Once("the method only reads"),
        Progress::MayHaveArrived if attempt.route_replay => Resend::Once("the route allows a replay"),
        Progress::MayHaveArrived => Resend::Never("the bank may have received it"),
    }
}

fn connection_died(failure: &Failure) -> bool {
    matches!(failure, Failure::Closed(_) | Failure::Http2(_))
}

/// The safe methods (RFC 9110, section 9.2.1) that a sidecar meets. TRACE is left out: nobody needs it twice.
fn is_read_only(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;

    fn closed(progress: Progress) -> SendError {
        SendError { failure: Failure::Closed(io::ErrorKind::ConnectionReset.into()), progress }
    }

    fn attempt(method: &Method) -> Attempt<'_> {
        Attempt { method, body_kept: true, route_replay: false, sent: 1, may_have_arrived_before: false }
    }

    fn goes_again(attempt: Attempt<'_>, error: &SendError) -> bool {
        matches!(decide(attempt, error), Resend::Once(_))
    }

    const READING: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];
    const WRITING: [Method; 5] = [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::TRACE];

    #[test]
    fn what_was_not_sent_goes_again_whatever_it_is_but_not_for_ever() {
        for method in READING.iter().chain(&WRITING) {
            assert!(goes_again(attempt(method), &closed(Progress::NothingSent)));
            assert!(!goes_again(Attempt { sent: MOST_UNSENT, ..attempt(method) }, &closed(Progress::NothingSent)));
        }
    }

    #[test]
    fn what_may_have_arrived_goes_again_once_if_it_only_reads() {
        for method in &READING {
            assert!(goes_again(attempt(method), &closed(Progress::MayHaveArrived)));
            let second = Attempt { sent: 2, may_have_arrived_before: true, ..attempt(method) };
            assert!(!goes_again(second, &closed(Progress::MayHaveArrived)));
        }
        for method in &WRITING {
            assert!(!goes_again(attempt(method), &closed(Progress::MayHaveArrived)));
        }
    }

    #[test]
    fn an_operators_word_lets_a_post_go_again_once() {
        let allowed = Attempt { route_replay: true, ..attempt(&Method::POST) };
        assert!(goes_again(allowed, &closed(Progress::MayHaveArrived)));
        let second = Attempt { may_have_arrived_before: true, ..allowed };
        assert!(!goes_again(second, &closed(Progress::MayHaveArrived)));
    }

    #[test]
    fn a_body_that_is_not_at_hand_cannot_go_again() {
        for progress in [Progress::NothingSent, Progress::MayHaveArrived] {
            assert!(!goes_again(Attempt { body_kept: false, ..attempt(&Method::GET) }, &closed(progress)));
        }
    }

    #[test]
    fn a_bank_that_is_slow_or_talks_nonsense_is_not_asked_again() {
        for failure in [
            Failure::ResponseTimeout(Duration::ZERO),
            Failure::ConnectTimeout(Duration::ZERO),
            Failure::Malformed("no"),
            Failure::Saturated(Duration::ZERO),
            Failure::Connect(io::ErrorKind::ConnectionRefused.into()),
        ] {
            let error = SendError { failure, progress: Progress::NothingSent };
            assert!(!goes_again(attempt(&Method::GET), &error));
        }
    }
}
