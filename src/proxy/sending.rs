//! A request's sending, and what may go once more: after a connection that died, and after a 401.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;

use crate::message::{Body, Response};
use crate::oauth::TokenError;
use crate::upstream::{Progress, Ready};
use crate::words::{GrantName, Token, with_causes};

use super::event::Event;
use super::outgoing::Outgoing;
use super::problem::ProxyError;
use super::resend::{self, Attempt, Past, Resend};
use super::serve::{Parts, Verdict};

impl Parts {
    /// A 401 for a token that is not the best one, or that can be renewed: the request goes once more, never a third time.
    #[expect(clippy::too_many_arguments, reason = "all of them are what is known of the first time")]
    pub(super) async fn once_more_if_unauthorized(
        &self,
        answer: Response,
        outgoing: &mut Outgoing,
        sent: &Arc<Token>,
        verdict: &Verdict,
        mut past: Past,
        newest: &ArcSwap<Self>,
        event: &mut Event,
    ) -> Result<Response, ProxyError> {
        if answer.status != StatusCode::UNAUTHORIZED {
            if answer.status.is_success() {
                sent.mark_accepted();
            }
            return Ok(answer);
        }
        // A token that the bank has bound to a former certificate is replaced under the newest one.
        let next = self.newest_alike(newest);
        let by = next.as_deref().unwrap_or(self);
        let lacks_scope = says_insufficient_scope(&answer);
        // What may have arrived before has been sent twice by now.
        let Some(body) = outgoing.again().filter(|_| !past.may_have_arrived) else {
            by.renew_for_others(&verdict.grant, sent, lacks_scope);
            return Ok(answer);
        };
        // The bank has refused it, so nothing of it counts: an app that has closed by now is given up here.
        event.status = Some(answer.status);
        outgoing.departure.take_back();
        tokio::task::yield_now().await;
        let Some(mut better) = by.shared.tokens.after_unauthorized(&verdict.grant, sent, lacks_scope).await? else {
            return Ok(answer);
        };
        drop(answer);
        event.retried += 1;
        past.was_answered = true;
        let answer = by.send(None, outgoing, body, &mut better, verdict, &mut past, newest, event).await?;
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
        let next = self
            .newest_alike(newest)
            .ok_or(TokenError::Unavailable { retry_after: Duration::from_secs(1), cause: None })?;
        let token = next.shared.tokens.get(grant).await?;
        Ok((next, token))
    }

    /// Begins the renewal that a 401 calls for, although the request that met it cannot go once more.
    fn renew_for_others(&self, grant: &GrantName, sent: &Arc<Token>, lacks_scope: bool) {
        let (tokens, grant, sent) = (Arc::clone(&self.shared.tokens), grant.clone(), Arc::clone(sent));
        tokio::spawn(async move { tokens.after_unauthorized(&grant, &sent, lacks_scope).await });
    }

    /// Sends a request, on the connection that is `ready`; once more where its connection died and that is safe, with
    /// another token if this one has ended.
    #[expect(clippy::too_many_arguments, reason = "a request, what is known of it, and where to look for more")]
    pub(super) async fn send(
        &self,
        mut ready: Option<Ready>,
        outgoing: &mut Outgoing,
        mut body: Body,
        token: &mut Arc<Token>,
        verdict: &Verdict,
        past: &mut Past,
        newest: &ArcSwap<Self>,
        event: &mut Event,
    ) -> Result<Response, ProxyError> {
        let timeout = verdict.timeout.unwrap_or(self.shared.bank.timeouts.response);
        let departure = outgoing.departure.clone();
        let (mut sent, mut next) = (1, None::<Arc<Self>>);
        loop {
            let by = next.as_deref().unwrap_or(self);
            let may_have_arrived = past.may_have_arrived;
            let departs = |departs: bool| {
                if departs {
                    departure.begin();
                } else if !may_have_arrived {
                    departure.take_back();
                }
            };
            let ready = match ready.take() {
                Some(ready) => ready,
                None => by.client.ready().await,
            };
            let sent_at = ready.since();
            let error = match by.client.exchange(ready, outgoing.with(body, token), timeout, departs).await {
                Ok(answer) => {
                    by.shared.metrics.bank_answered(sent_at);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let again = outgoing.again();
            let attempt = Attempt {
                method: outgoing.method(),
                body_kept: again.is_some(),
                route_replay: verdict.replay,
                sent,
                may_have_arrived_before: past.may_have_arrived || past.was_answered,
            };
            let decision = resend::decide(attempt, &error);
            tracing::debug!(bank = %self.shared.bank.name, %error, ?decision, "a request's connection failed");
            match (decision, again) {
                (Resend::Once(_), Some(kept)) => body = kept,
                _ => return Err(past.told_with(error).into()),
            }
            if error.progress == Progress::NothingSent && !past.may_have_arrived {
                outgoing.departure.take_back();
            }
            // Its token may have ended while the connection was silent, and a 401 could not be made good any more.
            if by.shared.tokens.has_ended(token) {
                match by.renewed(&verdict.grant, newest).await {
                    Ok((parts, better)) => (next, *token) = (Some(parts), better),
                    Err(why) => {
                        let reason = with_causes(&why);
                        tracing::debug!(bank = %self.shared.bank.name, reason, "a token ended before its request went once more");
                        return Err(past.told_for_want_of_a_token(error, why));
                    }
                }
            }
            sent += 1;
            event.retried += 1;
            past.may_have_arrived |= error.progress == Progress::MayHaveArrived;
        }
    }
}

/// Whether the bank says that the token lacks a scope (RFC 6750, section 3.1): a new one would lack it too.
fn says_insufficient_scope(answer: &Response) -> bool {
    const ERROR: &[u8] = b"insufficient_scope";
    answer.fields.get_all("WWW-Authenticate").any(|value| value.windows(ERROR.len()).any(|part| part == ERROR))
}
