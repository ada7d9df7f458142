//! One decoder for bodies of every framing.

use bytes::{Bytes, BytesMut};

use crate::message::{BodyError, Frame, Size};

use super::Framing;
use super::chunked::ChunkedDecoder;

/// Takes a body out of the bytes of a connection, and not one byte of what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    framing: Framing,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes are left.
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
    End,
}

/// What a call of [`Decoder::decode`] found.
#[derive(Debug)]
pub enum Decoded {
    /// A part of the body.
    Frame(Frame),
    /// The bytes at hand are used up: read more.
    NeedMore,
    /// The body is complete, now and in every later call.
    End,
}

impl Decoder {
    /// A decoder at the start of a body.
    pub const fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::End,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(ChunkedDecoder::new()),
            Framing::UntilClose => State::UntilClose,
        };
        Self { framing, state }
    }

    /// Takes the next part of the body out of `buf`. After an error the connection is of no more use.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Decoded, BodyError> {
        match &mut self.state {
            State::End => Ok(Decoded::End),
            State::Length(_) | State::UntilClose if buf.is_empty() => Ok(Decoded::NeedMore),
            State::Length(_) => {
                let taken = self.claim(buf.len());
                Ok(Decoded::Frame(Frame::Data(buf.split_to(taken).freeze())))
            }
            State::Chunked(chunked) => {
                let decoded = chunked.decode(buf)?;
                if chunked.is_at_end() {
                    self.state = State::End;
                }
                Ok(decoded)
            }
            State::UntilClose => Ok(Decoded::Frame(Frame::Data(buf.split().freeze()))),
        }
    }

    /// Whether the body has nothing between its parts, so that [`Self::pass`] can take them as they are.
    pub const fn is_plain(&self) -> bool {
        matches!(self.state, State::Length(_) | State::UntilClose)
    }

    /// Takes the next part of a plain body out of `content`, as it is. Of any other body it takes nothing.
    pub fn pass(&mut self, content: &mut Bytes) -> Bytes {
        let taken = self.claim(content.len());
        content.split_to(taken)
    }

    /// How much of so many bytes belongs to a plain body, which has that much less to come.
    fn claim(&mut self, available: usize) -> usize {
        match &mut self.state {
            State::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
                *left -= taken as u64;
                if *left == 0 {
                    self.state = State::End;
                }
                taken
            }
            State::UntilClose => available,
            State::Chunked(_) | State::End => 0,
        }
    }

    /// Tells that the connection has closed, after all bytes were decoded: the end, or an end too early.
    pub fn close(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::End => Ok(()),
            State::UntilClose => {
                self.state = State::End;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(BodyError::Incomplete),
        }
    }

    /// Whether the body is complete. True at once where there is none.
    pub const fn is_at_end(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// How the body is framed.
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// What the framing says of the length of the whole body.
    pub const fn size(&self) -> Size {
        self.framing.size()
    }
}
