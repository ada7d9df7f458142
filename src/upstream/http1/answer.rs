//! The body of an answer as it streams, and with it what is left of the request.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::message::http1::{Decoded, Decoder, Framing};
use crate::message::{Body, BodyError, BodyStream, Frame, Size};
use crate::words::Deadline;

use super::connection::Connection;
use super::exchange::Upload;

/// A frame gathers so much, if it is there: fewer and larger writes to the app.
const FRAME: usize = 64 * 1024;
/// A frame of a large body, while there is room for it. Whoever is woken for half a megabyte, and not for each 64 KiB of
/// it, costs half of the time.
const LARGE_FRAME: usize = 512 * 1024;
/// Pieces of [`FRAME`] that large frames may take together: a bound for what slow apps hold, and for how long the
/// worker's others wait.
static LARGE: Semaphore = Semaphore::const_new(64);
/// Room for the first frame of a body of unknown length; it grows while much comes.
const FIRST_FRAME: usize = 8 * 1024;

/// The body of an answer whose head has been read. A connection that `persists` and is done with goes back to its pool
/// as soon as the last byte has been read, even if the app has not seen it.
pub(super) fn begin(
    mut connection: Box<Connection>,
    upload: Upload,
    framing: Framing,
    persists: bool,
    idle: Duration,
) -> Body {
    let whole = match framing {
        Framing::None => Some(Body::absent()),
        Framing::Length(length) => usize::try_from(length)
            .ok()
            .filter(|length| *length <= connection.read.len())
            .map(|length| Body::full(connection.read.split_to(length).freeze())),
        Framing::Chunked | Framing::UntilClose => None,
    };
    if let Some(body) = whole {
        end(connection, upload, persists);
        return body;
    }
    let (left, room) = match framing {
        Framing::Length(length) => (length - connection.read.len() as u64, FRAME),
        _ => (u64::MAX, FIRST_FRAME),
    };
    let (decoder, deadline) = (Decoder::new(framing), Deadline::never());
    let under_way = Some((connection, upload));
    let mut answer = Answer { under_way, decoder, persists, left, room, large: None, idle, deadline, ahead: None };
    answer.widen();
    Body::stream(answer)
}

/// What becomes of a connection after an answer: if the rest of the request is not wanted, it is of no more use.
fn end(connection: Box<Connection>, upload: Upload, persists: bool) {
    if let Upload::Done(buffer) = upload
        && persists
        && connection.read.is_empty()
    {
        connection.release(buffer);
    }
}

struct Answer {
    /// `None` when the last byte has been read, or nothing more will be.
    under_way: Option<(Box<Connection>, Upload)>,
    decoder: Decoder,
    persists: bool,
    /// At most so many bytes are to be read.
    left: u64,
    room: usize,
    /// The right to frames that are larger than others'. It lasts until the app has taken the last one.
    large: Option<SemaphorePermit<'static>>,
    idle: Duration,
    deadline: Deadline,
    /// What comes next.
    ahead: Option<Result<Frame, BodyError>>,
}

/// What reading brought.
enum More {
    /// The end of the stream.
    Nothing,
    /// Something, in the connection's buffer.
    Buffered,
    /// Content, as it came.
    Content(Bytes),
}

impl BodyStream for Answer {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if let Some(next) = self.ahead.take() {
            if next.is_ok() {
                self.look_ahead();
            }
            return Poll::Ready(Some(next));
        }
        self.send(cx);
        let outcome = ready!(self.poll_decoded(cx)).transpose();
        match &outcome {
            Some(Ok(_)) => self.look_ahead(),
            Some(Err(_)) => self.under_way = None,
            None => self.large = None,
        }
        Poll::Ready(outcome)
    }

    fn size(&self) -> Size {
        self.decoder.size()
    }
}

impl Answer {
    /// Sends what can be sent of the request. If that fails, the answer goes on.
    fn send(&mut self, cx: &mut Context<'_>) {
        let Some((connection, upload)) = &mut self.under_way else { return };
        let Upload::Going(outgoing) = upload else { return };
        match outgoing.poll_send(&mut connection.stream, cx) {
            Poll::Pending => {
                if outgoing.has_moved() {
                    self.deadline.clear();
                }
            }
            Poll::Ready(Err(_)) => *upload = Upload::GivenUp,
            Poll::Ready(Ok(())) => {
                if let Upload::Going(outgoing) = std::mem::replace(upload, Upload::GivenUp) {
                    *upload = Upload::Done(outgoing.into_buffer());
                }
            }
        }
    }

