//! What has come.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    DEFAULT_MAX_FRAME, MAX_WINDOW, Machine, Reason, Scope, Side, Stream, StreamError, flag, frame, kind, setting,
    window,
};
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
/// Frames that want an answer, between two times that all has been written.
const MOST_ANSWERED: usize = 4 * 1024;

/// A field section that is not complete.
pub(super) struct Section {
    stream: u32,
    is_end: bool,
    block: Vec<u8>,
    continuations: usize,
}

/// What a frame led to: an error here is one of the connection (RFC 9113, section 5.4.1).
type Outcome = Result<(), Reason>;

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
    fn stream(&mut self, id: u32) -> Result<Option<&mut Stream>, Reason> {
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
    fn refuse(&mut self, id: u32, reason: Reason, wrong: &'static str) {
        // Where both sides are done nothing is left to end, however often the bank goes on after its end.
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_closed()) else { return };
        stream.fail(Failure::Malformed(wrong));
        self.answered += 1;
        self.out.reset(id, reason);
    }

    fn reset(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
        let reason = Reason::from(u32::from_be_bytes(payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?));
        let Some(stream) = self.stream(head.stream)? else { return Ok(()) };
        if stream.is_received {
            // After a complete answer the rest of the request is not wanted, without a fault of anybody
            // (RFC 9113, section 8.1).
            stream.is_sent = true;
            stream.wake();
        } else {
            stream.fail(stream.refusal(StreamError { scope: Scope::Stream, by: Side::Peer, reason }));
        }
        Ok(())
    }

    fn settings(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
        if head.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if head.has(flag::ACK) {
            return if payload.is_empty() { Ok(()) } else { Err(Reason::FRAME_SIZE_ERROR) };
        }
        let (settings, []) = payload.as_chunks::<6>() else { return Err(Reason::FRAME_SIZE_ERROR) };
        for &[high, low, a, b, c, d] in settings {
            self.set(u16::from_be_bytes([high, low]), u32::from_be_bytes([a, b, c, d]))?;
        }
        self.bank.are_known = true;
        self.answer(kind::SETTINGS, &[])
    }

    fn set(&mut self, id: u16, value: u32) -> Outcome {
        match id {
            setting::MAX_CONCURRENT_STREAMS => self.bank.max_streams = value as usize,
            setting::INITIAL_WINDOW_SIZE => {
                if i64::from(value) > MAX_WINDOW {
                    return Err(Reason::FLOW_CONTROL_ERROR);
                }
                let more = i64::from(value) - i64::from(self.bank.window);
                self.bank.window = value;
                for stream in self.streams.values_mut() {
                    stream.send_window += more;
                    if stream.send_window > MAX_WINDOW {
                        return Err(Reason::FLOW_CONTROL_ERROR);
                    }
                }
                self.wake_those_who_wait_for_room();
            }
            setting::MAX_FRAME_SIZE => {
                self.bank.max_frame = value as usize;
                if !(DEFAULT_MAX_FRAME..1 << 24).contains(&self.bank.max_frame) {
                    return Err(Reason::PROTOCOL_ERROR);
                }
            }
            // What is left is for those who index, push or ask before they send.
            _ => {}
        }
        Ok(())
    }

    fn pong(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
        if head.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if payload.len() != 8 {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        // An answer is of no interest: any read is a sign of life.
        if head.has(flag::ACK) { Ok(()) } else { self.answer(kind::PING, payload) }
    }

    /// A bank that asks and asks, and does not read the answers, must not fill our memory.
    fn answer(&mut self, kind: u8, payload: &[u8]) -> Outcome {
        self.answered += 1;
        if self.answered > MOST_ANSWERED {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        frame::write(&mut self.out.bytes, kind, flag::ACK, 0, payload);
        Ok(())
    }

    fn gone_away(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
        let Some((&[last, reason], _)) = payload.as_chunks::<4>().0.split_first_chunk::<2>() else {
            return Err(Reason::FRAME_SIZE_ERROR);
        };
        if head.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let (last, reason) = (u32::from_be_bytes(last) & 0x7fff_ffff, Reason::from(u32::from_be_bytes(reason)));
        self.takes_no_more = true;
        self.take_back_beyond(last);
        for (_, stream) in self.streams.iter_mut().filter(|(id, stream)| **id > last && !stream.is_received) {
            stream.fail(stream.refusal(StreamError { scope: Scope::Connection, by: Side::Peer, reason }));
        }
        Ok(())
    }

    fn window_update(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
        let more = u32::from_be_bytes(payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?) & 0x7fff_ffff;
        if head.stream == 0 {
            self.send_window += i64::from(more);
            let reason = if more == 0 { Reason::PROTOCOL_ERROR } else { Reason::FLOW_CONTROL_ERROR };
            if more == 0 || self.send_window > MAX_WINDOW {
                return Err(reason);
            }
            self.wake_those_who_wait_for_room();
            return Ok(());
        }
        let Some(stream) = self.stream(head.stream)?.filter(|stream| stream.failure.is_none()) else { return Ok(()) };
        stream.send_window += i64::from(more);
        if more == 0 {
            self.refuse(head.stream, Reason::PROTOCOL_ERROR, "it opens a window by nothing");
        } else if stream.send_window > MAX_WINDOW {
            self.refuse(head.stream, Reason::FLOW_CONTROL_ERROR, "it opens a window too far");
        } else {
            stream.wake();
        }
        Ok(())
    }
}

impl Stream {
    /// What it means that the bank ends the stream. One that it has begun to answer it has processed, whatever it says.
    fn refusal(&self, error: StreamError) -> Failure {
        let says_unprocessed = error.scope == Scope::Connection || error.reason == Reason::REFUSED_STREAM;
        if says_unprocessed && self.interims > 0 {
            return Failure::Malformed("it is refused after it has begun");
        }
        Failure::Http2(error)
    }

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
