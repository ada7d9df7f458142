//! The connections to one endpoint: which are at hand, who waits for one, who makes one.
//!
//! HTTP/1.1 connections are lent to one request each and come back. An HTTP/2 connection carries many; there is one
//! until the bank's cap of streams is reached. What comes free goes to whoever has waited longest.

mod dial;
mod sweep;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config::Alpn;

use super::connect::Known;
use super::limit::Leaving;
use super::{ClientSettings, Endpoint, Failure, TlsClient, http1, http2};

/// HTTP/1.1 connections that one pool makes at once. A handshake costs as much as 20 or 30 requests: of a larger burst,
/// most are served sooner by a connection that comes back.
const MOST_DIALS: usize = 32;
/// HTTP/2 connections that one pool opens at most.
const MOST_MULTIPLEXED: usize = 16;
/// While others wait for a permit, every so many returned connections one is closed for them, even if somebody waits
/// here: handing connections on within one worker for ever would starve the others.
const HANDED_ON: u32 = 8;
/// While others have no connection at all, an HTTP/2 connection that has been open for so long takes no more streams.
const HELD_ON: Duration = Duration::from_millis(100);
/// While others only want one more, that of several that has been open for so long: handshakes are dear.
const HELD_ON_LONG: Duration = Duration::from_secs(1);

/// A connection for one request.
#[derive(Debug)]
pub(super) enum Lease {
    /// All of it.
    Http1(Box<http1::Connection>),
    /// A stream of it.
    Http2(http2::Lease),
}

/// See the module.
pub(super) struct Pool {
    endpoint: Endpoint,
    known: Known,
    tls: Arc<TlsClient>,
    settings: ClientSettings,
    /// HTTP/1.1 connections that are open, idle or in use.
    open: Arc<AtomicUsize>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the bank has chosen last; `None` until the first connection stands, if it may choose.
    protocol: Option<Alpn>,
    /// The most recently used one last.
    idle: Vec<Idle>,
    multiplexed: Vec<http2::Handle>,
    /// The one that has waited longest first. Some may have given up.
    waiting: VecDeque<Waiter>,
    /// How many requests or tasks are about to bring a connection.
    dials: usize,
    /// Those of them that have their permit: a handshake waits for none.
    permitted: usize,
    /// The last attempt's failure, and how long the next one waits, as long as those who wait may still be served by a
    /// connection that is in use.
    failing: Option<(Failure, Duration)>,
    handed_on: u32,
    /// Counts sweeps.
    now: u32,
    is_swept: bool,
}

struct Idle {
    connection: Box<http1::Connection>,
    /// The sweep since which it has been unused.
    since: u32,
}

/// Somebody who waits.
struct Waiter {
    tell: oneshot::Sender<News>,
    /// Whether they brought a connection themselves, or are about to.
    brings: bool,
    /// When their time in the queue is up.
    until: Instant,
}

/// What somebody who waits is told.
enum News {
    Lease(Lease),
    Failed(Failure),
    /// Things have changed: look again, and perhaps make a connection.
    LookAgain,
}

impl Pool {
    pub(super) fn new(endpoint: Endpoint, tls: Arc<TlsClient>, settings: ClientSettings) -> Arc<Self> {
        let protocol = (!tls.offers(Alpn::H2)).then_some(Alpn::Http11);
        let state = Mutex::new(State { protocol, ..State::default() });
        let (known, open) = (Known::default(), Arc::default());
        let pool = Arc::new(Self { endpoint, known, tls, settings, open, state });
        pool.settings.connections.watch(&pool);
        pool
    }

    pub(super) fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// A connection that is fit for a request, if there is one.
    fn at_hand(&self) -> Option<Lease> {
        self.state().at_hand()
    }

    /// Takes an HTTP/1.1 connection that is between two messages.
    pub(super) fn take_back(self: &Arc<Self>, mut connection: Box<http1::Connection>) {
        connection.mark_reused();
        let mut state = self.state();
        state.handed_on = state.handed_on.wrapping_add(1);
        if state.handed_on.is_multiple_of(HANDED_ON) && self.others_wait(&state) {
            return;
        }
        self.lend_if_fit(&mut state, connection);
    }

    /// Takes an HTTP/1.1 connection that was lent and not used.
    fn put_back(self: &Arc<Self>, connection: Box<http1::Connection>) {
        self.lend_if_fit(&mut self.state(), connection);
    }

    /// What has come unasked is no answer to the next request (RFC 9112, section 6.3). Idle connections are looked at
    /// when they are lent.
    fn lend_if_fit(self: &Arc<Self>, state: &mut State, mut connection: Box<http1::Connection>) {
        if state.waiting.is_empty() || connection.is_fit() {
            self.lend(state, connection);
        }
    }

    /// Gives an HTTP/1.1 connection to whoever waits longest, or puts it aside.
    fn lend(self: &Arc<Self>, state: &mut State, connection: Box<http1::Connection>) {
        let mut lease = Lease::Http1(connection);
        while let Some(waiter) = state.waiting.pop_front() {
            match waiter.tell.send(News::Lease(lease)) {
                Err(News::Lease(refused)) => lease = refused,
                _ => return,
            }
        }
        if let Lease::Http1(connection) = lease
            && !self.others_wait(state)
        {
            let since = state.now;
            state.idle.push(Idle { connection, since });
            state.failing = None;
            self.keep_swept(state);
        }
    }

    /// Whether somebody waits for a permit who does not wait here.
    fn others_wait(&self, state: &State) -> bool {
        // Whoever of us waits for one is about to bring a connection.
        self.settings.connections.waiting() > state.dials - state.permitted
    }

