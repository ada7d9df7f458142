//! A message's content as it streams: data frames, then perhaps trailers.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::Fields;

/// A part of a body.
#[derive(Debug)]
pub enum Frame {
    /// Some bytes of the content, never none.
    Data(Bytes),
    /// The trailer section (RFC 9110, section 6.5); nothing follows.
    Trailers(Fields),
}

/// How long a body is, as far as its sender said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// This many bytes in all, no trailers (`Content-Length`).
    Exact(u64),
    /// As long as it lasts, with trailers perhaps (`chunked`, HTTP/2, until the connection closes).
    Unknown,
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The connection closed before the body was complete (RFC 9112, section 8).
    #[error("the connection closed before the body was complete")]
    Incomplete,
    /// Nothing came, or nothing could be sent, for as long as may be.
    #[error("no byte of the body moved for {} ms", .0.as_millis())]
    Idle(std::time::Duration),
    /// So little came that it was given up in favour of others.
    #[error("the body came too slowly while other requests waited")]
    TooSlow,
    /// The framing is not what RFC 9112 section 7 allows.
    #[error("the body's framing is malformed: {0}")]
    Malformed(&'static str),
    /// The connection failed.
    #[error("the connection failed within the body")]
    Io(#[from] std::io::Error),
    /// The stream was reset, or the HTTP/2 connection failed.
    #[error("the stream failed within the body")]
    Http2(#[from] h2::Error),
    /// The HTTP/2 stream ended before its time.
    #[error("the stream failed within the body: {0}")]
    Stream(#[from] super::http2::StreamError),
    /// Whoever was to send the body gave up.
    #[error("the body's sender gave up")]
    Abandoned,
}

/// What a streaming body is made of. Dropping it gives up what has not been read.
pub trait BodyStream: Send {
    /// The next frame, an error (then nothing more), or `None` at the end.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>>;

    /// What the sender said of the length. It is that of the whole body, whatever has been read of it.
    fn size(&self) -> Size;
}

/// The content of a message.
#[derive(Default)]
pub struct Body(Inner);

#[derive(Default)]
enum Inner {
    /// No content, as a GET has none: this is not a content of length 0.
    #[default]
    Absent,
    Full(Bytes),
    Taken(u64),
    Stream(Box<dyn BodyStream>),
}

impl Body {
    /// No content at all.
    pub const fn absent() -> Self {
        Self(Inner::Absent)
    }

    /// A content that is at hand; it may have length 0.
    pub fn full(content: impl Into<Bytes>) -> Self {
        Self(Inner::Full(content.into()))
    }

    /// A content that comes by and by.
    pub fn stream(stream: impl BodyStream + 'static) -> Self {
        Self(Inner::Stream(Box::new(stream)))
    }

    /// Whether there is no content, not even one of length 0.
    pub fn is_absent(&self) -> bool {
        matches!(self.0, Inner::Absent)
    }

    /// Whether nobody has to be waited for: all of it is here, or there is none.
    pub fn is_at_hand(&self) -> bool {
        !matches!(self.0, Inner::Stream(_))
    }

    /// What is known of the length.
    pub fn size(&self) -> Size {
        match &self.0 {
            Inner::Absent => Size::Exact(0),
            Inner::Full(content) => Size::Exact(content.len() as u64),
            Inner::Taken(length) => Size::Exact(*length),
            Inner::Stream(stream) => stream.size(),
        }
    }

    /// The next frame, an error (then nothing more), or `None` at the end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match &mut self.0 {
            Inner::Absent | Inner::Taken(_) => Poll::Ready(None),
            Inner::Full(content) => {
                let content = std::mem::take(content);
                self.0 = Inner::Taken(content.len() as u64);
                Poll::Ready((!content.is_empty()).then_some(Ok(Frame::Data(content))))
            }
            Inner::Stream(stream) => stream.poll_frame(cx),
        }
    }

    /// The next frame, an error (then nothing more), or `None` at the end.
    pub async fn frame(&mut self) -> Option<Result<Frame, BodyError>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// The whole content, or `None` if it is longer than `most` bytes. Trailers are dropped.
    pub async fn collect(mut self, most: usize) -> Result<Option<Vec<u8>>, BodyError> {
        let mut content = Vec::new();
        while let Some(frame) = self.frame().await {
            if let Frame::Data(data) = frame? {
                if content.len() + data.len() > most {
                    return Ok(None);
                }
                content.extend_from_slice(&data);
            }
        }
        Ok(Some(content))
    }
}

/// The kind and length, never the content.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Absent => f.write_str("Body::absent"),
            _ => write!(f, "Body({:?})", self.size()),
        }
    }
}
