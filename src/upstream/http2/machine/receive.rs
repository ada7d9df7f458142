//! What has come: frames in their order, and what of them is an answer's.

use bytes::{Buf, Bytes, BytesMut};

use super::{DEFAULT_MAX_FRAME, Machine, Reason, Scope, Side, Stream, StreamError, flag, kind, window};
use crate::message::Interim;
use crate::message::http2::FrameHead;
use crate::message::http2::frame::{FRAME_HEAD, unpadded};
use crate::upstream::Failure;
use crate::upstream::http2::head::Reader;

/// Content up to this size is copied, so that a slow app does not keep all that came with it.
const COPIED: usize = 4 * 1024;
/// So much of a field section is gathered, as it comes.
const MOST_OF_A_SECTION: usize = 128 * 1024;
/// And over so many frames.
const MOST_CONTINUATIONS: usize = 64;
/// Interim answers that one request may get.
const MOST_INTERIM: usize = 64;

/// A field section that is not complete.
pub(super) struct Section {
    stream: u32,
    is_end: bool,
    block: Vec<u8>,
    continuations: usize,
}

/// What a frame led to: an error here is one of the connection (RFC 9113, section 5.4.1).
pub(super) type Outcome = Result<(), Reason>;

impl Machine {
    /// Takes in what is complete in `input`. After an error the connection is of no more use.
    pub(in crate::upstream::http2) fn receive(&mut self, input: &mut BytesMut) -> Result<(), StreamError> {
        self.reads += 1;
        let connection = |reason| StreamError { scope: Scope::Connection, by: Side::Us, reason };
        while let Some(head) = FrameHead::parse(input) {
            if head.length > DEFAULT_MAX_FRAME {
                return Err(connection(Reason::FRAME_SIZE_ERROR));
            }
            let end = FRAME_HEAD + head.length;
            if input.len() < end {
                break;
            }
            if head.kind == kind::DATA && head.length > COPIED && self.section.is_none() {
                input.advance(FRAME_HEAD);
                let payload = input.split_to(head.length).freeze();
                self.expect(head).and_then(|()| self.content(head, &payload, Some(&payload))).map_err(connection)?;
                continue;
            }
            let payload = &input[FRAME_HEAD..end];
            self.expect(head).and_then(|()| self.frame(head, payload)).map_err(connection)?;
            input.advance(end);
        }
        Ok(())
    }

    /// Whether this frame may come (RFC 9113, sections 3.4 and 6.10).
    fn expect(&self, head: FrameHead) -> Outcome {
        let is_expected = match &self.section {
            Some(section) => head.kind == kind::CONTINUATION && head.stream == section.stream,
            None => head.kind != kind::CONTINUATION && (self.bank.are_known || head.kind == kind::SETTINGS),
        };
        if is_expected { Ok(()) } else { Err(Reason::PROTOCOL_ERROR) }
    }

    fn frame(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
        match head.kind {
            kind::DATA => self.content(head, payload, None),
            kind::HEADERS => self.headers(head, payload),
            kind::CONTINUATION => self.continuation(head, payload),
            kind::RST_STREAM => self.reset(head, payload),
            kind::SETTINGS => self.settings(head, payload),
            kind::PING => self.pong(head, payload),
            kind::GOAWAY => self.gone_away(head, payload),
            kind::WINDOW_UPDATE => self.window_update(head, payload),
            kind::PUSH_PROMISE => Err(Reason::PROTOCOL_ERROR),
            // Priorities, and what we do not know (RFC 9113, section 5.5).
            _ => Ok(()),
        }
    }

    /// The stream that a frame is for, if it is still of interest. A frame for one that was never begun is an error.
    pub(super) fn stream(&mut self, id: u32) -> Result<Option<&mut Stream>, Reason> {
        if id.is_multiple_of(2) || id >= self.next_stream {
            return Err(Reason::PROTOCOL_ERROR);
        }
        Ok(self.streams.get_mut(&id))
    }

