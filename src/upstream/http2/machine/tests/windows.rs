//! How much either side may send (RFC 9113, section 5.2).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Wake;

use super::*;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A connection with one request whose body is to come, and settings of the bank.
fn uploading(settings: &[(u16, u32)]) -> Machine {
    let mut machine = Machine::new();
    machine.begin(&request(Method::POST, Body::absent()), false).unwrap().unwrap();
    receive(&mut machine, &Says::settings(settings)).unwrap();
    left(&mut machine);
    machine
}

fn room(machine: &mut Machine) -> Option<usize> {
    match machine.poll_room(1, &cx()) {
        Poll::Ready(room) => Some(room.expect("an open stream")),
        Poll::Pending => None,
    }
}

/// Sends as much as there is room for; how much that was.
fn fill(machine: &mut Machine) -> usize {
    let mut sent = 0;
    loop {
        while let Some(room) = room(machine) {
            machine.send_content(1, &vec![0; room], false);
            sent += room;
        }
        if machine.out.waiting().is_empty() {
            return sent;
        }
        left(machine);
    }
}

#[test]
fn no_more_is_sent_than_the_bank_takes() {
    for (settings, more_of_stream, more_of_connection, expected) in [
        (&[][..], 0, 0, 65_535),
        (&[(setting::INITIAL_WINDOW_SIZE, 0)], 0, 0, 0),
        (&[(setting::INITIAL_WINDOW_SIZE, 100)], 0, 0, 100),
        (&[(setting::INITIAL_WINDOW_SIZE, 100)], 50, 0, 150),
        (&[(setting::INITIAL_WINDOW_SIZE, 1 << 20)], 0, 0, 65_535),
        (&[(setting::INITIAL_WINDOW_SIZE, 1 << 20)], 0, 1000, 66_535),
        (&[(setting::INITIAL_WINDOW_SIZE, 1 << 20), (setting::MAX_FRAME_SIZE, 1 << 20)], 0, 1 << 21, 1 << 20),
    ] {
        let mut machine = uploading(settings);
        for (stream, more) in [(1, more_of_stream), (0, more_of_connection)] {
            if more > 0 {
                let update = Says::default().frame(kind::WINDOW_UPDATE, 0, stream, &u32::to_be_bytes(more));
                receive(&mut machine, &update).unwrap();
            }
        }
        assert_eq!(fill(&mut machine), expected, "{settings:?}");
    }
}

#[test]
fn a_window_that_shrinks_below_what_was_sent_has_to_be_made_up_for() {
    let mut machine = uploading(&[(setting::INITIAL_WINDOW_SIZE, 1000)]);
    assert_eq!(fill(&mut machine), 1000);
    receive(&mut machine, &Says::settings(&[(setting::INITIAL_WINDOW_SIZE, 400)])).unwrap();
    let update = |more: u32| Says::default().frame(kind::WINDOW_UPDATE, 0, 1, &more.to_be_bytes());
    receive(&mut machine, &update(600)).unwrap();
    assert_eq!(fill(&mut machine), 0);
    receive(&mut machine, &update(1)).unwrap();
    assert_eq!(fill(&mut machine), 1);
}

