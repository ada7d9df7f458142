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
    assert!(machine.out.left() > first.at);
    // What comes behind it never leaves.
    let second = machine.begin(&request(Method::GET, Body::absent()), true).unwrap().unwrap();
    assert!(machine.out.left() <= second.at);
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
