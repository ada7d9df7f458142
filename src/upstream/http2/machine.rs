//! The state of one connection, without I/O: what has come, what is to leave, and the streams between.

mod answers;
mod control;
mod receive;
mod send;
mod take_back;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::task::{Context, Waker};

use crate::message::Request;
use crate::message::http2::frame::{
    self, DEFAULT_MAX_FRAME, DEFAULT_WINDOW, MAX_WINDOW, PREFACE, flag, kind, setting, write_settings,
};
use crate::message::http2::hpack::{Decoder, write_no_table};
use crate::message::http2::{FrameHead, Reason, Scope, Side, StreamError};
use crate::upstream::Failure;
use crate::words::Deadline;

use super::head;
use super::stream::Stream;
use receive::Section;

pub(super) use answers::{Answered, Part};
pub(super) use send::{Closed, Out};

/// Bytes of one answer that the bank may send ahead of the app's reading.
pub(super) const STREAM_WINDOW: u32 = 512 * 1024;
/// And of all answers on a connection: so many that slow apps do not hold up the others.
pub(super) const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;
/// Beyond this stream no more are begun: the numbers come to an end (RFC 9113, section 5.1.1).
const LAST_STREAM: u32 = 0x7fff_0000;

/// With so much waiting the bank has not read for long, and no more is begun: heads would fill the memory.
const MOST_WAITING: usize = 4 * 1024 * 1024;

/// So many timers are kept.
const MOST_SPARE_DEADLINES: usize = 64;

/// See the module. Once it has [ended](Self::end), it only hands out what has come before.
pub(super) struct Machine {
    pub(super) out: Out,
    /// Reads that have brought something.
    reads: u64,
    decoder: Decoder,
    streams: HashMap<u32, Stream, BuildHasherDefault<StreamIds>>,
    next_stream: u32,
    bank: BankSettings,
    send_window: i64,
    receive_window: i64,
    unreleased: u32,
    /// A field section of which some has come.
    section: Option<Section>,
    /// How many frames have been answered since all was written last.
    answered: usize,
    /// Whether a stream waits for room to send.
    anyone_waits_for_room: bool,
    takes_no_more: bool,
    end: Option<Failure>,
    driver: Option<Waker>,
    /// Timers that streams lend each other: to arm one anew costs more than to let it fire for nothing.
    spare_deadlines: Vec<Deadline>,
}

/// What the bank has told of itself.
#[derive(Clone, Copy, Debug)]
struct BankSettings {
    /// Whether it has.
    are_known: bool,
    window: u32,
    max_frame: usize,
    max_streams: usize,
}

/// A stream that was begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) stream: u32,
    /// A timer that is not needed elsewhere.
    pub(super) deadline: Deadline,
    /// How often something had come by then.
    pub(super) reads: u64,
}

impl Machine {
    /// A connection that begins.
    pub(super) fn new() -> Self {
        let mut out = Out::default();
        out.bytes.extend_from_slice(PREFACE);
        let settings = [
            (setting::ENABLE_PUSH, 0),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (setting::MAX_HEADER_LIST_SIZE, head::MOST_BYTES_TOLD),
        ];
        write_settings(&mut out.bytes, &settings);
        let more = (CONNECTION_WINDOW - DEFAULT_WINDOW).to_be_bytes();
        frame::write(&mut out.bytes, kind::WINDOW_UPDATE, 0, 0, &more);
        Self {
            out,
            reads: 0,
            decoder: Decoder::default(),
            streams: HashMap::default(),
            next_stream: 1,
            bank: BankSettings {
                are_known: false,
                window: DEFAULT_WINDOW,
                max_frame: DEFAULT_MAX_FRAME,
                max_streams: usize::MAX,
            },
            send_window: i64::from(DEFAULT_WINDOW),
            receive_window: i64::from(CONNECTION_WINDOW),
            unreleased: 0,
            section: None,
            answered: 0,
            anyone_waits_for_room: false,
            takes_no_more: false,
            end: None,
            driver: None,
            spare_deadlines: Vec::new(),
        }
    }

    /// How many streams the bank takes at once, once it has told.
    pub(super) fn most_streams(&self) -> Option<usize> {
        self.bank.are_known.then_some(self.bank.max_streams)
    }

    /// How often something has come.
    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    /// Whether no stream can be begun any more.
    pub(super) fn takes_no_more(&self) -> bool {
        self.takes_no_more || self.end.is_some()
    }

    /// Begins a stream with the head of `request`; `is_whole` where no body follows. `None` if no more can be begun.
    pub(super) fn begin(&mut self, request: &Request, is_whole: bool) -> Result<Option<Begun>, Failure> {
        self.takes_no_more |= self.out.waiting().len() > MOST_WAITING;
        if self.takes_no_more() {
            return Ok(None);
        }
        let (stream, at) = (self.next_stream, self.out.end());
        let is_first = stream == 1;
        self.out.write_section(stream, is_whole, self.bank.max_frame, |block| {
            if is_first {
                write_no_table(block);
            }
            head::write_request(block, request)
        })?;
        self.next_stream += 2;
        self.takes_no_more = self.next_stream > LAST_STREAM;
        let (send_window, receive_window) = (i64::from(self.bank.window), i64::from(STREAM_WINDOW));
        self.streams.insert(stream, Stream::new(request, is_whole, at, send_window, receive_window));
        self.wake_driver();
        let deadline = self.spare_deadlines.pop().unwrap_or_default();
        Ok(Some(Begun { stream, deadline, reads: self.reads }))
    }

    /// Nobody cares for the stream any more. Unless both sides are done, or it has never heard of it, the bank is told.
    pub(super) fn forget(&mut self, id: u32, mut deadline: Deadline) {
        if self.spare_deadlines.len() < MOST_SPARE_DEADLINES {
            deadline.clear();
            self.spare_deadlines.push(deadline);
        }
        let is_unheard_of = self.take_back(id);
        let Some(stream) = self.streams.remove(&id) else { return };
        self.release(id, stream.content.len());
        if !is_unheard_of && !stream.is_closed() && stream.failure.is_none() && self.end.is_none() {
            self.out.reset(id, Reason::CANCEL);
        }
        self.wake_driver();
    }

    /// The connection has ended; the first reason counts.
    pub(super) fn end(&mut self, failure: Failure) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(failure);
        for stream in self.streams.values_mut() {
            stream.wake();
        }
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&mut self) {
        frame::write(&mut self.out.bytes, kind::PING, 0, 0, b"bankside");
    }

    /// Says that the connection ends, and why.
    pub(super) fn go_away(&mut self, reason: Reason) {
        let payload = [[0; 4], u32::from(reason).to_be_bytes()].concat();
        frame::write(&mut self.out.bytes, kind::GOAWAY, 0, 0, &payload);
    }

    /// Who writes what is to leave.
    pub(super) fn register_driver(&mut self, cx: &Context<'_>) {
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            self.driver = Some(cx.waker().clone());
        }
    }

    pub(super) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }
}

/// The streams, and nothing of what they carry: tokens are on their way here.
impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams = self.streams.keys();
        write!(f, "Machine(next {}, streams {:?}, {:?})", self.next_stream, streams, self.bank)
    }
}

/// So many bytes of a window.
fn window(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Stream numbers count up, and we choose them: nobody can make them meet in one place of a map.
#[derive(Default)]
struct StreamIds(u64);

impl Hasher for StreamIds {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        // The map looks at the highest bits too.
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
