//! The log's queue before readers of all kinds, in a time that stands still but for rests.

use super::*;

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

fn still() -> Still {
    Still { now: Instant::now(), rests: 0 }
}

/// Answers each call as the test says: it gets the number of the call, and what is to be written.
struct Reader<F>(usize, Vec<Vec<u8>>, F);

impl<F: FnMut(usize, &[u8]) -> io::Result<usize>> Write for Reader<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += 1;
        let written = (self.2)(self.0, bytes)?;
        self.1.push(bytes[..written].to_vec());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn reader<F: FnMut(usize, &[u8]) -> io::Result<usize>>(answer: F) -> Reader<F> {
    Reader(0, Vec::new(), answer)
}

/// While one batch is written, the next event comes.
fn write_five_batches(edge: &mut impl Edge) {
    let queue = Queue::default();
    queue.add(b"first\n");
    let mut reader = reader(|call, bytes: &[u8]| {
        if call < 5 {
            queue.add(b"next\n");
        } else {
            queue.end();
        }
        Ok(bytes.len())
    });
    queue.write_to(&mut reader, edge);
    assert_eq!(reader.1.len(), 5);
}

#[test]
fn events_that_come_together_are_one_call() {
    let queue = Queue::default();
    for event in ["a\n", "b\n", "c\n"] {
        (&queue).write_all(event.as_bytes()).unwrap();
    }
    queue.end();
    let (mut reader, mut edge) = (reader(|_, bytes| Ok(bytes.len())), still());
    queue.write_to(&mut reader, &mut edge);
    assert_eq!((reader.1, edge.rests, queue.dropped()), (vec![b"a\nb\nc\n".to_vec()], 0, 0));
}

#[test]
fn a_busy_log_rests_after_each_batch_but_the_first() {
    let mut edge = still();
    write_five_batches(&mut edge);
    assert_eq!(edge.rests, 4);
}

#[test]
fn a_log_that_is_seldom_written_to_never_rests() {
    struct Slow(Still);
    impl Edge for Slow {
        fn now(&mut self) -> Instant {
            self.0.now += 2 * PAUSE;
            self.0.now
        }
        fn rest(&mut self, time: Duration) {
            self.0.rest(time);
        }
    }
    let mut edge = Slow(still());
    write_five_batches(&mut edge);
    assert_eq!(edge.0.rests, 0);
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let (queue, event) = (Queue::default(), vec![b'x'; 1024]);
    for _ in 0..ROOM / event.len() + 7 {
        queue.add(&event);
    }
    queue.end();
    queue.add(b"too late");
    assert_eq!(queue.dropped(), 8);
    let mut reader = reader(|_, bytes| Ok(bytes.len()));
    queue.write_to(&mut reader, &mut still());
    assert_eq!(reader.1.concat().len(), ROOM);
}

#[test]
fn what_a_reader_takes_in_parts_or_late_is_whole() {
    let queue = Queue::default();
    queue.add(b"an event\n");
    queue.end();
    let mut reader = reader(|call, bytes: &[u8]| match call % 3 {
        0 => Err(ErrorKind::Interrupted.into()),
        1 => Err(ErrorKind::WouldBlock.into()),
        _ => Ok(bytes.len().min(2)),
    });
    let mut edge = still();
    queue.write_to(&mut reader, &mut edge);
    assert_eq!((reader.1.concat(), queue.dropped()), (b"an event\n".to_vec(), 0));
    assert!(edge.rests > 3, "{}", edge.rests);
}

#[test]
fn a_reader_who_has_gone_does_not_keep_the_log_from_its_end_and_the_loss_is_counted() {
    let queue = Queue::default();
    queue.add(b"a\n");
    queue.add(b"b\n");
    let mut reader = reader(|_, _| {
        queue.end();
        Err(ErrorKind::BrokenPipe.into())
    });
    queue.write_to(&mut reader, &mut still());
    assert_eq!((reader.0, queue.dropped()), (1, 2));
}

#[test]
fn a_large_batch_does_not_keep_its_memory() {
    let queue = Queue::default();
    queue.add(&vec![b'x'; 2 * KEPT]);
    let mut batch = Vec::new();
    assert_eq!(queue.take(&mut batch), Some(1));
    batch.clear();
    batch.shrink_to(KEPT);
    assert!(batch.capacity() <= KEPT && queue.waiting().text.capacity() == 0);
}

#[test]
fn a_thread_that_waits_is_woken_by_an_event_and_by_the_end() {
    let queue = Queue::default();
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut reader = reader(|_, bytes| Ok(bytes.len()));
            queue.write_to(&mut reader, &mut still());
            reader.1.concat()
        });
        for _ in 0..100 {
            queue.add(b"event\n");
            std::thread::yield_now();
        }
        queue.end();
        writer.join().unwrap()
    });
    assert_eq!(written.len(), 600);
}
