//! Making a connection, in a task of its own: it outlives the request that began it, and serves whoever waits longest.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Pool;
use super::state::{News, State};
use crate::config::Alpn;
use crate::upstream::connect::{Connected, connect_knowing};
use crate::upstream::limit::Permit;
use crate::upstream::{Failure, http1, http2};

/// While connections are in use, the first attempt after one that failed waits for so long.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// Each after it waits for twice as long, up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// The duty to bring a connection. If it is dropped before it began, the next in the queue takes it over.
pub(super) struct Dial {
    pool: Arc<Pool>,
    has_permit: bool,
    /// Whether those who wait know what came of it, or will.
    is_told: bool,
}

impl Dial {
    /// Takes the duty on. `state` is that of `pool`.
    pub(super) fn new(pool: &Arc<Pool>, state: &mut State) -> Self {
        state.dials += 1;
        Self { pool: Arc::clone(pool), has_permit: false, is_told: true }
    }

    /// Connects, and hands the outcome to those who wait.
    pub(super) fn start(mut self, permit: Permit) {
        self.pool.state().permitted += 1;
        self.has_permit = true;
        self.is_told = false;
        tokio::spawn(async move {
            let pool = &Arc::clone(&self.pool);
            let connected = connect_knowing(&pool.known, &pool.endpoint, &pool.tls, pool.settings.connect).await;
            pool.count(&connected);
            self.be_told();
            match connected {
                Ok(Connected { stream, protocol: Alpn::Http11 }) => {
                    let permit = permit.counted_in(&pool.open);
                    pool.connected_http1(http1::Connection::new(stream, permit, pool));
                }
                Ok(Connected { stream, protocol: Alpn::H2 }) => {
                    pool.connected_http2(http2::open(stream, permit, pool));
                }
                Err(failure) => {
                    drop(permit);
                    if let Some(pause) = pool.attempt_failed(failure) {
                        // Nobody else makes an attempt before this one is over.
                        sleep(pause).await;
                    }
                }
            }
        });
    }

    fn be_told(&mut self) {
        self.is_told = true;
    }

    /// Ends as if it had panicked.
    #[cfg(test)]
    pub(super) fn break_off(mut self) {
        self.pool.state().permitted += 1;
        (self.has_permit, self.is_told) = (true, false);
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if !self.is_told {
            // It has panicked, and so might the next.
            self.pool.not_connected(&Failure::Connect(io::Error::other("the attempt broke off")));
        }
        let mut state = self.pool.state();
        state.dials -= 1;
        state.permitted -= usize::from(self.has_permit);
        state.wake_one();
    }
}

impl Pool {
    fn count(&self, connected: &Result<Connected, Failure>) {
        let metrics = self.settings.connections.metrics();
        match connected {
            Ok(connected) => metrics.connected(connected.is_resumed()),
            Err(failure) => metrics.failed(failure.to_string()),
        }
    }

    fn connected_http1(self: &Arc<Self>, connection: Box<http1::Connection>) {
        let mut state = self.state();
        let is_news = state.protocol.replace(Alpn::Http11) != Some(Alpn::Http11) || state.failing.is_some();
        state.failing = None;
        self.lend(&mut state, connection);
        drop(state);
        if is_news {
            // They have waited for this one, in the hope of streams or of a bank that is back: each needs one of its own.
            self.tell_all(|| News::LookAgain);
        }
    }

    fn connected_http2(self: &Arc<Self>, handle: http2::Handle) {
        let mut state = self.state();
        state.protocol = Some(Alpn::H2);
        state.failing = None;
        state.multiplexed.push(handle);
        self.keep_swept(&mut state);
        state.lend_streams();
    }

    /// No connection came of an attempt. Those who wait are told, unless one in use may serve them sooner than an attempt
    /// would: then they are told when their time is up. Returns how long the next attempt is to wait.
    fn attempt_failed(&self, failure: Failure) -> Option<Duration> {
        let mut state = self.state();
        let former = state.failing.take();
        if !self.is_in_use(&state) {
            drop(state);
            self.not_connected(&failure);
            return None;
        }
        let is_last = state.dials == 1;
        let pause = match former {
            Some((_, pause)) if is_last => LONGEST_PAUSE.min(2 * pause),
            Some((_, pause)) => pause,
            None => SHORTEST_PAUSE,
        };
        // Whose time was up waited for this attempt only.
        let now = Instant::now();
        let waiting = std::mem::take(&mut state.waiting).into_iter();
        let (late, waiting): (VecDeque<_>, _) = waiting.partition(|waiter| waiter.until <= now);
        state.waiting = waiting;
        for waiter in late {
            // Who has given up does not need to know.
            let _ = waiter.tell.send(News::Failed(failure.for_another()));
        }
        state.failing = Some((failure, pause));
        is_last.then_some(pause)
    }

    /// No connection came of an attempt, or none that was of use. Those who have waited for it are told.
    pub(super) fn not_connected(&self, failure: &Failure) {
        let mut state = self.state();
        let is_shared = state.protocol != Some(Alpn::Http11) && state.multiplexed.is_empty();
        if is_shared {
            drop(state);
            return self.tell_all(|| News::Failed(failure.for_another()));
        }
        // Each attempt is that of its share of those who wait.
        let mut share = state.waiting.len().div_ceil(state.dials.max(1));
        while share > 0
            && let Some(waiter) = state.waiting.pop_front()
        {
            share -= usize::from(waiter.tell.send(News::Failed(failure.for_another())).is_ok());
        }
    }

    fn tell_all(&self, news: impl Fn() -> News) {
        let waiting = std::mem::take(&mut self.state().waiting);
        for waiter in waiting {
            // Who has given up does not need to know.
            let _ = waiter.tell.send(news());
        }
    }
}
