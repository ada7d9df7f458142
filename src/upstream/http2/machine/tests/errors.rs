//! What a bank must not say: errors of the connection, and errors of one stream that leave the others alone.

use super::*;

/// Says that which is an error of the connection, after SETTINGS, with streams 1 and 3 under way.
fn errors_of_the_connection() -> Vec<(&'static str, Says, Reason)> {
    let says = || Says::settings(&[]);
    let incomplete = || says().frame(kind::HEADERS, 0, 1, &[0x88]);
    let window = |id: u16, value: u32| Says::settings(&[(id, value)]);
    let far = 0x7fff_ffff_u32.to_be_bytes();
    vec![
        ("a frame before SETTINGS", Says::default().head(1, true, &[]), Reason::PROTOCOL_ERROR),
        ("content on no stream", says().data(0, false, b"x"), Reason::PROTOCOL_ERROR),
        ("a head on no stream", says().head(0, true, &[]), Reason::PROTOCOL_ERROR),
        ("a head on a stream of its own", says().head(2, true, &[]), Reason::PROTOCOL_ERROR),
        ("a head on a stream that was not begun", says().head(5, true, &[]), Reason::PROTOCOL_ERROR),
        (
            "a reset of a stream that was not begun",
            says().frame(kind::RST_STREAM, 0, 7, &[0; 4]),
            Reason::PROTOCOL_ERROR,
        ),
        ("a promise", says().frame(kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x82]), Reason::PROTOCOL_ERROR),
        ("a continuation of nothing", says().frame(kind::CONTINUATION, 4, 1, &[0x88]), Reason::PROTOCOL_ERROR),
        ("another frame within a section", incomplete().data(1, false, b"x"), Reason::PROTOCOL_ERROR),
        ("another stream's continuation", incomplete().frame(kind::CONTINUATION, 4, 3, &[]), Reason::PROTOCOL_ERROR),
        ("settings cut off", says().frame(kind::SETTINGS, 0, 0, &[0; 5]), Reason::FRAME_SIZE_ERROR),
        ("settings of a stream", says().frame(kind::SETTINGS, 0, 1, &[]), Reason::PROTOCOL_ERROR),
        ("an answer to settings that says more", says().frame(kind::SETTINGS, 1, 0, &[0; 6]), Reason::FRAME_SIZE_ERROR),
        ("a window too large", window(setting::INITIAL_WINDOW_SIZE, 1 << 31), Reason::FLOW_CONTROL_ERROR),
        ("frames too small", window(setting::MAX_FRAME_SIZE, 16_383), Reason::PROTOCOL_ERROR),
        ("frames too large", window(setting::MAX_FRAME_SIZE, 1 << 24), Reason::PROTOCOL_ERROR),
        ("a short ping", says().frame(kind::PING, 0, 0, &[0; 7]), Reason::FRAME_SIZE_ERROR),
        ("a ping of a stream", says().frame(kind::PING, 0, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        ("a short goodbye", says().frame(kind::GOAWAY, 0, 0, &[0; 7]), Reason::FRAME_SIZE_ERROR),
        ("a goodbye of a stream", says().frame(kind::GOAWAY, 0, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        ("a short reset", says().frame(kind::RST_STREAM, 0, 1, &[0; 3]), Reason::FRAME_SIZE_ERROR),
        ("a long update", says().frame(kind::WINDOW_UPDATE, 0, 1, &[0; 5]), Reason::FRAME_SIZE_ERROR),
        ("an update by nothing", says().frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("an update too far", says().frame(kind::WINDOW_UPDATE, 0, 0, &far), Reason::FLOW_CONTROL_ERROR),
        (
            "an update of a stream too far, by settings",
            says().frame(kind::WINDOW_UPDATE, 0, 1, &0x7fff_0000_u32.to_be_bytes()).frame(
                kind::SETTINGS,
                0,
                0,
                &[0, 4, 0x7f, 0xff, 0xff, 0xff],
            ),
            Reason::FLOW_CONTROL_ERROR,
        ),
        ("padding longer than its frame", says().frame(kind::DATA, flag::PADDED, 1, &[9, 0]), Reason::PROTOCOL_ERROR),
        ("a section that is not HPACK", says().frame(kind::HEADERS, 4, 1, &[0x80]), Reason::COMPRESSION_ERROR),
        ("the same for a stream that has gone", says().frame(kind::HEADERS, 4, 1, &[0xff]), Reason::COMPRESSION_ERROR),
    ]
}

#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    for (what, says, reason) in errors_of_the_connection() {
        let error = receive(&mut machine(2), &says).expect_err(what);
        assert_eq!(error, StreamError { scope: Scope::Connection, by: Side::Us, reason }, "{what}");
    }
}

#[test]
fn a_frame_larger_than_we_take_is_refused_before_it_has_come() {
    let head = FrameHead { length: 16_385, kind: kind::DATA, flags: 0, stream: 1 };
    let mut says = Says::settings(&[]);
    says.0.extend(head.bytes());
    assert_eq!(receive(&mut machine(1), &says).unwrap_err().reason, Reason::FRAME_SIZE_ERROR);
}

#[test]
fn floods_are_not_taken() {
    let endless = |piece: &[u8]| {
        let mut says = Says::settings(&[]).frame(kind::HEADERS, 0, 1, &[0x88]);
        for _ in 0..100 {
            says = says.frame(kind::CONTINUATION, 0, 1, piece);
        }
        says
    };
    let mut pings = Says::settings(&[]);
    let mut settings = Says::settings(&[]);
    for _ in 0..10_000 {
        pings = pings.frame(kind::PING, 0, 0, &[0; 8]);
        settings = settings.frame(kind::SETTINGS, 0, 0, &[]);
    }
    for (what, says) in [
        ("continuations of nothing", endless(&[])),
        ("continuations without end", endless(&[0; 16_000])),
        ("pings", pings),
        ("settings", settings),
    ] {
        assert_eq!(receive(&mut machine(1), &says).expect_err(what).reason, Reason::ENHANCE_YOUR_CALM, "{what}");
    }
}

#[test]
fn what_breaks_one_answer_ends_its_stream_and_no_other() {
    let says = || Says::settings(&[]);
    let interims = |count| (0..count).fold(says(), |says, _| says.lines(1, false, &[(":status", "103")]));
    for (what, said, reason) in [
        ("content before the head", says().data(1, false, b"x"), Reason::STREAM_CLOSED),
        ("no status", says().lines(1, true, &[("x-a", "1")]), Reason::PROTOCOL_ERROR),
        ("two", says().lines(1, true, &[(":status", "200"), (":status", "200")]), Reason::PROTOCOL_ERROR),
        ("a status that is none", says().lines(1, true, &[(":status", "2x0")]), Reason::PROTOCOL_ERROR),
        ("a pseudo-header of requests", says().head(1, true, &[(":path", "/")]), Reason::PROTOCOL_ERROR),
        ("a capital", says().head(1, true, &[("X-A", "1")]), Reason::PROTOCOL_ERROR),
        ("a line within a value", says().head(1, true, &[("x-a", "1\r\nx-b: 2")]), Reason::PROTOCOL_ERROR),
        ("a colon within a name", says().head(1, true, &[("x-a:", "1")]), Reason::PROTOCOL_ERROR),
        ("HTTP/1.1's framing", says().head(1, true, &[("transfer-encoding", "chunked")]), Reason::PROTOCOL_ERROR),
        ("a length that is none", says().head(1, false, &[("content-length", "+3")]), Reason::PROTOCOL_ERROR),
        (
            "two lengths",
            says().head(1, false, &[("content-length", "3"), ("content-length", "3")]),
            Reason::PROTOCOL_ERROR,
        ),
        ("a switch of protocols", says().lines(1, false, &[(":status", "101")]), Reason::PROTOCOL_ERROR),
        ("an end that is interim", says().lines(1, true, &[(":status", "100")]), Reason::PROTOCOL_ERROR),
        ("interim answers without end", interims(65), Reason::PROTOCOL_ERROR),
        ("an update by nothing", says().frame(kind::WINDOW_UPDATE, 0, 1, &[0; 4]), Reason::PROTOCOL_ERROR),
        (
            "an update too far",
            says().frame(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]),
            Reason::FLOW_CONTROL_ERROR,
        ),
    ] {
        let mut machine = machine(2);
        receive(&mut machine, &said.head(3, true, &[])).expect(what);
        let (status, _, end) = answer(&mut machine, 1);
        assert!(status.is_none() && matches!(end, Err(Failure::Malformed(_))), "{what}: {end:?}");
        assert!(matches!(answer(&mut machine, 3), (Some(200), _, Ok(true))), "{what}");
        let resets: Vec<_> = left(&mut machine).into_iter().filter(|(head, _)| head.kind == kind::RST_STREAM).collect();
        assert_eq!(resets.len(), 1, "{what}");
        assert_eq!((resets[0].0.stream, &resets[0].1[..]), (1, &u32::from(reason).to_be_bytes()[..]), "{what}");
        machine.forget(1, Deadline::never());
        assert!(left(&mut machine).is_empty(), "it is not reset once more: {what}");
    }
}

#[test]
fn a_request_that_has_an_interim_answer_was_processed_whatever_the_bank_says_then() {
    let goaway = [0_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    let begun = || Says::settings(&[]).lines(1, false, &[(":status", "103")]);
    for says in [
        begun().frame(kind::RST_STREAM, 0, 1, &u32::from(Reason::REFUSED_STREAM).to_be_bytes()),
        begun().frame(kind::GOAWAY, 0, 0, &goaway),
    ] {
        let mut machine = machine(1);
        receive(&mut machine, &says).unwrap();
        let (_, _, end) = answer(&mut machine, 1);
        assert!(matches!(end, Err(Failure::Malformed(_))), "{end:?}");
    }
}

#[test]
fn a_body_that_breaks_its_word_is_broken_off() {
    let head = || Says::settings(&[]).head(1, false, &[("content-length", "3")]);
    for (what, says) in [
        ("too long", head().data(1, true, b"abcd")),
        ("too short", head().data(1, true, b"ab")),
        ("too short, with trailers", head().data(1, false, b"ab").lines(1, true, &[("x-a", "1")])),
        ("nothing", Says::settings(&[]).head(1, true, &[("content-length", "3")])),
        ("trailers that are not the end", head().data(1, false, b"abc").lines(1, false, &[("x-a", "1")])),
        ("trailers with a status", head().data(1, false, b"abc").head(1, true, &[])),
    ] {
        let mut machine = machine(1);
        receive(&mut machine, &says).expect(what);
        let (status, _, end) = answer(&mut machine, 1);
        assert!(status == Some(200) && matches!(end, Err(Failure::Malformed(_))), "{what}: {end:?}");
    }
}

#[test]
fn answers_without_content_may_speak_of_a_length_and_have_none() {
    for (method, status) in [(Method::HEAD, "200"), (Method::GET, "304"), (Method::GET, "204")] {
        for (content, is_fine) in [(&b""[..], true), (b"x", false)] {
            let mut machine = Machine::new();
            machine.begin(&request(method.clone(), Body::absent()), true).unwrap().unwrap();
            let lines = [(":status", status), ("content-length", "3")];
            let says = Says::settings(&[]).lines(1, false, &lines).data(1, true, content);
            receive(&mut machine, &says).unwrap();
            let (_, _, end) = answer(&mut machine, 1);
            assert_eq!(matches!(end, Ok(true)), is_fine, "{method} {status} {content:?}: {end:?}");
        }
    }
}

#[test]
fn a_complete_answer_stays_one_whatever_comes_then() {
    let mut machine = machine(1);
    let says = Says::settings(&[]).head(1, true, &[]).data(1, true, b"more").head(1, true, &[]).frame(
        kind::WINDOW_UPDATE,
        0,
        1,
        &[0; 4],
    );
    receive(&mut machine, &says).unwrap();
    assert!(matches!(answer(&mut machine, 1), (Some(200), content, Ok(true)) if content.is_empty()));
}
