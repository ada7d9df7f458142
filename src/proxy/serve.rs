//! The way of a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;

use crate::config::Bank;
use crate::inbound::{Caller, Departure, Malformed, Service, access};
use crate::message::{Body, Fields, Request, Response};
use crate::oauth::Tokens;
use crate::telemetry::BankMetrics;
use crate::upstream::{Client, Progress, SendError};
use crate::words::{GrantName, Random, Token};

use super::event::Event;
use super::limits::InFlight;
use super::outgoing::{Outgoing, Rewrite};
use super::problem::ProxyError;
use super::resend::{self, Attempt, Past, Resend};
use super::routes::{Passage, Routes};
use super::{hops, incoming, path};

/// One bank as one worker serves it: a [`Service`] for the door. Clones serve alike, also after [`Proxy::replace`].
#[derive(Clone)]
pub struct Proxy(Arc<ArcSwap<Parts>>);

/// What a bank's proxies share, whichever worker they serve on.
#[derive(Clone)]
pub struct Shared {
    /// The bank.
    pub bank: Arc<Bank>,
    /// The places for requests.
    pub in_flight: InFlight,
    /// The tokens.
    pub tokens: Arc<Tokens>,
    /// What is counted.
    pub metrics: Arc<BankMetrics>,
    /// Where `{uuid}` comes from.
    pub random: Random,
}

/// What a request that may pass is given.
struct Verdict {
    /// The path and query, where it is not the request's target as it is.
    target: Option<Bytes>,
    grant: GrantName,
    /// The route's response timeout.
    timeout: Option<Duration>,
    /// Whether the route allows sending it once more although it may have arrived.
    replay: bool,
}

struct Parts {
    shared: Shared,
    routes: Routes,
    rewrite: Rewrite,
    client: Client,
}

impl Proxy {
    /// Serves a bank through a client that is this worker's own.
    pub fn new(shared: Shared, client: Client) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Parts::new(shared, client))))
    }

    /// Serves the bank as it is from here on. What was sent already ends on the former client, which goes with its
    /// last request; what waits for a token or a place is sent with this one.
    pub fn replace(&self, shared: Shared, client: Client) {
        self.0.store(Arc::new(Parts::new(shared, client)));
    }
}

impl Service for Proxy {
    async fn call(&self, request: Request, caller: &Caller, departure: &Departure) -> Response {
        let parts = self.0.load_full();
        let mut event = Event::begin(&parts.shared.bank.name, &parts.shared.metrics, &request);
        match Parts::pass(Arc::clone(&parts), request, caller, departure, &self.0, &mut event).await {
            Ok((answer, place)) => event.until_end_of(answer, place),
            Err(error) => {
                // It may have ended before it had the id that the bank gets.
                event.identify(&Fields::new(), &parts.shared.random);
                parts.tell(&error, event)
            }
        }
    }

    fn refuse(&self, malformed: &Malformed, _: &Caller) -> Response {
        let parts = self.0.load();
        let event = Event::of_no_request(&parts.shared.bank.name, &parts.shared.metrics);
        parts.tell(&malformed.clone().into(), event)
    }
}

impl Parts {
    fn new(shared: Shared, client: Client) -> Self {
        let routes = Routes::new(Arc::clone(&shared.bank));
        let rewrite = Rewrite::new(&shared.bank, shared.random.clone());
        Self { shared, routes, rewrite, client }
    }

    /// A request's way to the bank and back. The place it takes is held to the end of the answer's body.
    async fn pass(
        mut parts: Arc<Self>,
        mut request: Request,
        caller: &Caller,
        departure: &Departure,
        newest: &ArcSwap<Self>,
        event: &mut Event,
    ) -> Result<(Response, Option<OwnedSemaphorePermit>), ProxyError> {
        let mut verdict = parts.judge(&request, caller, event)?;
        if hops::ends_here(&mut request) {
            event.identify(&request.fields, &parts.shared.random);
            return Ok((hops::answer(), None));
        }
        let place = parts.shared.in_flight.enter(&mut request, &parts.shared.metrics).await?;
        let mut token = loop {
            let token = parts.shared.tokens.get(&verdict.grant).await?;
            let newest = newest.load();
            if Arc::ptr_eq(&parts, &newest) {
                break token;
            }
            // The rules have changed while it waited. What judges it is what sends it.
            parts = Arc::clone(&newest);
            verdict = parts.judge(&request, caller, event)?;
        };
        let host = request.fields.get("Host").map(<[u8]>::to_vec);
        let keep = parts.shared.bank.limits.replay_body;
        let (mut outgoing, body) = parts.rewrite.rewrite(request, verdict.target.take(), keep, departure);
        let body = event.count(body);
        event.identify(outgoing.fields(), &parts.shared.random);
        event.span.continue_in(outgoing.fields_mut());

        let mut past = Past::default();
        let answer = parts.send(&mut outgoing, body, &mut token, &verdict, &mut past, event).await?;
        let mut answer =
            parts.once_more_if_unauthorized(answer, &mut outgoing, &token, &verdict, past, newest, event).await?;
        incoming::rewrite(&mut answer, &parts.shared.bank.base_url, host.as_deref());
        Ok((answer, Some(place)))
    }