    fn content(&mut self, head: FrameHead, payload: &[u8], shared: Option<&Bytes>) -> Outcome {
        let flow = window(head.length);
        self.receive_window -= flow;
        if self.receive_window < 0 {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        let (start, length) = unpadded(head, payload).ok_or(Reason::PROTOCOL_ERROR)?;
        let Some(stream) = self.stream(head.stream)?.filter(|stream| stream.failure.is_none()) else {
            self.release(head.stream, head.length);
            return Ok(());
        };
        stream.receive_window -= flow;
        let wrong = if !stream.has_head || stream.is_received {
            Err((Reason::STREAM_CLOSED, "its content comes where there is none"))
        } else if stream.receive_window < 0 {
            Err((Reason::FLOW_CONTROL_ERROR, "there is more of it than it may send"))
        } else {
            stream.count(length).map_err(|wrong| (Reason::PROTOCOL_ERROR, wrong))
        };
        if let Err((reason, wrong)) = wrong {
            self.refuse(head.stream, reason, wrong);
            self.release(head.stream, head.length);
            return Ok(());
        }
        if length > 0 {
            match shared {
                Some(shared) => stream.content.push(shared.slice(start..start + length)),
                None => stream.content.push_copy(&payload[start..start + length]),
            }
        }
        stream.wake();
        self.release(head.stream, head.length - length);
        if head.has(flag::END_STREAM) {
            self.finish(head.stream);
        }
        Ok(())
    }

    fn headers(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
        let (start, length) = unpadded(head, payload).ok_or(Reason::PROTOCOL_ERROR)?;
        let block = &payload[start..start + length];
        let is_end = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.section(head.stream, is_end, block);
        }
        self.section = Some(Section { stream: head.stream, is_end, block: block.to_vec(), continuations: 0 });
        Ok(())
    }

    fn continuation(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
        let Some(section) = &mut self.section else { return Err(Reason::PROTOCOL_ERROR) };
        section.block.extend_from_slice(payload);
        section.continuations += 1;
        if section.block.len() > MOST_OF_A_SECTION || section.continuations > MOST_CONTINUATIONS {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        match self.section.take_if(|_| head.has(flag::END_HEADERS)) {
            Some(section) => self.section(section.stream, section.is_end, &section.block),
            None => Ok(()),
        }
    }

    /// A field section that is complete. It is decoded whoever it is for: the next may refer to it.
    fn section(&mut self, id: u32, is_end: bool, block: &[u8]) -> Outcome {
        let mut reader = Reader::new(block.len());
        self.decoder.decode(block, |name, value| reader.take(name, value)).map_err(|_| Reason::COMPRESSION_ERROR)?;
        let Some(stream) = self.stream(id)?.filter(|stream| stream.failure.is_none()) else { return Ok(()) };
        let taken = if stream.is_received {
            Err("it goes on after its end")
        } else if stream.has_head {
            stream.take_trailers(reader, is_end)
        } else {
            stream.take_head(reader, is_end)
        };
        match taken {
            Ok(()) if is_end => self.finish(id),
            Ok(()) => stream.wake(),
            Err(wrong) => self.refuse(id, Reason::PROTOCOL_ERROR, wrong),
        }
        Ok(())
    }

    /// The answer is complete.
    fn finish(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match stream.finish() {
            Ok(()) => stream.wake(),
            Err(wrong) => self.refuse(id, Reason::PROTOCOL_ERROR, wrong),
        }
    }

    /// The answer is not one: the stream ends (RFC 9113, section 8.1.1).
    pub(super) fn refuse(&mut self, id: u32, reason: Reason, wrong: &'static str) {
        // Where both sides are done nothing is left to end, however often the bank goes on after its end.
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_closed()) else { return };
        stream.fail(Failure::Malformed(wrong));
        self.answered += 1;
        self.out.reset(id, reason);
    }
}

impl Stream {
    fn take_head(&mut self, reader: Reader, is_end: bool) -> Result<(), &'static str> {
        let head = reader.into_head()?;
        if !head.status.is_informational() {
            return self.begin(head);
        }
        self.interims += 1;
        if head.status == http::StatusCode::SWITCHING_PROTOCOLS || is_end || self.interims > MOST_INTERIM {
            return Err("its interim answers are not those of HTTP/2");
        }
        if let Some(interim) = &self.interim {
            // An app that has gone shows elsewhere.
            let _ = interim.send(Interim { status: head.status, fields: head.fields });
        }
        Ok(())
    }

    fn take_trailers(&mut self, reader: Reader, is_end: bool) -> Result<(), &'static str> {
        if !is_end {
            return Err("its trailers are not its end");
        }
        self.trailers = Some(reader.into_trailers()?).filter(|trailers| !trailers.is_empty());
        Ok(())
    }
}
