//! Requests that are given up, or refused, before they have left.

use super::*;

/// A connection that carries a request already, whose own words have left.
fn open() -> Machine {
    let mut machine = machine(1);
    receive(&mut machine, &Says::settings(&[])).unwrap();
    left(&mut machine);
    machine
}

/// Begins a request whose content is to come.
fn upload(machine: &mut Machine) -> u32 {
    machine.begin(&request(Method::POST, Body::absent()), false).unwrap().unwrap().stream
}

/// Kind and stream of what leaves.
fn shapes(machine: &mut Machine) -> Vec<(u8, u32)> {
    left(machine).into_iter().map(|(head, _)| (head.kind, head.stream)).collect()
}

#[test]
fn a_request_that_is_given_up_before_it_leaves_never_leaves_and_the_bank_hears_nothing_of_it() {
    let mut machine = open();
    let window = machine.send_window;
    let (given_up, kept) = (upload(&mut machine), upload(&mut machine));
    machine.send_content(given_up, b"pay", false);
    machine.send_content(kept, b"keep", true);
    machine.send_content(given_up, b"ment", true);
    machine.ping();
    machine.forget(given_up, Deadline::never());
    assert_eq!(machine.send_window, window - 4);
    assert_eq!(shapes(&mut machine), [(kind::HEADERS, kept), (kind::DATA, kept), (kind::PING, 0)]);
    assert_eq!(upload(&mut machine), kept + 2);
}

#[test]
fn a_request_of_which_a_byte_has_left_is_not_taken_back_but_reset() {
    let mut machine = open();
    let id = upload(&mut machine);
    machine.out.advance(1);
    assert!(!machine.take_back(id));
    machine.forget(id, Deadline::never());
    let mut whole = vec![0];
    whole.extend(machine.out.waiting());
    let head = FrameHead::parse(&whole).unwrap();
    let reset = FrameHead::parse(&whole[FRAME_HEAD + head.length..]).unwrap();
    assert_eq!((reset.kind, reset.stream), (kind::RST_STREAM, id));
}

#[test]
fn the_first_request_of_a_connection_stays_since_its_head_says_that_no_table_is_used() {
    let mut machine = machine(0);
    let id = upload(&mut machine);
    assert!(!machine.take_back(id));
    machine.forget(id, Deadline::never());
    assert_eq!(shapes(&mut machine), [(kind::HEADERS, 1), (kind::RST_STREAM, 1)]);
}

#[test]
fn what_the_bank_goes_away_without_does_not_leave_afterwards() {
    let mut machine = open();
    let (begun, two, three) = (upload(&mut machine), upload(&mut machine), upload(&mut machine));
    for (id, content) in [(three, b"three"), (begun, b"begun"), (two, b"twice")] {
        machine.send_content(id, content, true);
    }
    machine.out.advance(1);
    let goaway = [1_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    receive(&mut machine, &Says::default().frame(kind::GOAWAY, 0, 0, &goaway)).unwrap();
    for id in [begun, two, three] {
        assert!(matches!(answer(&mut machine, id), (None, _, Err(Failure::Http2(_)))));
        assert_eq!(machine.take_back(id), id != begun);
        machine.forget(id, Deadline::never());
    }
    let mut whole = vec![0];
    whole.extend(machine.out.waiting());
    let mut rest = &whole[..];
    while let Some(head) = FrameHead::parse(rest) {
        assert_eq!(head.stream, begun);
        rest = &rest[FRAME_HEAD + head.length..];
    }
    assert!(rest.is_empty());
}

#[test]
fn whoever_waits_for_room_behind_a_request_that_is_taken_back_goes_on() {
    let mut machine = open();
    let (large, waits) = (upload(&mut machine), upload(&mut machine));
    while let Poll::Ready(room) = machine.poll_room(large, &cx()) {
        machine.send_content(large, &vec![0; room.unwrap()], false);
    }
    assert!(machine.poll_room(waits, &cx()).is_pending());
    assert!(machine.take_back(large));
    assert!(!machine.anyone_waits_for_room);
    assert!(matches!(machine.poll_room(waits, &cx()), Poll::Ready(Ok(_))));
}

/// What may happen to requests on their way.
#[derive(Clone, Debug)]
enum Step {
    Begin,
    Content(usize, usize),
    Leave(usize),
    TakeBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Begin),
        (0_usize..8, 0_usize..40).prop_map(|(which, length)| Step::Content(which, length)),
        (0_usize..120).prop_map(Step::Leave),
        (0_usize..8).prop_map(Step::TakeBack),
    ]
}

proptest! {
    #[test]
    fn what_is_taken_back_never_leaves_and_all_else_leaves_whole(
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let (mut machine, mut ids, mut gone, mut sent) = (open(), Vec::new(), Vec::new(), Vec::new());
        let window = machine.send_window;
        let mut content = HashMap::<u32, usize>::new();
        for step in steps {
            match step {
                Step::Begin => ids.push(upload(&mut machine)),
                Step::Content(which, length) => {
                    let Some(id) = ids.get(which).filter(|id| !gone.contains(*id)) else { continue };
                    machine.send_content(*id, &vec![7; length], false);
                    *content.entry(*id).or_default() += length;
                }
                Step::Leave(bytes) => {
                    let bytes = bytes.min(machine.out.waiting().len());
                    sent.extend_from_slice(&machine.out.waiting()[..bytes]);
                    machine.out.advance(bytes);
                }
                Step::TakeBack(which) => {
                    let Some(id) = ids.get(which) else { continue };
                    if machine.take_back(*id) {
                        gone.push(*id);
                        content.remove(id);
                    }
                }
            }
        }
        sent.extend_from_slice(machine.out.waiting());
        prop_assert_eq!(machine.out.position(machine.out.bytes.len()), machine.out.end());
        let (mut rest, mut seen) = (&sent[..], HashMap::<u32, usize>::new());
        while let Some(head) = FrameHead::parse(rest) {
            prop_assert!(!gone.contains(&head.stream));
            match head.kind {
                kind::HEADERS => prop_assert!(seen.insert(head.stream, 0).is_none()),
                _ => *seen.get_mut(&head.stream).expect("a head comes first") += head.length,
            }
            rest = &rest[FRAME_HEAD + head.length..];
        }
        prop_assert!(rest.is_empty());
        prop_assert_eq!(seen.len(), ids.iter().filter(|id| !gone.contains(*id)).count());
        prop_assert!(content.iter().all(|(id, length)| seen[id] == *length));
        prop_assert_eq!(machine.send_window, window - super::window(seen.values().sum()));
    }
}
