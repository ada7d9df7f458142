//! The way of a request.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::config::Bank;
use crate::inbound::{Caller, Departure, Malformed, Service, access};
use crate::message::{Fields, Request, Response};
use crate::oauth::Tokens;
use crate::telemetry::BankMetrics;
use crate::upstream::Client;
use crate::words::{GrantName, Random};

use super::event::Event;
use super::limits::InFlight;
use super::outgoing::Rewrite;
use super::problem::ProxyError;
use super::resend::Past;
use super::routes::{Passage, Routes};
use super::sending::Way;
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
pub(super) struct Verdict {
    /// The path and query, where it is not the request's target as it is.
    pub(super) target: Option<Bytes>,
    pub(super) grant: GrantName,
    /// The route's response timeout.
    pub(super) timeout: Option<Duration>,
    /// Whether the route allows sending it once more although it may have arrived.
    pub(super) replay: bool,
}

/// What serves a bank on a worker, as it is configured.
pub(super) struct Parts {
    pub(super) shared: Shared,
    routes: Routes,
    rewrite: Rewrite,
    pub(super) client: Client,
}

impl Proxy {
    /// Serves a bank through a client that is this worker's own.
    pub fn new(shared: Shared, client: Client) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Parts::new(shared, client))))
    }

    /// Serves the bank as it is from here on. What was sent already ends on the former client, which goes with its
    /// last request; what waits for a token, a place or a connection is sent with this one.
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
        let mut waited = None;
        let (mut token, ready) = loop {
            let token = parts.shared.tokens.get(&verdict.grant).await?;
            let Some(ready) = waited.take().or_else(|| parts.client.at_hand()) else {
                // By the time there is a connection, the token may have ended.
                waited = Some(parts.client.ready().await);
                continue;
            };
            let newest = newest.load();
            if Arc::ptr_eq(&parts, &newest) {
                break (token, ready);
            }
            // The rules have changed while it waited. What judges it is what sends it.
            verdict = newest.judge(&request, caller, event)?;
            waited = newest.client.is_same(&parts.client).then_some(ready);
            parts = Arc::clone(&newest);
        };
        let host = request.fields.get("Host").map(<[u8]>::to_vec);
        let keep = parts.shared.bank.limits.replay_body;
        let (mut outgoing, body) = parts.rewrite.rewrite(request, verdict.target.take(), keep, departure);
        let body = event.count(body);
        event.identify(outgoing.fields(), &parts.shared.random);
        event.span.continue_in(outgoing.fields_mut());

        let mut way = Way { outgoing, verdict, ready: Some(ready), past: Past::default(), newest, event };
        let answer = parts.send(body, &mut token, &mut way).await?;
        let mut answer = parts.once_more_if_unauthorized(answer, &token, &mut way).await?;
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
