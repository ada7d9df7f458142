//! An open HTTP/2 connection as the pool and the requests see it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::Failure;
use crate::upstream::limit::{Leaving, Permit};
use crate::upstream::pool::Pool;
use crate::upstream::tls_stream::TlsStream;
use crate::upstream::wire::Written;

use super::driver::Driver;
use super::machine::{CONNECTION_WINDOW, Machine, STREAM_WINDOW};

/// Streams that we open on one connection at most, whatever the bank would take.
const MOST_STREAMS: usize = 256;
/// Beyond so many answers that wait for their apps, the next request takes another connection.
const MOST_HELD: usize = (CONNECTION_WINDOW / STREAM_WINDOW / 2) as usize;

/// The pool's hold on a connection. When it and all streams are gone, the connection closes.
#[derive(Debug)]
pub(in crate::upstream) struct Handle(Arc<Connection>);

/// What a connection's task, its requests and the pool share.
#[derive(Debug)]
pub(in crate::upstream) struct Connection {
    pool: Weak<Pool>,
    machine: Mutex<Machine>,
    written: Written,
    opened: Instant,
    /// Streams that are lent.
    active: AtomicUsize,
    /// How many there may be.
    most: AtomicUsize,
    /// Answers that wait for their app.
    held: AtomicUsize,
    /// Whether the bank has told how many streams it takes.
    is_settled: AtomicBool,
    /// Whether it takes no more requests.
    is_over: AtomicBool,
    /// Whether nothing can be written to it any more.
    is_gone: AtomicBool,
    /// Whether the pool has let go of it.
    is_left: AtomicBool,
    has_been_used: AtomicBool,
    idle_sweeps: AtomicU32,
    /// Where it was given up for another pool. It ends with the connection.
    leaving: OnceLock<Leaving>,
}

/// One stream's place on a connection.
#[derive(Debug)]
pub(in crate::upstream) struct Lease {
    connection: Arc<Connection>,
    is_first: bool,
    is_given_back: bool,
}

/// Begins HTTP/2 on a stream, and the task that drives it. Does not wait for the bank.
pub(in crate::upstream) fn open(stream: TlsStream, permit: Permit, pool: &Arc<Pool>) -> Handle {
    let connection = Arc::new(Connection {
        pool: Arc::downgrade(pool),
        machine: Mutex::new(Machine::new()),
        written: stream.wire().written().clone(),
        opened: Instant::now(),
        active: AtomicUsize::new(0),
        // Until the bank's SETTINGS are there, one request is all that it is sure to take.
        most: AtomicUsize::new(1),
        held: AtomicUsize::new(0),
        is_settled: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        is_gone: AtomicBool::new(false),
        is_left: AtomicBool::new(false),
        has_been_used: AtomicBool::new(false),
        idle_sweeps: AtomicU32::new(0),
        leaving: OnceLock::new(),
    });
    tokio::spawn(Driver::new(stream, Arc::clone(&connection), permit));
    Handle(connection)
}

impl Handle {
    /// A place for one more stream, if there is one.
    pub(in crate::upstream) fn lend(&self) -> Option<Lease> {
        let connection = &self.0;
        let is_full = connection.active.load(Relaxed) >= connection.most.load(Relaxed).min(MOST_STREAMS);
        if is_full || connection.is_over.load(Relaxed) || connection.held.load(Relaxed) >= MOST_HELD {
            return None;
        }
        connection.active.fetch_add(1, Relaxed);
        let is_first = !connection.has_been_used.swap(true, Relaxed);
        Some(Lease { connection: Arc::clone(connection), is_first, is_given_back: false })
    }

    /// Whether the bank is yet to tell how many streams it takes, and not late with it.
    pub(in crate::upstream) fn is_awaited(&self) -> bool {
        self.0.is_awaited()
    }

    /// Whether no stream is lent.
    pub(in crate::upstream) fn is_unused(&self) -> bool {
        self.0.active.load(Relaxed) == 0
    }

    /// It is given up, and closes when its streams have ended.
    pub(in crate::upstream) fn leaves(&self, leaving: Leaving) {
        // Whoever is given up is in no pool any more, so this comes once.
        let _ = self.0.leaving.set(leaving);
    }

