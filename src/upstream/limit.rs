//! How many connections to a bank there may be, over all workers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::telemetry::ConnectionMetrics;

use super::Failure;
use super::pool::Pool;

/// The bound on open connections to a bank, shared by the clients of all workers.
///
/// An idle connection of one worker must not keep another worker waiting: who waits closes one, and as long as
/// somebody waits none is put aside.
#[derive(Debug)]
pub struct ConnectionLimit {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Those of them whose pool has no connection at all.
    without: AtomicUsize,
    is_one_leaving: AtomicBool,
    pools: Mutex<Vec<Weak<Pool>>>,
    metrics: ConnectionMetrics,
}

/// The right to one open connection. It lasts as long as the connection.
#[derive(Debug)]
pub(super) struct Permit {
    _held: OwnedSemaphorePermit,
    metrics: ConnectionMetrics,
    /// What counts the connection, once there is one.
    open: Option<Arc<AtomicUsize>>,
}

impl Permit {
    fn new(permit: OwnedSemaphorePermit, metrics: &ConnectionMetrics) -> Self {
        metrics.opened();
        Self { _held: permit, metrics: metrics.clone(), open: None }
    }

    /// From now on the connection is counted in `open`.
    pub(super) fn counted_in(mut self, open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        self.open = Some(Arc::clone(open));
        self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.metrics.closed();
        if let Some(open) = &self.open {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl ConnectionLimit {
    /// At most `most` connections, which nobody counts.
    pub fn new(most: usize) -> Self {
        Self::counted(most, ConnectionMetrics::default())
    }

    /// At most `most` connections, which are counted here.
    pub fn counted(most: usize, metrics: ConnectionMetrics) -> Self {
        let permits = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self {
            permits,
            waiting: AtomicUsize::new(0),
            without: AtomicUsize::new(0),
            is_one_leaving: AtomicBool::new(false),
            pools: Mutex::new(Vec::new()),
            metrics,
        }
    }

    /// What connections are counted by.
    pub(super) fn metrics(&self) -> &ConnectionMetrics {
        &self.metrics
    }

    /// How many requests wait for a permit.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many of them wait for a pool that has no connection at all.
    pub(super) fn without(&self) -> usize {
        self.without.load(Ordering::Relaxed)
    }

    /// Whether a request waits for a connection, or for a stream of one.
    pub fn is_waited_for(&self) -> bool {
        self.waiting() > 0 || self.pools().iter().filter_map(Weak::upgrade).any(|pool| pool.is_waited_for())
    }

    fn pools(&self) -> Vec<Weak<Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the idle connections of `pool` subject to this bound.
    pub(super) fn watch(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// A permit for `pool`, if there is one before `deadline`. `queue` is what the error tells.
    pub(super) async fn acquire(&self, pool: &Pool, deadline: Instant, queue: Duration) -> Result<Permit, Failure> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(Permit::new(permit, &self.metrics));
        }
        let _waiting = Waiting::new(&self.waiting);
        let _without = pool.is_without().then(|| Waiting::new(&self.without));
        self.close_one(pool.is_without());
        match timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Permit::new(permit, &self.metrics)),
            Ok(Err(_)) | Err(_) => Err(Failure::Saturated(queue)),
        }
    }

    /// Closes an idle connection. Where none is idle, a pool that has several gives one up for one that is `without`.
    fn close_one(&self, is_without: bool) {
        let pools: Vec<_> = self.pools().iter().filter_map(Weak::upgrade).collect();
        let is_closed = pools.iter().any(|pool| pool.close_one_idle());
        let _ = is_closed || is_without && pools.iter().any(|pool| pool.give_one_up());
    }
}

/// A connection that was given up for another pool and has not closed yet. There is one at a time: whoever waits is served
/// by its permit, and until then all others stay in use.
#[derive(Debug)]
pub(super) struct Leaving(Arc<ConnectionLimit>);

impl Leaving {
    /// If none is leaving.
    pub(super) fn begin(limit: &Arc<ConnectionLimit>) -> Option<Self> {
        (!limit.is_one_leaving.swap(true, Ordering::Relaxed)).then(|| Self(Arc::clone(limit)))
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.is_one_leaving.store(false, Ordering::Relaxed);
    }
}

/// Counted as waiting as long as it lives, whichever way the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
