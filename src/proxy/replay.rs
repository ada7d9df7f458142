//! A request's body that is kept while it streams, so that the request can be sent once more.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::message::{Body, BodyError, BodyStream, Fields, Frame, Size};

/// What has been read of a body so far, as long as it is not too much.
#[derive(Clone)]
pub(super) enum Kept {
    /// There is no content.
    Absent,
    /// The content as it streams.
    Streaming(Arc<Mutex<Copy>>),
}

/// The frames that went by.
#[derive(Default)]
pub(super) struct Copy {
    data: Vec<Bytes>,
    trailers: Option<Fields>,
    bytes: usize,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// More may come.
    #[default]
    Open,
    /// All of it is here.
    Whole,
    /// It was too long, or it failed: nothing is kept.
    Lost,
}

impl Kept {
    /// Splits a body into the one that is sent and what is kept of it, `most` bytes at the most.
    pub(super) fn tee(body: Body, most: usize) -> (Body, Self) {
        if body.is_absent() {
            return (body, Self::Absent);
        }
        // Nobody needs to ask for the end of an empty content.
        let state = if body.size() == Size::Exact(0) { State::Whole } else { State::Open };
        let copy = Arc::new(Mutex::new(Copy { state, ..Copy::default() }));
        if matches!(body.size(), Size::Exact(length) if length > most as u64) {
            lock(&copy).state = State::Lost;
            return (body, Self::Streaming(copy));
        }
        let tee = Tee { body, most, copy: Arc::clone(&copy) };
        (Body::stream(tee), Self::Streaming(copy))
    }

    /// The body once more, if all of it is at hand.
    pub(super) fn again(&self) -> Option<Body> {
        let Self::Streaming(copy) = self else {
            return Some(Body::absent());
        };
        let copy = lock(copy);
        if copy.state != State::Whole {
            return None;
        }
        if copy.bytes == 0 && copy.trailers.is_none() {
            return Some(Body::full(Bytes::new()));
        }
        let trailers = copy.trailers.clone();
        let size = if trailers.is_none() { Size::Exact(copy.bytes as u64) } else { Size::Unknown };
        Some(Body::stream(Again { data: copy.data.concat().into(), trailers, size }))
    }
}

/// No code that holds this lock can panic half-way.
fn lock(copy: &Mutex<Copy>) -> std::sync::MutexGuard<'_, Copy> {
    copy.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes a body on and keeps a copy.
struct Tee {
    body: Body,
    most: usize,
    copy: Arc<Mutex<Copy>>,
}

impl BodyStream for Tee {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = ready!(self.body.poll_frame(cx));
        lock(&self.copy).take(frame.as_ref(), self.most, self.body.size());
        Poll::Ready(frame)
    }

    fn size(&self) -> Size {
        self.body.size()
    }
}

impl Copy {
    fn take(&mut self, frame: Option<&Result<Frame, BodyError>>, most: usize, size: Size) {
        match frame {
            _ if self.state != State::Open => {}
            Some(Ok(Frame::Data(data))) if self.bytes + data.len() <= most => {
                self.bytes += data.len();
                self.data.push(data.clone());
                // Whoever knows the length does not ask for the end.
                if size == Size::Exact(self.bytes as u64) {
                    self.state = State::Whole;
                }
            }
            Some(Ok(Frame::Data(_)) | Err(_)) => {
                self.state = State::Lost;
                self.data = Vec::new();
            }
            Some(Ok(Frame::Trailers(trailers))) => {
                self.trailers = Some(trailers.clone());
                // They are the end: nobody asks for more.
                self.state = State::Whole;
            }
            None => self.state = State::Whole,
        }
    }
}

/// A kept body.
struct Again {
    data: Bytes,
    trailers: Option<Fields>,
    size: Size,
}

impl BodyStream for Again {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if !self.data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::Data(std::mem::take(&mut self.data)))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::Trailers(trailers))))
    }

    fn size(&self) -> Size {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of these chunks, of unknown length.
    struct Chunks(Vec<&'static str>);

    impl BodyStream for Chunks {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            let next = (!self.0.is_empty()).then(|| self.0.remove(0));
            Poll::Ready(next.map(|text| Ok(Frame::Data(Bytes::from_static(text.as_bytes())))))
        }

        fn size(&self) -> Size {
            Size::Unknown
        }
    }

    #[tokio::test]
    async fn a_short_body_can_be_sent_once_more() {
        let (sent, kept) = Kept::tee(Body::stream(Chunks(vec!["ab", "cd"])), 4);
        assert!(kept.again().is_none(), "nothing was read yet");
        assert_eq!(sent.collect(100).await.expect("reads"), Some(b"abcd".to_vec()));
        let again = kept.again().expect("all of it was kept");
        assert_eq!(again.collect(100).await.expect("reads"), Some(b"abcd".to_vec()));
    }

    #[tokio::test]
    async fn a_long_body_streams_and_is_not_kept() {
        let (sent, kept) = Kept::tee(Body::stream(Chunks(vec!["ab", "cd"])), 3);
        assert_eq!(sent.collect(100).await.expect("reads"), Some(b"abcd".to_vec()));
        assert!(kept.again().is_none());
        let (_, kept) = Kept::tee(Body::full("abcd"), 3);
        assert!(kept.again().is_none());
    }

    #[tokio::test]
    async fn a_body_that_was_read_in_part_is_not_whole() {
        let (mut sent, kept) = Kept::tee(Body::stream(Chunks(vec!["ab", "cd"])), 10);
        sent.frame().await.expect("a frame").expect("no error");
        assert!(kept.again().is_none());
    }

    /// A chunk, and trailers behind it.
    struct Ended(Vec<Frame>);

    impl BodyStream for Ended {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            Poll::Ready(self.0.pop().map(Ok))
        }

        fn size(&self) -> Size {
            Size::Unknown
        }
    }

    #[tokio::test]
    async fn trailers_are_the_end_and_are_sent_once_more_too() {
        let mut trailers = Fields::new();
        trailers.push("X-Sum", "1");
        let frames = vec![Frame::Trailers(trailers), Frame::Data(Bytes::from_static(b"ab"))];
        let (mut sent, kept) = Kept::tee(Body::stream(Ended(frames)), 10);
        for _ in 0..2 {
            assert!(kept.again().is_none(), "not yet all of it");
            sent.frame().await.expect("a frame").expect("no error");
        }
        let mut again = kept.again().expect("all of it was kept");
        assert!(matches!(again.frame().await, Some(Ok(Frame::Data(data))) if data == "ab"));
        assert!(matches!(again.frame().await, Some(Ok(Frame::Trailers(fields))) if fields.get("X-Sum") == Some(b"1")));
        assert!(again.frame().await.is_none());
    }

    #[test]
    fn an_empty_content_is_whole_before_anybody_reads_it() {
        let (_, kept) = Kept::tee(Body::full(""), 0);
        assert!(!kept.again().expect("whole").is_absent());
    }

    #[test]
    fn no_body_can_always_be_sent_once_more() {
        let (sent, kept) = Kept::tee(Body::absent(), 0);
        assert!(sent.is_absent() && kept.again().expect("whole").is_absent());
    }
}