    /// How long it has been open.
    pub(in crate::upstream) fn age(&self) -> Duration {
        self.0.opened.elapsed()
    }

    pub(in crate::upstream) fn is(&self, connection: &Connection) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.0), connection)
    }

    /// Counts the sweeps, this one included, between which it has not been used.
    pub(in crate::upstream) fn idle_sweeps(&self) -> u32 {
        if self.0.has_been_used.swap(false, Relaxed) || !self.is_unused() {
            self.0.idle_sweeps.store(0, Relaxed);
            return 0;
        }
        self.0.idle_sweeps.fetch_add(1, Relaxed) + 1
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.is_left.store(true, Relaxed);
        self.0.machine().wake_driver();
    }
}

impl Connection {
    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes the socket has taken.
    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    /// The bank takes so many streams.
    pub(super) fn settle(&self, most: usize) {
        if self.is_settled.load(Relaxed) && self.most.load(Relaxed) == most {
            return;
        }
        self.most.store(most, Relaxed);
        self.is_settled.store(true, Relaxed);
        self.tell_pool(|pool| pool.has_room());
    }

    /// The bank is late to tell how many streams it takes. Until it has, nobody else waits for it.
    pub(super) fn be_late(&self) {
        self.most.store(0, Relaxed);
        self.tell_pool(|pool| pool.has_room());
    }

    /// Whether the bank is yet to tell how many streams it takes, and not late with it.
    fn is_awaited(&self) -> bool {
        !self.is_settled.load(Relaxed) && self.most.load(Relaxed) > 0
    }

    /// No request may be sent any more; `failure` says why, where that is known.
    pub(super) fn be_over(&self, failure: Option<&Failure>) {
        if self.is_over.swap(true, Relaxed) {
            return;
        }
        let hung_up = || Failure::Closed(io::ErrorKind::UnexpectedEof.into());
        // Nobody waits for one that is late.
        let failure = self.is_awaited().then(|| failure.map_or_else(hung_up, Failure::for_another));
        self.tell_pool(|pool| pool.forget(self, failure.as_ref()));
    }

    /// The connection's task has ended: what lies in its buffers never leaves.
    pub(super) fn be_gone(&self, failure: Failure) {
        self.is_gone.store(true, Relaxed);
        self.be_over(Some(&failure));
        self.machine().end(failure);
    }

    /// Whether the connection's task has ended. As long as it runs, what was handed to it may still leave.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Relaxed)
    }

    /// Whether a stream is lent.
    pub(super) fn is_in_use(&self) -> bool {
        self.active.load(Relaxed) > 0
    }

    /// Whether the bank has told how many streams it takes.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled.load(Relaxed)
    }

    /// Whether nobody will ask for anything any more.
    pub(super) fn is_done(&self) -> bool {
        (self.is_left.load(Relaxed) || self.is_over.load(Relaxed)) && self.active.load(Relaxed) == 0
    }

    /// An answer waits for its app, or does not any more. Neither the machine nor the pool may be locked.
    pub(super) fn hold(&self, is_held: bool) {
        if is_held {
            self.held.fetch_add(1, Relaxed);
        } else if self.held.fetch_sub(1, Relaxed) == MOST_HELD {
            self.tell_pool(|pool| pool.has_room());
        }
    }

    fn tell_pool(&self, tell: impl FnOnce(&Arc<Pool>)) {
        if let Some(pool) = self.pool.upgrade() {
            tell(&pool);
        }
    }
}

impl Lease {
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether the connection has carried a request before.
    pub(super) fn is_reused(&self) -> bool {
        !self.is_first
    }

    /// Ends the lease without a word to the pool, which is locked.
    pub(in crate::upstream) fn give_back(mut self) {
        self.is_given_back = true;
        self.connection.active.fetch_sub(1, Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_given_back {
            return;
        }
        self.connection.active.fetch_sub(1, Relaxed);
        if self.connection.is_done() {
            self.connection.machine().wake_driver();
        }
        self.connection.tell_pool(|pool| pool.has_room());
    }
}