    fn poll_decoded(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, BodyError>> {
        loop {
            let Some((connection, _)) = &mut self.under_way else { return Poll::Ready(Ok(None)) };
            match self.decoder.decode(&mut connection.read)? {
                Decoded::Frame(frame) => return Poll::Ready(Ok(Some(frame))),
                Decoded::End => {
                    self.finish();
                    return Poll::Ready(Ok(None));
                }
                Decoded::NeedMore => match self.poll_more(cx) {
                    Poll::Ready(Ok(More::Nothing)) => {
                        self.decoder.close()?;
                        self.under_way = None;
                    }
                    Poll::Ready(Ok(more)) => {
                        self.deadline.clear();
                        if let More::Content(content) = more {
                            return Poll::Ready(Ok(Some(Frame::Data(self.pass(content)))));
                        }
                    }
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        return Poll::Ready(Err(BodyError::Incomplete));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(BodyError::Io(error))),
                    Poll::Pending => {
                        self.deadline.start(self.idle);
                        ready!(self.deadline.poll(cx));
                        return Poll::Ready(Err(BodyError::Idle(self.idle)));
                    }
                },
            }
        }
    }

    /// Reads until nothing more is there or a frame is full. After an error behind some bytes the next read fails, too.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<More>> {
        let Some((connection, _)) = &mut self.under_way else { return Poll::Ready(Ok(More::Nothing)) };
        if self.large.is_some() && self.decoder.is_plain() {
            let content = ready!(connection.poll_take(cx))?;
            self.left = self.left.saturating_sub(content.len() as u64);
            return Poll::Ready(Ok(if content.is_empty() { More::Nothing } else { More::Content(content) }));
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).clamp(1, self.room);
        let mut got = 0;
        while got < room {
            match connection.poll_fill(cx, room - got) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => got += bytes,
                _ if got > 0 => break,
                outcome => return outcome.map_ok(|_| More::Nothing),
            }
        }
        self.left = self.left.saturating_sub(got as u64);
        if got >= room {
            self.widen();
        }
        Poll::Ready(Ok(More::Buffered))
    }

    /// Content that was taken as it came. What is not the body's goes to the buffer, and the connection with it.
    fn pass(&mut self, mut content: Bytes) -> Bytes {
        let part = self.decoder.pass(&mut content);
        if let Some((connection, _)) = &mut self.under_way {
            connection.read.extend_from_slice(&content);
        }
        part
    }

    /// Makes room for larger frames, if so much is to come.
    fn widen(&mut self) {
        if self.room < FRAME {
            self.room *= 2;
            return;
        }
        let Some((connection, _)) = &mut self.under_way else { return };
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(LARGE_FRAME);
        if self.large.is_some() || wanted <= FRAME {
            return;
        }
        let pieces = u32::try_from(wanted.div_ceil(FRAME)).unwrap_or(u32::MAX);
        if let Ok(permit) = LARGE.try_acquire_many(pieces) {
            self.large = Some(permit);
            self.room = wanted;
            connection.reach_for(wanted);
        }
    }

    /// Decodes what comes after a frame, if it is there: the connection may be free already.
    fn look_ahead(&mut self) {
        let Some((connection, _)) = &mut self.under_way else { return };
        match self.decoder.decode(&mut connection.read) {
            Ok(Decoded::Frame(frame)) => {
                self.ahead = Some(Ok(frame));
                if self.decoder.is_at_end() {
                    self.finish();
                }
            }
            Ok(Decoded::End) => self.finish(),
            Ok(Decoded::NeedMore) => {}
            Err(error) => {
                self.ahead = Some(Err(error));
                self.under_way = None;
            }
        }
    }

    fn finish(&mut self) {
        if let Some((mut connection, upload)) = self.under_way.take() {
            if self.large.is_some() && connection.read.is_empty() {
                // It is the tail of a large frame's memory, and would keep all of that alive.
                connection.read = BytesMut::new();
            }
            end(connection, upload, self.persists);
        }
    }
}
