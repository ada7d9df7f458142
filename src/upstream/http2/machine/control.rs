//! Frames that carry nothing of an answer: ends of streams and of the connection, settings, signs of life, windows.

use crate::message::http2::FrameHead;
use crate::upstream::Failure;

use super::receive::Outcome;
use super::{
    DEFAULT_MAX_FRAME, MAX_WINDOW, Machine, Reason, Scope, Side, Stream, StreamError, flag, frame, kind, setting,
};

/// Frames that want an answer, between two times that all has been written.
const MOST_ANSWERED: usize = 4 * 1024;

impl Machine {
    pub(super) fn reset(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
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

    pub(super) fn settings(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
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

    pub(super) fn pong(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
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

    pub(super) fn gone_away(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
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

    pub(super) fn window_update(&mut self, head: FrameHead, payload: &[u8]) -> Outcome {
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
}
