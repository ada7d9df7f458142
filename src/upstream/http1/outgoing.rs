//! A request on its way out: the head, then the body's frames as they come, framed (RFC 9112, sections 6 and 7).

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::message::http1::{begin_chunk, encode_end, write_request_head};
use crate::message::{Body, BodyError, BodyStream, Frame, Request, Size};
use crate::upstream::tls_stream::TlsStream;

use super::framing;

/// Frames up to this size are copied behind what is to be written anyway.
const SMALL: usize = 4 * 1024;
/// So much is gathered before it is written.
const GATHERED: usize = 16 * 1024;

/// What is left of a request to be written.
pub(super) struct Outgoing {
    /// Bytes of our own making and small frames, of which `written` have left.
    out: Vec<u8>,
    written: usize,
    /// A large frame, which follows.
    data: Bytes,
    /// What follows that.
    tail: &'static [u8],
    body: Body,
    size: Size,
    framing: Framing,
    is_gathered: bool,
    /// What has been taken from the body while nothing has been written: for another connection, perhaps.
    taken: Option<Vec<Frame>>,
    has_moved: bool,
}

enum Framing {
    /// So many bytes are to come.
    Length(u64),
    Chunked,
}

/// Why a request could not be written.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection.
    Write(io::Error),
    /// The body.
    Body(BodyError),
}

impl Outgoing {
    /// Writes the head of `request` to `out` and takes its body.
    pub(super) fn new(request: &mut Request, mut out: Vec<u8>) -> Self {
        let body = std::mem::take(&mut request.body);
        let size = body.size();
        let framing = match size {
            Size::Exact(length) => Framing::Length(length),
            Size::Unknown => Framing::Chunked,
        };
        framing::agree(&mut request.fields, &body);
        write_request_head(&mut out, &request.method, &request.target, &request.fields);
        let is_gathered = matches!(framing, Framing::Length(0));
        let (data, tail, taken) = (Bytes::new(), &b""[..], Some(Vec::new()));
        Self { out, written: 0, data, tail, body, size, framing, is_gathered, taken, has_moved: false }
    }

    /// Writes what there is, until all has left. The head never waits for the body.
    pub(super) fn poll_send(&mut self, stream: &mut TlsStream, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            let waits_for_app = self.gather(cx).map_err(Broken::Body)?;
            while self.is_anything_left() {
                let bytes = ready!(self.poll_write(stream, cx)).map_err(Broken::Write)?;
                if bytes == 0 {
                    return Poll::Ready(Err(Broken::Write(io::ErrorKind::WriteZero.into())));
                }
                self.advance(bytes);
            }
            if !self.is_gathered && !waits_for_app {
                continue;
            }
            // TLS may hold back what the socket did not take.
            let flushed = Pin::new(&mut *stream).poll_flush(cx).map_err(Broken::Write)?;
            return if self.is_gathered { flushed.map(Ok) } else { Poll::Pending };
        }
    }

    /// Whether something has been written or has come from the app since this was asked last.
    pub(super) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Whether the bank is what keeps it from moving, and not the app.
    pub(super) fn waits_for_bank(&self) -> bool {
        self.is_gathered || self.is_anything_left()
    }

    /// The body, whole, if nothing has been written.
    pub(super) fn take_body(&mut self) -> Option<Body> {
        let taken = self.taken.take()?;
        let rest = std::mem::take(&mut self.body);
        if rest.is_absent() || taken.is_empty() {
            return Some(rest);
        }
        Some(Body::stream(PutBack { taken: taken.into(), rest, size: self.size }))
    }

    /// The buffer, when all has been written.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.out
    }

    /// Takes frames that are at hand, as long as they are small; whether there is none now.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<bool, BodyError> {
        while !self.is_gathered && self.data.is_empty() && self.out.len() < GATHERED {
            let Poll::Ready(frame) = self.body.poll_frame(cx) else { return Ok(true) };
            let frame = frame.transpose()?;
            self.has_moved = true;
            if let (Some(taken), Some(frame)) = (&mut self.taken, &frame) {
                taken.push(match frame {
                    Frame::Data(data) => Frame::Data(data.clone()),
                    Frame::Trailers(fields) => Frame::Trailers(fields.clone()),
                });
            }
            match frame {
                Some(Frame::Data(data)) => self.add(data)?,
                Some(Frame::Trailers(_)) | None if matches!(self.framing, Framing::Length(_)) => {
                    return Err(BodyError::Incomplete);
                }
                Some(Frame::Trailers(fields)) => self.end(|out| encode_end(out, Some(&fields))),
                None => self.end(|out| encode_end(out, None)),
            }
        }
        Ok(false)
    }

    fn add(&mut self, data: Bytes) -> Result<(), BodyError> {
        if data.is_empty() {
            return Ok(());
        }
        let tail: &'static [u8] = match &mut self.framing {
            Framing::Length(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or(BodyError::Malformed("it is longer than its sender said"))?;
                self.is_gathered = *left == 0;
                b""
            }
            Framing::Chunked => {
                begin_chunk(&mut self.out, data.len());
                b"\r\n"
            }
        };
        if data.len() <= SMALL {
            self.out.extend_from_slice(&data);
            self.out.extend_from_slice(tail);
        } else {
            self.data = data;
            self.tail = tail;
        }
        Ok(())
    }

    fn end(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.out);
        self.is_gathered = true;
    }

    fn is_anything_left(&self) -> bool {
        self.written < self.out.len() || !self.data.is_empty() || !self.tail.is_empty()
    }

    fn poll_write(&self, stream: &mut TlsStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stream = Pin::new(stream);
        if self.data.is_empty() && self.tail.is_empty() {
            return stream.poll_write(cx, &self.out[self.written..]);
        }
        let parts = [&self.out[self.written..], &self.data, self.tail].map(IoSlice::new);
        stream.poll_write_vectored(cx, &parts)
    }

    fn advance(&mut self, mut bytes: usize) {
        self.taken = None;
        self.has_moved = true;
        let of_out = bytes.min(self.out.len() - self.written);
        self.written += of_out;
        bytes -= of_out;
        let of_data = bytes.min(self.data.len());
        self.data.advance(of_data);
        bytes -= of_data;
        self.tail = &self.tail[bytes..];
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
    }
}

/// A body from which something was taken and put back.
struct PutBack {
    taken: VecDeque<Frame>,
    rest: Body,
    size: Size,
}

impl BodyStream for PutBack {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self.taken.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.rest.poll_frame(cx),
        }
    }

    fn size(&self) -> Size {
        self.size
    }
}
