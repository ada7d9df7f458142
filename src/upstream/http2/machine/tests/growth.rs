//! What a connection keeps in memory, however long it lives and whatever the bank does.

use super::*;

/// A socket that takes little at a time is never done, and what has left must not stay behind.
#[test]
fn what_has_left_is_given_up_though_more_always_waits() {
    let mut machine = Machine::new();
    machine.begin(&request(Method::POST, Body::absent()), false).unwrap().unwrap();
    let windows = Says::settings(&[(setting::INITIAL_WINDOW_SIZE, 0x7fff_ffff)]).frame(
        kind::WINDOW_UPDATE,
        0,
        0,
        &0x7fff_0000_u32.to_be_bytes(),
    );
    receive(&mut machine, &windows).unwrap();
    left(&mut machine);
    let (before, mut sent) = (machine.out.left(), Vec::new());
    let mut next = 0_u8;
    for _ in 0..1000 {
        while let Poll::Ready(room) = machine.poll_room(1, &cx()) {
            next = next.wrapping_add(1);
            machine.send_content(1, &vec![next; room.unwrap()], false);
        }
        let some = machine.out.waiting().len() - 1000;
        sent.extend_from_slice(&machine.out.waiting()[..some]);
        machine.out.advance(some);
        machine.has_written();
        assert!(machine.out.bytes.len() < 512 * 1024, "{}", machine.out.bytes.len());
    }
    assert_eq!(machine.out.left() - before, sent.len() as u64);
    // Nothing was lost or told twice.
    sent.extend_from_slice(machine.out.waiting());
    let (mut rest, mut expected) = (&sent[..], 0_u8);
    while let Some(head) = FrameHead::parse(rest) {
        expected = expected.wrapping_add(1);
        let (frame, later) = rest.split_at(FRAME_HEAD + head.length);
        assert!(head.kind == kind::DATA && frame[FRAME_HEAD..].iter().all(|&byte| byte == expected), "{head:?}");
        rest = later;
    }
    assert!(rest.is_empty() && expected == next);
}

/// A complete answer that its app has not read yet stays one, and what the bank says behind it is not answered each
/// time: who does not read would fill our memory with it.
#[test]
fn what_comes_behind_the_end_is_answered_once_at_most() {
    let nothing = [0; 4];
    for (what, says) in [
        ("content", Says::default().data(1, false, b"x")),
        ("heads", Says::default().head(1, true, &[])),
        ("updates by nothing", Says::default().frame(kind::WINDOW_UPDATE, 0, 1, &nothing)),
        ("updates too far", Says::default().frame(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])),
    ] {
        let mut machine = machine(1);
        receive(&mut machine, &Says::settings(&[]).head(1, false, &[]).data(1, true, b"all")).unwrap();
        left(&mut machine);
        for _ in 0..1000 {
            receive(&mut machine, &says).unwrap();
        }
        assert!(left(&mut machine).len() <= 1, "{what}");
        assert!(matches!(answer(&mut machine, 1), (Some(200), content, Ok(true)) if content == b"all"), "{what}");
    }
}

/// What TLS made of it before it failed is not known.
#[test]
fn a_write_that_fails_may_have_taken_all_that_waited() {
    let mut machine = machine(0);
    let first = machine.begin(&request(Method::GET, Body::absent()), true).unwrap().unwrap();
    machine.out.give_up();
    assert!(machine.out.waiting().is_empty());
    assert!(machine.streams[&first.stream].at < Some(machine.out.left()));
    // What comes behind it never leaves.
    let second = machine.begin(&request(Method::GET, Body::absent()), true).unwrap().unwrap();
    assert!(machine.streams[&second.stream].at >= Some(machine.out.left()));
}

#[test]
fn what_is_on_its_way_is_not_shown() {
    let mut machine = machine(1);
    let mut with_token = request(Method::GET, Body::absent());
    with_token.fields.push("Authorization", "Bearer AAAAAAAA");
    machine.begin(&with_token, true).unwrap().unwrap();
    receive(&mut machine, &Says::settings(&[]).head(1, false, &[("x-secret", "BBBBBBBB")]).data(1, false, b"CCCCCCCC"))
        .unwrap();
    let shown = format!("{machine:?}");
    for (letter, code) in [('A', 65), ('B', 66), ('C', 67)] {
        assert!(!shown.contains(&letter.to_string().repeat(8)), "{shown}");
        assert!(!shown.contains(&vec![code.to_string(); 8].join(", ")), "{shown}");
    }
}

#[test]
fn where_a_bank_does_not_read_for_long_no_more_is_begun() {
    let mut machine = Machine::new();
    let mut request = request(Method::GET, Body::absent());
    request.fields.push("Authorization", "x".repeat(8000));
    let mut begun = 0;
    while machine.begin(&request, true).unwrap().is_some() {
        begun += 1;
    }
    assert!(machine.takes_no_more() && begun > 100, "{begun}");
    assert!(machine.out.waiting().len() < MOST_WAITING + 16 * 1024, "{}", machine.out.waiting().len());
}

#[test]
fn apps_that_come_and_go_leave_nothing_behind_where_a_bank_does_not_read() {
    let (mut machine, request) = (machine(1), request(Method::GET, Body::absent()));
    for _ in 0..1000 {
        let begun = machine.begin(&request, true).unwrap().unwrap();
        machine.forget(begun.stream, begun.deadline);
    }
    assert!(machine.out.waiting().is_empty());
}

/// A window full of content is as much of it in one frame as in half a million.
#[test]
fn an_answer_in_many_small_frames_is_read_as_one_in_few() {
    const SMALL: usize = 100_000;
    let content: Vec<u8> = (0..SMALL).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut says = Says::settings(&[]).head(1, false, &[]);
    for byte in &content {
        says = says.data(1, false, std::slice::from_ref(byte));
    }
    let mut machine = machine(1);
    receive(&mut machine, &says.data(1, true, b"")).unwrap();
    assert!(matches!(machine.poll_answer(1, &cx()), Poll::Ready(Ok(Answered::Head(_)))));
    let (mut read, mut parts) = (Vec::new(), 0);
    while let Poll::Ready(Ok(Part::Content(part))) = machine.poll_part(1, &cx()) {
        read.extend_from_slice(&part);
        parts += 1;
        assert_eq!(machine.is_read(1), read.len() == SMALL);
    }
    assert!(read == content && parts <= 2, "{parts} parts");
}

/// Small pieces and large ones, read in between, come in their order.
#[test]
fn pieces_of_all_sizes_keep_their_order() {
    proptest!(|(sizes in proptest::collection::vec(prop_oneof![0..10_usize, 4_000..5_000_usize], 1..40), reads: [bool; 40])| {
        let (mut machine, mut sent, mut got) = (machine(1), Vec::new(), Vec::new());
        receive(&mut machine, &Says::settings(&[]).head(1, false, &[])).unwrap();
        assert!(matches!(machine.poll_answer(1, &cx()), Poll::Ready(Ok(Answered::Head(_)))));
        for (at, size) in sizes.iter().enumerate() {
            let piece = vec![u8::try_from(at).unwrap(); *size];
            receive(&mut machine, &Says::default().data(1, at + 1 == sizes.len(), &piece)).unwrap();
            sent.extend(piece);
            if reads[at] && let Poll::Ready(Ok(Part::Content(part))) = machine.poll_part(1, &cx()) {
                got.extend_from_slice(&part);
            }
        }
        let (left, end) = rest(&mut machine, 1);
        got.extend(left);
        prop_assert!(got == sent && end.unwrap());
    });
}
