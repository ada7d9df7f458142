//! The state of a connection against banks that say what they like.

mod errors;
mod growth;
mod take_back;
mod windows;

use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use http::Method;
use proptest::prelude::*;
use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::message::Body;
use crate::message::http2::FrameHead;
use crate::message::http2::frame::{FRAME_HEAD, write, write_settings};
use crate::message::http2::hpack::{Sensitivity, write_field, write_indexed};

/// `:status: 200` in the static table.
const STATUS_200: usize = 8;

/// What a bank says, frame after frame.
#[derive(Clone, Default)]
struct Says(Vec<u8>);

impl Says {
    fn settings(settings: &[(u16, u32)]) -> Self {
        let mut bytes = Vec::new();
        write_settings(&mut bytes, settings);
        Self(bytes)
    }

    fn frame(mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        write(&mut self.0, kind, flags, stream, payload);
        self
    }

    fn head(self, stream: u32, is_end: bool, fields: &[(&str, &str)]) -> Self {
        let mut lines = vec![(":status", "200")];
        lines.extend_from_slice(fields);
        self.lines(stream, is_end, &lines)
    }

    fn lines(self, stream: u32, is_end: bool, lines: &[(&str, &str)]) -> Self {
        self.frame(kind::HEADERS, flag::END_HEADERS | u8::from(is_end), stream, &block(lines))
    }

    fn data(self, stream: u32, is_end: bool, content: &[u8]) -> Self {
        self.frame(kind::DATA, u8::from(is_end), stream, content)
    }
}

fn block(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in lines {
        if (*name, *value) == (":status", "200") {
            write_indexed(&mut block, STATUS_200);
        } else {
            // Written as it is, capitals included.
            block.extend([0, u8::try_from(name.len()).unwrap()]);
            block.extend(name.as_bytes());
            let mut line = Vec::new();
            write_field(&mut line, b"", value.as_bytes(), Sensitivity::Usual);
            block.extend(&line[2..]);
        }
    }
    block
}