    /// Whether a request may go to the bank, and how.
    fn judge(&self, request: &Request, caller: &Caller, event: &mut Event) -> Result<Verdict, ProxyError> {
        access::check(&self.shared.bank.access, request, caller)?;
        let target = access::origin_form(&request.target).ok_or(ProxyError::NoPath)?;
        self.routes.check_overrides(&request.fields, &target)?;
        let route = self.routes.find(&request.method, path::path_only(&target))?;
        event.route = route.map(|route| Arc::clone(&route.path.text));
        let passage = Passage::through(route)?;
        let grant = grant_of(request, &passage)?;
        event.grant = Some(grant.clone());
        let (timeout, replay) = (passage.timeout, passage.replay);
        let target = (*target != *request.target).then(|| target.into_owned().into());
        Ok(Verdict { target, grant, timeout, replay })
    }

    /// A 401 for a token that is not the best one, or that can be renewed: the request goes once more, never a third time.
    #[expect(clippy::too_many_arguments, reason = "all of them are what is known of the first time")]
    async fn once_more_if_unauthorized(
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
        let newest = newest.load_full();
        let by = if newest.shared.bank.handles_requests_like(&self.shared.bank) { &*newest } else { self };
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
        let answer = by.send(outgoing, body, &mut better, verdict, &mut past, event).await?;
        if answer.status.is_success() {
            better.mark_accepted();
        }
        Ok(answer)
    }

    /// Begins the renewal that a 401 calls for, although the request that met it cannot go once more.
    fn renew_for_others(&self, grant: &GrantName, sent: &Arc<Token>, lacks_scope: bool) {
        let (tokens, grant, sent) = (Arc::clone(&self.shared.tokens), grant.clone(), Arc::clone(sent));
        tokio::spawn(async move { tokens.after_unauthorized(&grant, &sent, lacks_scope).await });
    }

    /// Sends a request; once more where its connection died and that is safe, with the token that is best by then.
    async fn send(
        &self,
        outgoing: &mut Outgoing,
        mut body: Body,
        token: &mut Arc<Token>,
        verdict: &Verdict,
        past: &mut Past,
        event: &mut Event,
    ) -> Result<Response, SendError> {
        let timeout = verdict.timeout.unwrap_or(self.shared.bank.timeouts.response);
        let departure = outgoing.departure.clone();
        let mut sent = 1;
        loop {
            let may_have_arrived = past.may_have_arrived;
            let departs = |departs: bool| {
                if departs {
                    departure.begin();
                } else if !may_have_arrived {
                    departure.take_back();
                }
            };
            let sent_at = Instant::now();
            let error = match self.client.exchange(outgoing.with(body, token), timeout, departs).await {
                Ok(answer) => {
                    self.shared.metrics.bank_answered(sent_at);
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
                may_have_arrived_before: past.may_have_arrived,
            };
            let decision = resend::decide(attempt, &error);
            tracing::debug!(bank = %self.shared.bank.name, %error, ?decision, "a request's connection failed");
            match (decision, again) {
                (Resend::Once(_), Some(kept)) => body = kept,
                _ => return Err(past.told_with(error)),
            }
            if error.progress == Progress::NothingSent && !past.may_have_arrived {
                outgoing.departure.take_back();
            }
            // The first one may have ended while the connection was silent, and a 401 could not be made good any more.
            match self.shared.tokens.get(&verdict.grant).await {
                Ok(best) => *token = best,
                Err(_) => return Err(past.told_with(error)),
            }
            sent += 1;
            event.retried += 1;
            past.may_have_arrived |= error.progress == Progress::MayHaveArrived;
        }
    }

    fn tell(&self, error: &ProxyError, mut event: Event) -> Response {
        event.kind = Some(error.kind());
        if error.is_of_the_way_to_the_bank() {
            self.shared.metrics.bank_failed(error.detail());
        }
        if error.kind().status().is_server_error() {
            tracing::warn!(bank = %self.shared.bank.name, kind = error.kind().name(), detail = error.detail(), "no answer from the bank");
        }
        let answer = error.answer(&self.shared.bank, event.grant.as_ref());
        event.until_end_of(answer, None)
    }
}

/// The route's grant, else the one that `Bankside-Grant` names, else the default.
fn grant_of(request: &Request, passage: &Passage<'_>) -> Result<GrantName, ProxyError> {
    let asked = match request.fields.get("Bankside-Grant") {
        None => None,
        Some(name) => {
            let name = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
            Some(name.ok_or(ProxyError::NotAGrantName)?)
        }
    };
    match (passage.grant, asked) {
        (Some(route), Some(asked)) if asked != *route => Err(ProxyError::OtherGrant { route: route.clone() }),
        (Some(route), _) => Ok(route.clone()),
        (None, asked) => Ok(asked.unwrap_or_default()),
    }
}

/// Whether the bank says that the token lacks a scope (RFC 6750, section 3.1): a new one would lack it too.
fn says_insufficient_scope(answer: &Response) -> bool {
    const ERROR: &[u8] = b"insufficient_scope";
    answer.fields.get_all("WWW-Authenticate").any(|value| value.windows(ERROR.len()).any(|part| part == ERROR))
}
