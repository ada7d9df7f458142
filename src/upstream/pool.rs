//! The connections to one endpoint: which are at hand, who waits for one, who makes one.
//!
//! HTTP/1.1 connections are lent to one request each and come back. An HTTP/2 connection carries many; there is one
//! until the bank's cap of streams is reached. What comes free goes to whoever has waited longest.

mod dial;
mod state;
mod sweep;
#[cfg(test)]
mod tests;
mod waiting;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::Alpn;

use super::connect::Known;
use super::limit::Leaving;
use super::{ClientSettings, Endpoint, Failure, TlsClient, http1, http2};
use state::{Idle, News, State};

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
    pub(super) fn at_hand(&self) -> Option<Lease> {
        self.state().at_hand()
    }

    /// Takes an HTTP/1.1 connection that is between two messages.
    pub(super) fn take_back(self: &Arc<Self>, mut connection: Box<http1::Connection>) {
        let mut state = self.state();
        connection.mark_reused(state.now);
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

    /// Closes the HTTP/1.1 connections that have been idle since this sweep or longer.
    pub(super) fn close_idle_since(&self, sweep: u32) {
        let mut state = self.state();
        let age = state.now.wrapping_sub(sweep);
        let idle = std::mem::take(&mut state.idle).into_iter();
        let (old, young): (Vec<_>, Vec<_>) = idle.partition(|idle| state.now.wrapping_sub(idle.since) >= age);
        state.idle = young;
        drop(state);
        for idle in old {
            idle.connection.close();
        }
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

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
