//! A door for the fuzz targets, which see only what is public.

use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use http::Method;

use crate::message::{Body, Fields, Request};

use crate::words::Deadline;

use super::machine::{Answered, Machine, Part};

/// What a bank's side of an HTTP/2 connection, as it came in pieces, makes of three requests: for each the field lines
/// that an app would get, and its content.
pub fn http2_answers<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<(Vec<Fields>, Vec<u8>)> {
    let mut machine = Machine::new();
    let mut request = Request::new(Method::GET, "/", Body::absent());
    request.fields.push("Host", "bank.example");
    let begun: Vec<_> = (0..3).filter_map(|_| machine.begin(&request, true).ok().flatten()).collect();
    let (mut input, cx) = (BytesMut::new(), Context::from_waker(Waker::noop()));
    let mut answers: Vec<_> = begun.iter().map(|_| (Vec::new(), Vec::new())).collect();
    for piece in pieces {
        input.extend_from_slice(piece);
        let outcome = machine.receive(&mut input);
        for (begun, (fields, content)) in begun.iter().zip(&mut answers) {
            match machine.poll_answer(begun.stream, &cx) {
                Poll::Ready(Ok(Answered::Whole(head, whole))) => {
                    fields.push(head.fields);
                    content.extend_from_slice(&whole.unwrap_or_default());
                }
                Poll::Ready(Ok(Answered::Head(head))) => fields.push(head.fields),
                _ => {}
            }
            if fields.is_empty() {
                continue;
            }
            while let Poll::Ready(Ok(part)) = machine.poll_part(begun.stream, &cx) {
                match part {
                    Part::Content(part) => content.extend_from_slice(&part),
                    Part::Trailers(trailers) => fields.push(trailers),
                    Part::End => break,
                }
            }
        }
        let waiting = machine.out.waiting().len();
        machine.out.advance(waiting);
        machine.has_written();
        if outcome.is_err() {
            break;
        }
    }
    for begun in begun {
        machine.forget(begun.stream, Deadline::never());
    }
    answers
}
