//! The trailers of a request on its way to the bank: what must not leave in the head must not leave behind the body.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::message::{Body, BodyError, BodyStream, Frame, Size};

use super::outgoing::is_ours;

/// Takes out the sidecar's own fields, and those that the bank's rules remove.
pub(super) fn clean(body: Body, removed: &Arc<[String]>) -> Body {
    // A body of known length has no trailers.
    if matches!(body.size(), Size::Exact(_)) {
        return body;
    }
    Body::stream(Cleaned { body, removed: Arc::clone(removed) })
}

struct Cleaned {
    body: Body,
    removed: Arc<[String]>,
}

impl BodyStream for Cleaned {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = ready!(self.body.poll_frame(cx));
        let Some(Ok(Frame::Trailers(mut fields))) = frame else { return Poll::Ready(frame) };
        fields.retain(|name, _| {
            !is_ours(name) && !self.removed.iter().any(|removed| name.eq_ignore_ascii_case(removed.as_bytes()))
        });
        Poll::Ready((!fields.is_empty()).then_some(Ok(Frame::Trailers(fields))))
    }

    fn size(&self) -> Size {
        self.body.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Fields;

    /// A body that is nothing but trailers with these names.
    struct Names(Vec<&'static str>);

    impl BodyStream for Names {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            let mut fields = Fields::new();
            for name in std::mem::take(&mut self.0) {
                fields.push(name, "x");
            }
            Poll::Ready((!fields.is_empty()).then_some(Ok(Frame::Trailers(fields))))
        }

        fn size(&self) -> Size {
            Size::Unknown
        }
    }

    async fn left(names: &[&'static str]) -> Option<Vec<String>> {
        let removed: Arc<[String]> = Arc::from(["X-Client-Certificate".to_owned()]);
        let mut body = clean(Body::stream(Names(names.to_vec())), &removed);
        match body.frame().await?.expect("no error") {
            Frame::Trailers(fields) => {
                Some(fields.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect())
            }
            Frame::Data(_) => panic!("no data"),
        }
    }

    #[tokio::test]
    async fn what_is_ours_and_what_the_bank_removes_does_not_leave_as_a_trailer() {
        let names = ["Bankside-Key", "X-Sum", "bankside-grant", "x-client-certificate"];
        assert_eq!(left(&names).await, Some(vec!["X-Sum".to_owned()]));
        assert_eq!(left(&names[2..]).await, None);
    }
}
