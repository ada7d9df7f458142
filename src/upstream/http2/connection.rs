//! An open HTTP/2 connection as the pool and the requests see it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use h2::client::SendRequest;

use crate::upstream::Failure;
use crate::upstream::connect::BankStream;
use crate::upstream::limit::Permit;
use crate::upstream::pool::Pool;

use super::driver::Driver;
use super::io::{Io, Watch};

/// Streams that we open on one connection at most, whatever the bank would take.
const MOST_STREAMS: usize = 256;
/// Bytes of one answer that the bank may send ahead of the app's reading.
const STREAM_WINDOW: u32 = 512 * 1024;
/// And of all answers on a connection: so many that slow apps do not hold up the others.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;
/// Beyond so many answers that wait for their apps, the next request takes another connection.
const MOST_HELD: usize = (CONNECTION_WINDOW / STREAM_WINDOW / 2) as usize;
/// Bytes of one request that wait to be written.
const SEND_BUFFER: usize = 256 * 1024;
/// As much as the HTTP/1.1 codec takes.
const HEAD: u32 = 72 * 1024;

/// The pool's hold on a connection. When it and all streams are gone, the connection closes.
#[derive(Debug)]
pub(in crate::upstream) struct Handle {
    sender: SendRequest<Bytes>,
    status: Arc<Status>,
}

/// What is known of a connection.
#[derive(Debug)]
pub(in crate::upstream) struct Status {
    pool: Weak<Pool>,
    pub(super) watch: Arc<Watch>,
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
    has_been_used: AtomicBool,
    idle_sweeps: AtomicU32,
}

/// One stream's place on a connection.
#[derive(Debug)]
pub(in crate::upstream) struct Lease {
    pub(super) sender: SendRequest<Bytes>,
    status: Arc<Status>,
    is_first: bool,
    is_given_back: bool,
}

/// Begins HTTP/2 on a stream, and the task that drives it. Does not wait for the bank.
pub(in crate::upstream) async fn open(
    stream: BankStream,
    permit: Permit,
    pool: &Arc<Pool>,
) -> Result<Handle, h2::Error> {
    let io = Io::new(stream);
    let (watch, writer) = (Arc::clone(io.watch()), io.writer());
    // Until the bank's SETTINGS are there, one request is all that it is sure to take.
    let (sender, connection) = h2::client::Builder::new()
        .initial_max_send_streams(1)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEAD)
        .enable_push(false)
        .handshake(io)
        .await?;
    let status = Arc::new(Status {
        pool: Arc::downgrade(pool),
        watch,
        active: AtomicUsize::new(0),
        most: AtomicUsize::new(1),
        held: AtomicUsize::new(0),
        is_settled: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        is_gone: AtomicBool::new(false),
        has_been_used: AtomicBool::new(false),
        idle_sweeps: AtomicU32::new(0),
    });
    tokio::spawn(Driver::new(connection, writer, Arc::clone(&status), permit));
    Ok(Handle { sender, status })
}

impl Handle {
    /// A place for one more stream, if there is one.
    pub(in crate::upstream) fn lend(&self) -> Option<Lease> {
        let status = &self.status;
        let is_full = status.active.load(Relaxed) >= status.most.load(Relaxed).min(MOST_STREAMS);
        if is_full || status.is_over.load(Relaxed) || status.held.load(Relaxed) >= MOST_HELD {
            return None;
        }
        status.active.fetch_add(1, Relaxed);
        let is_first = !status.has_been_used.swap(true, Relaxed);
        Some(Lease { sender: self.sender.clone(), status: Arc::clone(status), is_first, is_given_back: false })
    }

    /// Whether the bank has told how many streams it takes.
    pub(in crate::upstream) fn is_settled(&self) -> bool {
        self.status.is_settled.load(Relaxed)
    }

    /// Whether no stream is lent.
    pub(in crate::upstream) fn is_unused(&self) -> bool {
        self.status.active.load(Relaxed) == 0
    }

    pub(in crate::upstream) fn is(&self, status: &Status) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.status), status)
    }

    /// Counts the sweeps, this one included, between which it has not been used.
    pub(in crate::upstream) fn idle_sweeps(&self) -> u32 {
        let status = &self.status;
        if status.has_been_used.swap(false, Relaxed) || !self.is_unused() {
            status.idle_sweeps.store(0, Relaxed);
            return 0;
        }
        status.idle_sweeps.fetch_add(1, Relaxed) + 1
    }
}

impl Status {
    /// The bank takes so many streams.
    pub(super) fn settle(&self, most: usize) {
        if self.is_settled.load(Relaxed) && self.most.load(Relaxed) == most {
            return;
        }
        self.most.store(most, Relaxed);
        self.is_settled.store(true, Relaxed);
        self.tell_pool(|pool| pool.has_room());
    }

    /// No request may be sent any more.
    pub(super) fn end(&self) {
        if self.is_over.swap(true, Relaxed) {
            return;
        }
        let failure = (!self.is_settled.load(Relaxed))
            .then(|| self.watch.refusal().unwrap_or(Failure::Closed(io::ErrorKind::UnexpectedEof.into())));
        self.tell_pool(|pool| pool.forget(self, failure.as_ref()));
    }

    /// The connection's task has ended: what lies in its buffers never leaves.
    pub(super) fn be_gone(&self) {
        self.is_gone.store(true, Relaxed);
        self.end();
    }

    /// Whether the connection's task has ended. As long as it runs, what was handed to it may still leave.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Relaxed)
    }

    /// What an error of the library means here.
    pub(super) fn failed(&self, error: h2::Error) -> Failure {
        if let Some(refusal) = self.watch.refusal() {
            return refusal;
        }
        if error.is_io() {
            return Failure::Closed(error.into_io().unwrap_or(io::ErrorKind::Other.into()));
        }
        Failure::Http2(error)
    }

    /// An answer waits for its app, or does not any more.
    pub(super) fn hold(&self, is_held: bool) {
        if is_held {
            self.held.fetch_add(1, Relaxed);
        } else {
            self.held.fetch_sub(1, Relaxed);
        }
    }

    fn tell_pool(&self, tell: impl FnOnce(&Arc<Pool>)) {
        if let Some(pool) = self.pool.upgrade() {
            tell(&pool);
        }
    }
}

impl Lease {
    pub(super) fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Whether the connection has carried a request before.
    pub(super) fn is_reused(&self) -> bool {
        !self.is_first
    }

    /// Ends the lease without a word to the pool, which is locked.
    pub(in crate::upstream) fn give_back(mut self) {
        self.is_given_back = true;
        self.status.active.fetch_sub(1, Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.is_given_back {
            self.status.active.fetch_sub(1, Relaxed);
            self.status.tell_pool(|pool| pool.has_room());
        }
    }
}
