//! What a pool knows of its connections, under one lock.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config::Alpn;
use crate::upstream::{Failure, http1, http2};

use super::{Lease, MOST_DIALS, MOST_MULTIPLEXED};

#[derive(Default)]
pub(super) struct State {
    /// What the bank has chosen last; `None` until the first connection stands, if it may choose.
    pub(super) protocol: Option<Alpn>,
    /// The most recently used one last.
    pub(super) idle: Vec<Idle>,
    pub(super) multiplexed: Vec<http2::Handle>,
    /// The one that has waited longest first. Some may have given up.
    pub(super) waiting: VecDeque<Waiter>,
    /// How many requests or tasks are about to bring a connection.
    pub(super) dials: usize,
    /// Those of them that have their permit: a handshake waits for none.
    pub(super) permitted: usize,
    /// The last attempt's failure, and how long the next one waits, as long as those who wait may still be served by a
    /// connection that is in use.
    pub(super) failing: Option<(Failure, Duration)>,
    pub(super) handed_on: u32,
    /// Counts sweeps.
    pub(super) now: u32,
    pub(super) is_swept: bool,
}

pub(super) struct Idle {
    pub(super) connection: Box<http1::Connection>,
    /// The sweep since which it has been unused.
    pub(super) since: u32,
}

/// Somebody who waits.
pub(super) struct Waiter {
    pub(super) tell: oneshot::Sender<News>,
    /// Whether they brought a connection themselves, or are about to.
    pub(super) brings: bool,
    /// When their time in the queue is up.
    pub(super) until: Instant,
}

/// What somebody who waits is told.
pub(super) enum News {
    Lease(Lease),
    Failed(Failure),
    /// Things have changed: look again, and perhaps make a connection.
    LookAgain,
}

/// No `Lease` may be dropped in here: its end locks the state.
impl State {
    pub(super) fn at_hand(&mut self) -> Option<Lease> {
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
    pub(super) fn lend_streams(&mut self) {
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
    pub(super) fn next_waiter(&mut self) -> Option<Waiter> {
        while let Some(waiter) = self.waiting.pop_front() {
            if !waiter.tell.is_closed() {
                return Some(waiter);
            }
        }
        None
    }

    /// Lets the one who has waited longest, and does not bring a connection, look again, if there should be one more.
    pub(super) fn wake_one(&mut self) {
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
    /// succeeds. Else one is made at a time, and only after those that are there have told how many streams they carry,
    /// or are late with it: the next may not be needed.
    pub(super) fn wants_dial(&self) -> bool {
        if self.protocol == Some(Alpn::Http11) && self.failing.is_none() {
            return self.dials < MOST_DIALS;
        }
        self.dials == 0
            && self.multiplexed.len() < MOST_MULTIPLEXED
            && !self.multiplexed.iter().any(http2::Handle::is_awaited)
    }

    /// Takes out the HTTP/2 connection that has been open longest, if it has had its time: its streams go on to their
    /// ends, and it closes.
    pub(super) fn take_oldest(&mut self, held_on: Duration) -> Option<http2::Handle> {
        let ages = self.multiplexed.iter().map(http2::Handle::age).enumerate();
        let (oldest, age) = ages.max_by_key(|(_, age)| *age)?;
        (age >= held_on).then(|| self.multiplexed.swap_remove(oldest))
    }

    /// Takes out an HTTP/2 connection without streams.
    pub(super) fn take_unused(&mut self) -> Option<http2::Handle> {
        let at = self.multiplexed.iter().position(http2::Handle::is_unused)?;
        Some(self.multiplexed.swap_remove(at))
    }
}
