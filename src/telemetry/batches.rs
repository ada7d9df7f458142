//! Where the log's thread writes: a busy log in batches, since a call and a wake-up for each event cost more than the event.

use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

/// So many bytes go out in one call at most.
const BATCH: usize = 64 * 1024;

/// If events came so shortly before, the next ones are waited for so long. Nobody who reads a log sees it.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// A writer that gathers what comes before it is flushed, and then rests if it was flushed a moment ago: what comes
/// meanwhile wakes nobody, and goes out together.
pub(super) struct Batches<W: Write, E> {
    gathered: BufWriter<W>,
    flushed: Option<Instant>,
    edge: E,
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

impl<W: Write, E: Edge> Batches<W, E> {
    pub(super) fn new(writer: W, edge: E) -> Self {
        Self { gathered: BufWriter::with_capacity(BATCH, writer), flushed: None, edge }
    }
}

impl<W: Write, E: Edge> Write for Batches<W, E> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.gathered.write(event)
    }

    fn flush(&mut self) -> io::Result<()> {
        // What could not be written stays, and is tried again. There is nobody to tell; an error would keep the log's
        // thread from seeing that it is to end.
        let _ = self.gathered.flush();
        let now = self.edge.now();
        let is_busy = self.flushed.is_some_and(|before| now.duration_since(before) < 2 * PAUSE);
        self.flushed = Some(now);
        if is_busy {
            self.edge.rest(PAUSE);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that stands still but for rests.
    struct Still {
        now: Instant,
        rests: usize,
    }

    impl Edge for Still {
        fn now(&mut self) -> Instant {
            self.now
        }

        fn rest(&mut self, time: Duration) {
            self.now += time;
            self.rests += 1;
        }
    }

    /// What was written, a piece a call.
    #[derive(Default)]
    struct Calls(Vec<Vec<u8>>);

    impl Write for Calls {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn quiet() -> Batches<Calls, Still> {
        Batches::new(Calls::default(), Still { now: Instant::now(), rests: 0 })
    }

    #[test]
    fn events_that_come_together_are_one_call() {
        let mut batches = quiet();
        for event in ["a\n", "b\n", "c\n"] {
            batches.write_all(event.as_bytes()).unwrap();
        }
        batches.flush().unwrap();
        assert_eq!(batches.gathered.get_ref().0, [b"a\nb\nc\n"]);
        assert_eq!(batches.edge.rests, 0);
    }

    #[test]
    fn a_log_that_is_seldom_written_to_never_rests() {
        let mut batches = quiet();
        for _ in 0..5 {
            batches.write_all(b"a\n").unwrap();
            batches.flush().unwrap();
            batches.edge.now += 2 * PAUSE;
        }
        assert_eq!((batches.gathered.get_ref().0.len(), batches.edge.rests), (5, 0));
    }

    #[test]
    fn a_busy_log_rests_after_each_batch_once_it_is_out() {
        let mut batches = quiet();
        for _ in 0..5 {
            batches.write_all(b"a\n").unwrap();
            batches.flush().unwrap();
        }
        assert_eq!((batches.gathered.get_ref().0.len(), batches.edge.rests), (5, 4));
    }

    /// The log's thread takes an error for a reason to go on.
    #[test]
    fn a_reader_who_has_gone_does_not_keep_the_log_from_its_end() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut batches = Batches::new(Gone, Still { now: Instant::now(), rests: 0 });
        batches.write_all(b"a\n").unwrap();
        batches.flush().unwrap();
        // It does not gather without end, either.
        assert!((0..BATCH).any(|_| batches.write_all(b"a\n").is_err()));
        batches.flush().unwrap();
    }

    #[test]
    fn an_event_longer_than_a_batch_is_whole() {
        let mut batches = quiet();
        batches.write_all(b"short\n").unwrap();
        batches.write_all(&vec![b'x'; 2 * BATCH]).unwrap();
        batches.flush().unwrap();
        assert_eq!(batches.gathered.get_ref().0.concat().len(), 6 + 2 * BATCH);
    }
}
