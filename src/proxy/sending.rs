//! A request's sending, and what may go once more: after a connection that died, and after a 401.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;

use crate::message::{Body, Response};
use crate::oauth::{Cause, TokenError};
use crate::upstream::{Progress, Ready, SendError};
use crate::words::{BankName, GrantName, Token, with_causes};

use super::event::Event;
use super::outgoing::Outgoing;
use super::problem::ProxyError;
use super::resend::{self, Attempt, Past, Resend};
use super::serve::{Parts, Verdict};

/// A request that may pass, on its way, and what is known of it by now.
pub(super) struct Way<'a> {
    pub(super) outgoing: Outgoing,
    pub(super) verdict: Verdict,
    /// The connection that was waited for, until the request goes on it.
    pub(super) ready: Option<Ready>,
    pub(super) past: Past,
    /// What is configured now: it may change while the request is under way.
    pub(super) newest: &'a ArcSwap<Parts>,
    pub(super) event: &'a mut Event,
}

impl Parts {
    /// A 401 for a token that is not the best one, or that can be renewed: the request goes once more, never a third time.
    pub(super) async fn once_more_if_unauthorized(
        &self,
        answer: Response,
        sent: &Arc<Token>,
        way: &mut Way<'_>,
    ) -> Result<Response, ProxyError> {
        if answer.status != StatusCode::UNAUTHORIZED {
            if answer.status.is_success() {
                sent.mark_accepted();
            }
            return Ok(answer);
        }
        // A token that the bank has bound to a former certificate is replaced under the newest one.
        let next = self.newest_alike(way.newest);
        let by = next.as_deref().unwrap_or(self);
        let insufficient_scope = says_insufficient_scope(&answer);
        // If an earlier sending may have arrived, this was the second already.
        let Some(body) = way.outgoing.again().filter(|_| !way.past.may_have_arrived) else {
            by.renew_for_others(&way.verdict.grant, sent, insufficient_scope);
            return Ok(answer);
        };
        // The bank has refused it, so it had no effect: if the app has closed by now, it is given up here.
        way.event.status = Some(answer.status);
        way.outgoing.departure.take_back();
        tokio::task::yield_now().await;
        let better = by.shared.tokens.after_unauthorized(&way.verdict.grant, sent, insufficient_scope).await?;
        let Some(mut better) = better else {
            return Ok(answer);
        };
        drop(answer);
        way.event.retried += 1;
        way.past.was_answered = true;
        let answer = by.send(body, &mut better, way).await?;
        if answer.status.is_success() {
            better.mark_accepted();
        }
        Ok(answer)
    }

    /// What is configured now, if it judges requests and their answers as this does.
    fn newest_alike(&self, newest: &ArcSwap<Self>) -> Option<Arc<Self>> {
        Some(newest.load_full()).filter(|next| next.shared.bank.handles_requests_like(&self.shared.bank))
    }

    /// Another token, and whoever sends with it: the bank may take former credentials and certificates no more.
    async fn renewed(&self, grant: &GrantName, newest: &ArcSwap<Self>) -> Result<(Arc<Self>, Arc<Token>), TokenError> {
        let next = self.newest_alike(newest).ok_or_else(|| {
            let reason = "the configuration has changed while the request was under way".to_owned();
            let cause = Some(Cause { reason, remedy: "Send the request again" });
            TokenError::Unavailable { retry_after: Duration::from_secs(1), cause }
        })?;
        let token = next.shared.tokens.get(grant).await?;
        Ok((next, token))
    }

    /// Begins the renewal that a 401 calls for, although the request that met it cannot go once more.
    fn renew_for_others(&self, grant: &GrantName, sent: &Arc<Token>, insufficient_scope: bool) {
        let (tokens, grant, sent) = (Arc::clone(&self.shared.tokens), grant.clone(), Arc::clone(sent));
        tokio::spawn(async move { tokens.after_unauthorized(&grant, &sent, insufficient_scope).await });
    }

    /// Sends a request; once more where its connection died and that is safe, with another token if this one has ended.
    pub(super) async fn send(
        &self,
        mut body: Body,
        token: &mut Arc<Token>,
        way: &mut Way<'_>,
    ) -> Result<Response, ProxyError> {
        let timeout = way.verdict.timeout.unwrap_or(self.shared.bank.timeouts.response);
        let departure = way.outgoing.departure.clone();
        let (mut sent, mut next) = (1, None::<Arc<Self>>);
        loop {
            let by = next.as_deref().unwrap_or(self);
            let may_have_arrived = way.past.may_have_arrived;
            let departs = |departs: bool| {
                if departs {
                    departure.begin();
                } else if !may_have_arrived {
                    departure.take_back();
                }
            };
            let ready = match way.ready.take() {
                Some(ready) => ready,
                None => by.client.ready().await,
            };
            let sent_at = ready.since();
            let error = match by.client.exchange(ready, way.outgoing.with(body, token), timeout, departs).await {
                Ok(answer) => {
                    by.shared.metrics.bank_answered(sent_at);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let Some(again) = way.once_more(sent, &error, &self.shared.bank.name) else {
                return Err(way.past.told_with(error).into());
            };
            body = again;
            if error.progress == Progress::NothingSent && !may_have_arrived {
                departure.take_back();
            }
            // Its token may have ended while the connection was silent, and a 401 could not be made good any more.
            if by.shared.tokens.has_ended(token) {
                match by.renewed(&way.verdict.grant, way.newest).await {
                    Ok((parts, better)) => (next, *token) = (Some(parts), better),
                    Err(why) => {
                        let reason = with_causes(&why);
                        tracing::debug!(bank = %self.shared.bank.name, reason, "a token ended before its request went once more");
                        return Err(way.past.told_for_want_of_a_token(error, why));
                    }
                }
            }
            sent += 1;
            way.event.retried += 1;
            way.past.may_have_arrived |= error.progress == Progress::MayHaveArrived;
        }
    }
}

impl Way<'_> {
    /// The body to send once more after this failure, if that is safe.
    fn once_more(&self, sent: u32, error: &SendError, bank: &BankName) -> Option<Body> {
        let again = self.outgoing.again();
        let attempt = Attempt {
            method: self.outgoing.method(),
            body_kept: again.is_some(),
            route_replay: self.verdict.replay,
            sent,
            may_have_arrived_before: self.past.may_have_arrived || self.past.was_answered,
        };
        let decision = resend::decide(attempt, error);
        tracing::debug!(%bank, %error, ?decision, "a request's connection failed");
        again.filter(|_| matches!(decision, Resend::Once(_)))
    }
}

/// Whether the bank says that the token lacks a scope (RFC 6750, section 3.1): a new one would lack it too.
fn says_insufficient_scope(answer: &Response) -> bool {
    const ERROR: &[u8] = b"insufficient_scope";
    answer.fields.get_all("WWW-Authenticate").any(|value| value.windows(ERROR.len()).any(|part| part == ERROR))
}