fn request(method: Method, body: Body) -> Request {
    let mut request = Request::new(method, "/", body);
    request.fields.push("Host", "bank.example");
    request
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// A connection with `streams` requests under way, whose own words have left.
fn machine(streams: usize) -> Machine {
    let mut machine = Machine::new();
    for _ in 0..streams {
        machine.begin(&request(Method::GET, Body::absent()), true).unwrap().unwrap();
    }
    left(&mut machine);
    machine
}

fn receive(machine: &mut Machine, says: &Says) -> Result<(), StreamError> {
    machine.receive(&mut BytesMut::from(&says.0[..]))
}

/// The frames that have been written since.
fn left(machine: &mut Machine) -> Vec<(FrameHead, Vec<u8>)> {
    let bytes = machine.out.waiting().to_vec();
    machine.out.advance(bytes.len());
    machine.has_written();
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(&bytes);
    let mut frames = Vec::new();
    while let Some(head) = FrameHead::parse(rest) {
        frames.push((head, rest[FRAME_HEAD..FRAME_HEAD + head.length].to_vec()));
        rest = &rest[FRAME_HEAD + head.length..];
    }
    assert!(rest.is_empty(), "{rest:?}");
    frames
}

/// A stream's answer as far as it has come: status, content, and how it ends.
fn answer(machine: &mut Machine, id: u32) -> (Option<u16>, Vec<u8>, Result<bool, Failure>) {
    let head = match machine.poll_answer(id, &cx()) {
        Poll::Pending => return (None, Vec::new(), Ok(false)),
        Poll::Ready(Err(failure)) => return (None, Vec::new(), Err(failure)),
        Poll::Ready(Ok(Answered::Whole(head, content))) => {
            return (Some(head.status.as_u16()), content.unwrap_or_default().to_vec(), Ok(true));
        }
        Poll::Ready(Ok(Answered::Head(head))) => head,
    };
    let (content, end) = rest(machine, id);
    (Some(head.status.as_u16()), content, end)
}

/// What there is to read of a stream's content, and how it ends.
fn rest(machine: &mut Machine, id: u32) -> (Vec<u8>, Result<bool, Failure>) {
    let mut content = Vec::new();
    loop {
        match machine.poll_part(id, &cx()) {
            Poll::Ready(Ok(Part::Content(part))) => content.extend_from_slice(&part),
            Poll::Ready(Ok(Part::Trailers(_))) => {}
            Poll::Ready(Ok(Part::End)) => return (content, Ok(true)),
            Poll::Ready(Err(failure)) => return (content, Err(failure)),
            Poll::Pending => return (content, Ok(false)),
        }
    }
}

#[test]
fn the_preface_comes_first_and_then_how_we_want_things() {
    let mut machine = Machine::new();
    assert!(machine.out.waiting().starts_with(PREFACE));
    let kinds: Vec<_> = left(&mut machine).iter().map(|(head, _)| head.kind).collect();
    assert_eq!(kinds, [kind::SETTINGS, kind::WINDOW_UPDATE]);
    assert_eq!(machine.most_streams(), None);
    receive(&mut machine, &Says::settings(&[(setting::MAX_CONCURRENT_STREAMS, 7)])).unwrap();
    assert_eq!(machine.most_streams(), Some(7));
    let (head, _) = left(&mut machine)[0].clone();
    assert_eq!((head.kind, head.flags), (kind::SETTINGS, flag::ACK));
}

#[test]
fn answers_come_in_any_order_and_their_frames_mixed() {
    let mut machine = machine(3);
    let says = Says::settings(&[])
        .head(5, false, &[])
        .head(1, true, &[("x-a", "1")])
        .data(5, false, b"fi")
        .head(3, false, &[("content-length", "5")])
        .data(3, true, b"three")
        .data(5, true, b"ve");
    receive(&mut machine, &says).unwrap();
    assert!(matches!(answer(&mut machine, 1), (Some(200), content, Ok(true)) if content.is_empty()));
    assert!(matches!(answer(&mut machine, 3), (Some(200), content, Ok(true)) if content == b"three"));
    assert!(matches!(answer(&mut machine, 5), (Some(200), content, Ok(true)) if content == b"five"));
}

#[test]
fn what_is_of_no_interest_is_ignored() {
    let mut machine = machine(1);
    let says = Says::settings(&[(setting::MAX_HEADER_LIST_SIZE, 1), (0xabcd, 7), (setting::ENABLE_PUSH, 0)])
        .frame(kind::PRIORITY, 0, 1, &[0; 5])
        .frame(0xee, 0xff, 1, b"unknown")
        .frame(kind::PING, flag::ACK, 0, &[0; 8])
        .frame(kind::SETTINGS, flag::ACK, 0, &[])
        .frame(
            kind::HEADERS,
            flag::END_HEADERS | flag::PRIORITY | flag::PADDED | flag::END_STREAM,
            1,
            &[1, 0, 0, 0, 0, 9, 0x88, 0],
        );
    receive(&mut machine, &says).unwrap();
    assert!(matches!(answer(&mut machine, 1), (Some(200), _, Ok(true))));
}

#[test]
fn a_ping_is_answered_with_its_own_words() {
    let mut machine = machine(0);
    receive(&mut machine, &Says::settings(&[]).frame(kind::PING, 0, 0, b"12345678")).unwrap();
    let (head, payload) = left(&mut machine).pop().unwrap();
    assert_eq!((head.kind, head.flags, &payload[..]), (kind::PING, flag::ACK, &b"12345678"[..]));
}

#[test]
fn interim_answers_and_trailers_are_told_from_the_answer() {
    let mut machine = Machine::new();
    let (interim, mut got) = unbounded_channel();
    let mut request = request(Method::GET, Body::absent());
    request.interim = Some(interim.into());
    machine.begin(&request, true).unwrap().unwrap();
    let says = Says::settings(&[])
        .lines(1, false, &[(":status", "103"), ("link", "a")])
        .head(1, false, &[])
        .data(1, false, b"abc")
        .lines(1, true, &[("x-sum", "3")]);
    receive(&mut machine, &says).unwrap();
    let first = got.try_recv().unwrap();
    assert_eq!((first.status.as_u16(), first.fields.get("link")), (103, Some(&b"a"[..])));
    assert!(matches!(machine.poll_answer(1, &cx()), Poll::Ready(Ok(Answered::Head(_)))));
    assert!(matches!(machine.poll_part(1, &cx()), Poll::Ready(Ok(Part::Content(content))) if content == "abc"));
    assert!(matches!(machine.poll_part(1, &cx()), Poll::Ready(Ok(Part::Trailers(fields))) if fields.contains("x-sum")));
    assert!(matches!(machine.poll_part(1, &cx()), Poll::Ready(Ok(Part::End))));
}

#[test]
fn a_field_section_may_come_in_pieces() {
    let mut machine = machine(1);
    let block = block(&[(":status", "200"), ("x-long", &"y".repeat(100))]);
    let mut says = Says::settings(&[]).frame(kind::HEADERS, flag::END_STREAM, 1, &block[..10]);
    for piece in block[10..].chunks(20) {
        says = says.frame(kind::CONTINUATION, 0, 1, piece);
    }
    let says = says.frame(kind::CONTINUATION, flag::END_HEADERS, 1, &[]);
    receive(&mut machine, &says).unwrap();
    let Poll::Ready(Ok(Answered::Whole(head, None))) = machine.poll_answer(1, &cx()) else { panic!("no answer") };
    assert_eq!(head.fields.get("x-long").map(<[u8]>::len), Some(100));
}

#[test]
fn a_long_head_goes_out_in_pieces_that_the_bank_takes() {
    let mut machine = machine(0);
    receive(&mut machine, &Says::settings(&[])).unwrap();
    left(&mut machine);
    let mut long = request(Method::GET, Body::absent());
    long.fields.push("X-Long", vec![b'x'; 40_000]);
    let begun = machine.begin(&long, true).unwrap().unwrap();
    let frames = left(&mut machine);
    let shapes: Vec<_> = frames.iter().map(|(head, _)| (head.kind, head.flags, head.length <= 16_384)).collect();
    let middle = (kind::CONTINUATION, 0, true);
    assert_eq!(shapes[..2], [(kind::HEADERS, flag::END_STREAM, true), middle]);
    assert_eq!(shapes.last(), Some(&(kind::CONTINUATION, flag::END_HEADERS, true)));
    assert!(frames.iter().all(|(head, _)| head.stream == begun.stream));
}

#[test]
fn a_request_that_cannot_be_written_leaves_nothing_behind() {
    let mut machine = machine(0);
    let mut bad = request(Method::GET, Body::absent());
    bad.fields.push("X-Bad", "a\nb");
    assert!(matches!(machine.begin(&bad, true), Err(Failure::Unsendable(_))));
    assert!(machine.out.waiting().is_empty());
    let begun = machine.begin(&request(Method::GET, Body::absent()), true).unwrap().unwrap();
    assert_eq!(begun.stream, 1);
    // The first head says that no table is used; the bad one must not have taken that away.
    assert_eq!(left(&mut machine)[0].1[0], 0x20);
}

#[test]
fn after_goaway_earlier_streams_go_on_later_ones_were_not_processed_and_no_more_begin() {
    let mut machine = machine(3);
    let goaway = [3_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    let says = Says::settings(&[]).frame(kind::GOAWAY, 0, 0, &goaway).head(3, true, &[]);
    receive(&mut machine, &says).unwrap();
    assert!(machine.takes_no_more());
    assert!(machine.begin(&request(Method::GET, Body::absent()), true).unwrap().is_none());
    assert!(matches!(answer(&mut machine, 1), (None, _, Ok(false))));
    assert!(matches!(answer(&mut machine, 3), (Some(200), _, Ok(true))));
    let (_, _, end) = answer(&mut machine, 5);
    let refused = StreamError { scope: Scope::Connection, by: Side::Peer, reason: Reason::NO_ERROR };
    assert!(matches!(end, Err(Failure::Http2(error)) if error == refused), "{end:?}");
}

#[test]
fn a_reset_is_an_error_before_the_answer_is_complete_and_none_after() {
    let mut machine = machine(2);
    let cancel = u32::from(Reason::CANCEL).to_be_bytes();
    let says = Says::settings(&[])
        .head(1, false, &[])
        .data(1, false, b"part")
        .frame(kind::RST_STREAM, 0, 1, &cancel)
        .head(3, true, &[])
        .frame(kind::RST_STREAM, 0, 3, &cancel);
    receive(&mut machine, &says).unwrap();
    let (status, content, end) = answer(&mut machine, 1);
    assert_eq!((status, &content[..]), (Some(200), &b"part"[..]));
    assert!(matches!(end, Err(Failure::Http2(error)) if error.reason == Reason::CANCEL));
    assert!(matches!(answer(&mut machine, 3), (Some(200), _, Ok(true))));
}

#[test]
fn a_stream_that_nobody_wants_is_reset_and_what_comes_late_for_it_is_ignored() {
    let mut machine = machine(2);
    receive(&mut machine, &Says::settings(&[])).unwrap();
    left(&mut machine);
    machine.forget(1, Deadline::never());
    let (head, payload) = left(&mut machine).remove(0);
    assert_eq!((head.kind, head.stream, payload), (kind::RST_STREAM, 1, vec![0, 0, 0, 8]));
    // Its head is put into the table all the same: the next one refers to it.
    let mut indexed = vec![0x88, 0x40, 3];
    indexed.extend(b"x-a\x01b");
    let says = Says::default().frame(kind::HEADERS, flag::END_HEADERS, 1, &indexed).data(1, true, b"late").frame(
        kind::HEADERS,
        flag::END_HEADERS | flag::END_STREAM,
        3,
        &[0x88, 0xbe],
    );
    receive(&mut machine, &says).unwrap();
    let Poll::Ready(Ok(Answered::Whole(head, None))) = machine.poll_answer(3, &cx()) else { panic!("no answer") };
    assert_eq!(head.fields.get("x-a"), Some(&b"b"[..]));
}

#[test]
fn what_a_connection_ends_with_is_what_its_streams_are_told_and_what_has_come_stays() {
    let mut machine = machine(2);
    receive(&mut machine, &Says::settings(&[]).head(3, true, &[])).unwrap();
    machine.end(Failure::Closed(std::io::ErrorKind::ConnectionReset.into()));
    machine.end(Failure::Malformed("a later reason"));
    let (_, _, end) = answer(&mut machine, 1);
    assert!(matches!(end, Err(Failure::Closed(_))), "{end:?}");
    assert!(matches!(answer(&mut machine, 3), (Some(200), _, Ok(true))));
    assert!(machine.begin(&request(Method::GET, Body::absent()), true).unwrap().is_none());
}

proptest! {
    #[test]
    fn it_does_not_matter_how_frames_are_cut(cuts in proptest::collection::vec(1_usize..40, 0..30)) {
        let says = Says::settings(&[(setting::INITIAL_WINDOW_SIZE, 9)])
            .head(1, false, &[("content-length", "6000")])
            .data(1, false, &[b'x'; 5000])
            .head(3, false, &[])
            .data(1, true, &[b'y'; 1000])
            .data(3, true, b"abc");
        let (mut machine, mut input, mut rest) = (machine(2), BytesMut::new(), &says.0[..]);
        for cut in cuts {
            let (piece, later) = rest.split_at(cut.min(rest.len()));
            input.extend_from_slice(piece);
            rest = later;
            machine.receive(&mut input).unwrap();
        }
        input.extend_from_slice(rest);
        machine.receive(&mut input).unwrap();
        prop_assert!(input.is_empty());
        let (status, content, end) = answer(&mut machine, 1);
        prop_assert!(status == Some(200) && content.len() == 6000 && matches!(end, Ok(true)));
        prop_assert_eq!(answer(&mut machine, 3).1, b"abc");
    }

    #[test]
    fn any_frames_are_taken_or_refused(
        frames in proptest::collection::vec(
            (0_u8..11, any::<u8>(), 0_u32..8, proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
    ) {
        let (mut machine, mut says) = (machine(3), Says::settings(&[]));
        for (kind, flags, stream, payload) in frames {
            says = says.frame(kind, flags, stream, &payload);
        }
        let _ = receive(&mut machine, &says);
        for id in [1, 3, 5] {
            let _ = answer(&mut machine, id);
            machine.forget(id, Deadline::never());
        }
        prop_assert!(machine.streams.is_empty());
        left(&mut machine);
    }
}