#[test]
fn whoever_waits_for_room_is_woken_when_there_is_some() {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut machine = uploading(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    let grows = [
        Says::default().frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        Says::settings(&[(setting::INITIAL_WINDOW_SIZE, 7)]),
    ];
    for (count, says) in grows.iter().enumerate() {
        assert!(machine.poll_room(1, &Context::from_waker(&waker)).is_pending());
        receive(&mut machine, says).unwrap();
        assert_eq!(woken.0.load(Relaxed), count + 1);
        fill(&mut machine);
    }
    // The connection's window, and then the buffer.
    let mut machine = uploading(&[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]);
    assert_eq!(fill(&mut machine), 65_535);
    assert!(machine.poll_room(1, &Context::from_waker(&waker)).is_pending());
    receive(&mut machine, &Says::default().frame(kind::WINDOW_UPDATE, 0, 0, &[0, 4, 0, 0])).unwrap();
    assert_eq!(woken.0.load(Relaxed), 3);
    while let Some(room) = room(&mut machine) {
        machine.send_content(1, &vec![0; room], false);
    }
    assert!(machine.poll_room(1, &Context::from_waker(&waker)).is_pending());
    left(&mut machine);
    assert_eq!(woken.0.load(Relaxed), 4);
}

#[test]
fn the_bank_may_send_more_when_half_a_window_has_been_read() {
    let mut machine = machine(1);
    let piece = vec![0; 16_384];
    receive(&mut machine, &Says::settings(&[]).head(1, false, &[])).unwrap();
    left(&mut machine);
    let pieces = STREAM_WINDOW as usize / piece.len();
    for _ in 0..pieces {
        receive(&mut machine, &Says::default().data(1, false, &piece)).unwrap();
    }
    assert!(left(&mut machine).is_empty(), "nothing has been read");
    let (_, content, _) = answer(&mut machine, 1);
    assert_eq!(content.len(), STREAM_WINDOW as usize);
    let updates: Vec<_> = left(&mut machine);
    assert_eq!(updates.len(), 2);
    for (head, payload) in updates {
        assert_eq!((head.kind, head.stream), (kind::WINDOW_UPDATE, 1));
        assert_eq!(payload, (STREAM_WINDOW / 2).to_be_bytes());
    }
}

#[test]
fn a_bank_that_sends_more_than_it_may_is_stopped() {
    let mut machine = machine(2);
    let piece = vec![0; 16_384];
    let mut says = Says::settings(&[]).head(1, false, &[]).head(3, true, &[]);
    for _ in 0..=STREAM_WINDOW as usize / piece.len() {
        says = says.data(1, false, &piece);
    }
    receive(&mut machine, &says).unwrap();
    let (_, _, end) = answer(&mut machine, 1);
    assert!(matches!(end, Err(Failure::Malformed(_))), "{end:?}");
    assert!(matches!(answer(&mut machine, 3), (Some(200), _, Ok(true))));
    // And on all streams together, whatever becomes of them.
    let mut outcome = Ok(());
    for _ in 0..2 * CONNECTION_WINDOW as usize / piece.len() {
        machine.unreleased = 0;
        outcome = receive(&mut machine, &Says::default().data(3, false, &piece));
        if outcome.is_err() {
            break;
        }
    }
    assert_eq!(outcome.unwrap_err().reason, Reason::FLOW_CONTROL_ERROR);
}

#[test]
fn content_that_nobody_reads_and_padding_do_not_use_the_connection_up() {
    let mut machine = machine(1);
    receive(&mut machine, &Says::settings(&[]).head(1, false, &[])).unwrap();
    machine.forget(1, Deadline::never());
    let mut padded = vec![200];
    padded.extend(vec![0; 200 + 15_000]);
    let mut sent = 0;
    while sent < 4 * CONNECTION_WINDOW as usize {
        receive(&mut machine, &Says::default().frame(kind::DATA, flag::PADDED, 1, &padded)).unwrap();
        sent += padded.len();
        left(&mut machine);
    }
    let mut open = self::machine(1);
    receive(&mut open, &Says::settings(&[]).head(1, false, &[])).unwrap();
    let mut only_padding = vec![255];
    only_padding.extend(vec![0; 255]);
    for _ in 0..2 * STREAM_WINDOW as usize / 256 {
        receive(&mut open, &Says::default().frame(kind::DATA, flag::PADDED, 1, &only_padding)).unwrap();
    }
    assert!(matches!(answer(&mut open, 1), (Some(200), content, Ok(false)) if content.is_empty()));
}

#[test]
fn the_bank_can_end_an_upload_with_a_complete_answer() {
    let mut machine = uploading(&[]);
    let says = Says::default().head(1, true, &[]).frame(kind::RST_STREAM, 0, 1, &[0; 4]);
    receive(&mut machine, &says).unwrap();
    assert!(matches!(machine.poll_room(1, &cx()), Poll::Ready(Err(_))));
    assert!(machine.poll_closed(1, &cx()).is_ready());
    assert!(matches!(answer(&mut machine, 1), (Some(200), _, Ok(true))));
}