    /// An HTTP/2 connection has room for a stream more, or has learnt how much it has.
    pub(super) fn has_room(&self) {
        let mut state = self.state();
        let waiting = self.settings.connections.waiting();
        if state.waiting.is_empty() && waiting == 0 {
            return;
        }
        state.lend_streams();
        state.wake_one();
        let unused = if waiting > 0 { state.take_unused() } else { None };
        // A worker that always has a stream open would never have an unused one for the others.
        let given_up = unused.or_else(|| {
            let held_on = if self.settings.connections.without() > 0 { HELD_ON } else { HELD_ON_LONG };
            let may_give = state.multiplexed.len() > 1 || held_on == HELD_ON;
            if may_give && self.others_wait(&state) { self.give_up_oldest(&mut state, held_on) } else { None }
        });
        drop(state);
        drop(given_up);
    }

    /// An HTTP/2 connection is not to be used any more; `failure` if it never was of use.
    pub(super) fn forget(&self, connection: &http2::Connection, failure: Option<&Failure>) {
        let mut state = self.state();
        state.multiplexed.retain(|handle| !handle.is(connection));
        if let Some(failure) = failure {
            drop(state);
            self.not_connected(failure);
        } else {
            state.wake_one();
        }
    }

    /// Whether connections are in use that come back, or streams that come free. `state` is that of this pool.
    fn is_in_use(&self, state: &State) -> bool {
        self.open.load(Ordering::Relaxed) > state.idle.len() || !state.multiplexed.is_empty()
    }

    /// Whether a request waits for a connection or a stream.
    pub(super) fn is_waited_for(&self) -> bool {
        self.state().waiting.iter().any(|waiter| !waiter.tell.is_closed())
    }

    /// Closes the connection that has been idle longest; whether there was one.
    pub(super) fn close_one_idle(&self) -> bool {
        let mut state = self.state();
        if !state.idle.is_empty() {
            let longest = state.idle.remove(0);
            drop(state);
            longest.connection.close();
            return true;
        }
        state.take_unused().is_some()
    }

    /// Lets go of an HTTP/2 connection, if there are several: it closes when its streams have ended. Whether it did.
    pub(super) fn give_one_up(&self) -> bool {
        let mut state = self.state();
        let given_up = if state.multiplexed.len() > 1 { self.give_up_oldest(&mut state, HELD_ON) } else { None };
        drop(state);
        given_up.is_some()
    }

    /// Takes the oldest HTTP/2 connection out, unless one of any pool is leaving. `state` is that of this pool.
    fn give_up_oldest(&self, state: &mut State, held_on: Duration) -> Option<http2::Handle> {
        let leaving = Leaving::begin(&self.settings.connections)?;
        let handle = state.take_oldest(held_on)?;
        handle.leaves(leaving);
        Some(handle)
    }

    /// Whether there is no connection.
    pub(super) fn is_without(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0 && self.state().multiplexed.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No `Lease` may be dropped in here: its end locks the state.
impl State {
    fn at_hand(&mut self) -> Option<Lease> {
        if let Some(lease) = self.multiplexed.iter().find_map(http2::Handle::lend) {
            return Some(Lease::Http2(lease));
        }
        while let Some(mut idle) = self.idle.pop() {
            if idle.connection.is_fit() {
                return Some(Lease::Http1(idle.connection));
            }
        }
        None
    }

    /// Gives streams to those who wait, as long as there are any.
    fn lend_streams(&mut self) {
        while let Some(waiter) = self.next_waiter() {
            let Some(lease) = self.multiplexed.iter().find_map(http2::Handle::lend) else {
                return self.waiting.push_front(waiter);
            };
            if let Err(News::Lease(Lease::Http2(lease))) = waiter.tell.send(News::Lease(Lease::Http2(lease))) {
                lease.give_back();
            }
        }
    }

    /// Takes the one who has waited longest from the queue.
    fn next_waiter(&mut self) -> Option<Waiter> {
        while let Some(waiter) = self.waiting.pop_front() {
            if !waiter.tell.is_closed() {
                return Some(waiter);
            }
        }
        None
    }

    /// Lets the one who has waited longest, and does not bring a connection, look again, if there should be one more.
    fn wake_one(&mut self) {
        if !self.wants_dial() {
            return;
        }
        let mut at = 0;
        while at < self.waiting.len() {
            // As long as connections are being made, those who bring them are busy.
            if self.waiting[at].brings && self.dials > 0 {
                at += 1;
                continue;
            }
            if self.waiting.remove(at).is_some_and(|waiter| waiter.tell.send(News::LookAgain).is_ok()) {
                return;
            }
        }
    }

    /// Whether somebody who waits should bring a connection. With HTTP/1.1 each does, up to a bound, as long as that
    /// succeeds. Else one is made at a time, and only after those that are there have told how many streams they carry:
    /// the next may not be needed.
    fn wants_dial(&self) -> bool {
        if self.protocol == Some(Alpn::Http11) && self.failing.is_none() {
            return self.dials < MOST_DIALS;
        }
        self.dials == 0
            && self.multiplexed.len() < MOST_MULTIPLEXED
            && self.multiplexed.iter().all(http2::Handle::is_settled)
    }

    /// Takes out the HTTP/2 connection that has been open longest, if it has had its time: its streams go on to their
    /// ends, and it closes.
    fn take_oldest(&mut self, held_on: Duration) -> Option<http2::Handle> {
        let ages = self.multiplexed.iter().map(http2::Handle::age).enumerate();
        let (oldest, age) = ages.max_by_key(|(_, age)| *age)?;
        (age >= held_on).then(|| self.multiplexed.swap_remove(oldest))
    }

    /// Takes out an HTTP/2 connection without streams.
    fn take_unused(&mut self) -> Option<http2::Handle> {
        let at = self.multiplexed.iter().position(http2::Handle::is_unused)?;
        Some(self.multiplexed.swap_remove(at))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
