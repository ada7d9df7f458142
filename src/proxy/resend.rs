//! Whether a request whose sending failed may be sent once more. A payment must never be sent twice on our account.

use http::Method;

use crate::oauth::TokenError;
use crate::upstream::{Failure, Progress, SendError};

use super::problem::ProxyError;

/// How often a request is sent in all because connections died before a byte of it had left.
const MOST_UNSENT: u32 = 3;

/// What is known when sending failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    /// `None` where the bank may take the request for one with another method.
    pub(super) method: Option<&'a Method>,
    /// Whether the bytes of the body are all at hand.
    pub(super) body_kept: bool,
    /// Whether the operator allows a replay on this route.
    pub(super) route_replay: bool,
    /// How often it was sent because of failures, this time included.
    pub(super) sent: u32,
    /// Whether one of the earlier sendings may have arrived, or has been answered.
    pub(super) may_have_arrived_before: bool,
}

/// What became of a request's earlier sendings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past {
    /// Whether one of them may have arrived, and had no answer.
    pub(super) may_have_arrived: bool,
    /// Whether the bank has answered one (401).
    pub(super) was_answered: bool,
}

impl Past {
    /// The last sending's failure as the app is to be told it: what may have reached the bank earlier still counts, even if
    /// nothing of the last sending left.
    pub(super) fn told_with(self, error: SendError) -> SendError {
        if self.may_have_arrived || self.was_answered {
            return SendError { progress: Progress::MayHaveArrived, ..error };
        }
        error
    }

    /// What the app is told when the request would go once more, but there is no token for it. That the bank may have had it
    /// matters more.
    pub(super) fn told_for_want_of_a_token(self, error: SendError, why: TokenError) -> ProxyError {
        let told = self.told_with(error);
        if told.progress == Progress::MayHaveArrived { told.into() } else { why.into() }
    }
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
        Progress::MayHaveArrived if attempt.method.is_some_and(is_read_only) => Resend::Once("the method only reads"),
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
    use crate::message::http2::{Reason, Scope, Side, StreamError};

    const REFUSED: StreamError = StreamError { scope: Scope::Stream, by: Side::Peer, reason: Reason::REFUSED_STREAM };

    fn closed(progress: Progress) -> SendError {
        SendError { failure: Failure::Closed(io::ErrorKind::ConnectionReset.into()), progress }
    }

    fn attempt(method: &Method) -> Attempt<'_> {
        Attempt { method: Some(method), body_kept: true, route_replay: false, sent: 1, may_have_arrived_before: false }
    }

    fn goes_again(attempt: Attempt<'_>, error: &SendError) -> bool {
        matches!(decide(attempt, error), Resend::Once(_))
    }

    #[test]
    fn what_had_arrived_once_is_never_said_not_to_have() {
        for (may_have_arrived, was_answered) in [(true, false), (false, true), (true, true)] {
            let past = Past { may_have_arrived, was_answered };
            assert_eq!(past.told_with(closed(Progress::NothingSent)).progress, Progress::MayHaveArrived);
        }
        for progress in [Progress::NothingSent, Progress::MayHaveArrived] {
            assert_eq!(Past::default().told_with(closed(progress)).progress, progress);
        }
    }

    #[test]
    fn a_lack_of_a_token_is_told_only_where_the_bank_has_had_nothing() {
        let told = |past: Past, progress| {
            matches!(
                past.told_for_want_of_a_token(closed(progress), TokenError::NeedsAuthorization),
                ProxyError::Token(_)
            )
        };
        assert!(told(Past::default(), Progress::NothingSent));
        assert!(!told(Past::default(), Progress::MayHaveArrived));
        assert!(!told(Past { may_have_arrived: true, was_answered: false }, Progress::NothingSent));
        assert!(!told(Past { may_have_arrived: false, was_answered: true }, Progress::NothingSent));
    }

    /// Every combination of what is known, against the rule as INTERFACE has it.
    #[test]
    fn the_decision_is_the_rule_in_every_case() {
        let failures: [(fn() -> Failure, bool); 12] = [
            (|| Failure::Closed(io::ErrorKind::ConnectionReset.into()), true),
            (|| Failure::Http2(REFUSED), true),
            (|| Failure::Dns(io::ErrorKind::NotFound.into()), false),
            (|| Failure::Connect(io::ErrorKind::ConnectionRefused.into()), false),
            (|| Failure::ConnectTimeout(Duration::ZERO), false),
            (|| Failure::TlsRefusedByUs(rustls::Error::DecryptError), false),
            (|| Failure::TlsRefusedByBank(rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA)), false),
            (|| Failure::Saturated(Duration::ZERO), false),
            (|| Failure::ResponseTimeout(Duration::ZERO), false),
            (|| Failure::Malformed("no"), false),
            (|| Failure::RequestBody(crate::message::BodyError::Incomplete), false),
            (|| Failure::Unsendable("no"), false),
        ];
        let methods = READING.iter().map(|method| (Some(method), true));
        let methods = methods.chain(WRITING.iter().map(|method| (Some(method), false))).chain([(None, false)]);
        let (mut cases, both) = (0, [false, true]);
        for (method, reads) in methods {
            for (failure, died) in failures {
                for progress in [Progress::NothingSent, Progress::MayHaveArrived] {
                    for sent in 1..=MOST_UNSENT + 1 {
                        for bits in 0_usize..8 {
                            let flag = |bit: usize| both[bits >> bit & 1];
                            let (body_kept, route_replay, before) = (flag(0), flag(1), flag(2));
                            let wanted = died
                                && body_kept
                                && match progress {
                                    Progress::NothingSent => sent < MOST_UNSENT,
                                    Progress::MayHaveArrived => !before && (reads || route_replay),
                                };
                            let attempt =
                                Attempt { method, body_kept, route_replay, sent, may_have_arrived_before: before };
                            let error = SendError { failure: failure(), progress };
                            assert_eq!(goes_again(attempt, &error), wanted, "{attempt:?} {error:?}");
                            cases += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(cases, 9 * 12 * 2 * 4 * 8);
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
    fn what_may_be_taken_for_another_method_does_not_only_read() {
        let renamed = Attempt { method: None, ..attempt(&Method::GET) };
        assert!(!goes_again(renamed, &closed(Progress::MayHaveArrived)));
        assert!(goes_again(renamed, &closed(Progress::NothingSent)));
        assert!(goes_again(Attempt { route_replay: true, ..renamed }, &closed(Progress::MayHaveArrived)));
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
