//! The log's queue: who logs leaves an event's text and goes on, and one thread writes what has gathered. A busy log goes
//! out in batches, since a call and a wake-up for each event cost more than the event.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many bytes may wait: most of a second's events at the highest rates. No memory is taken before they come.
const ROOM: usize = 4 * 1024 * 1024;
/// A larger buffer is not kept.
const KEPT: usize = 256 * 1024;

/// If events came so shortly before, the next ones are waited for so long. Nobody who reads a log sees it.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// Events that wait to be written. Adding one never waits for who reads the log.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    came: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    events: u64,
    is_over: bool,
    writer_sleeps: bool,
}

/// Events are told to who reads the log only.
impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} events", self.events)
    }
}

/// The time, as far as the log's thread needs it.
pub(super) trait Edge {
    fn now(&mut self) -> Instant;
    fn rest(&mut self, time: Duration);
}

/// The machine's clock, and the sleep of a thread.
pub(super) struct Machine;

impl Edge for Machine {
    fn now(&mut self) -> Instant {
        Instant::now()
    }

    fn rest(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

impl Queue {
    /// How many events were dropped: they came too fast, or could not be written.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Nothing more is taken on, and [`write_to`](Self::write_to) ends with what waits.
    pub(super) fn end(&self) {
        self.waiting().is_over = true;
        self.came.notify_one();
    }

    /// Writes whatever comes, until the [end](Self::end). What cannot be written is counted: there is nobody to tell.
    pub(super) fn write_to(&self, writer: &mut impl Write, edge: &mut impl Edge) {
        let (mut batch, mut before) = (Vec::new(), None);
        while let Some(events) = self.take(&mut batch) {
            if write_all(&batch, writer, edge).is_err() {
                self.dropped.fetch_add(events, Relaxed);
            }
            batch.clear();
            batch.shrink_to(KEPT);
            let now = edge.now();
            if before.is_some_and(|before| now.duration_since(before) < 2 * PAUSE) {
                edge.rest(PAUSE);
            }
            before = Some(now);
        }
    }

    fn add(&self, event: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.is_over || waiting.text.len() + event.len() > ROOM {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        waiting.text.extend_from_slice(event);
        waiting.events += 1;
        if std::mem::take(&mut waiting.writer_sleeps) {
            self.came.notify_one();
        }
    }

    /// Changes what waits for the empty `batch`, as soon as there is something: how many events it is, or `None` at the
    /// end.
    fn take(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut waiting = self.waiting();
        while waiting.text.is_empty() {
            if waiting.is_over {
                return None;
            }
            waiting.writer_sleeps = true;
            waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut waiting.text, batch);
        Some(std::mem::take(&mut waiting.events))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event is one call.
impl Write for &Queue {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.add(event);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal that others have made non-blocking is waited for.
fn write_all(mut batch: &[u8], writer: &mut impl Write, edge: &mut impl Edge) -> io::Result<()> {
    while !batch.is_empty() {
        match writer.write(batch) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => batch = &batch[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => edge.rest(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
