//! The trailers of a request on its way to the bank: what must not leave in the head must not leave behind the body.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::message::{Body, BodyError, BodyStream, Frame, Size};

use super::hop_fields::is_ours;
use super::overrides;

/// Takes out the sidecar's own fields, those that the bank's rules set or remove, and those that could make another request
/// of it: a server may put trailers to the head's fields.
pub(super) fn clean(body: Body, ruled: &Arc<[String]>) -> Body {
    // A body of known length has no trailers.
    if matches!(body.size(), Size::Exact(_)) {
        return body;
    }
    Body::stream(Cleaned { body, ruled: Arc::clone(ruled) })
}

struct Cleaned {
    body: Body,
    ruled: Arc<[String]>,
}

impl BodyStream for Cleaned {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = ready!(self.body.poll_frame(cx));
        let Some(Ok(Frame::Trailers(mut fields))) = frame else { return Poll::Ready(frame) };
        fields.retain(|name, _| {
            let is_ruled = self.ruled.iter().any(|ruled| overrides::is_same_name(name, ruled));
            !is_ours(name) && !overrides::is_one(name) && !is_ruled
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
        let ruled: Arc<[String]> = Arc::from(["X-Client-Certificate".to_owned()]);
        let mut body = clean(Body::stream(Names(names.to_vec())), &ruled);
        match body.frame().await?.expect("no error") {
            Frame::Trailers(fields) => {
                Some(fields.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect())
            }
            Frame::Data(_) => panic!("no data"),
        }
    }

    #[tokio::test]
    async fn what_is_ours_or_ruled_or_could_make_another_request_does_not_leave_as_a_trailer() {
        let names = [
            "Bankside-Key",
            "X-Sum",
            "x-original-url",
            "X_HTTP_Method_Override",
            "bankside-grant",
            "x-client-certificate",
            "X_Client_Certificate",
            "Bankside_Key",
        ];
        assert_eq!(left(&names).await, Some(vec!["X-Sum".to_owned()]));
        assert_eq!(left(&names[2..]).await, None);
    }
}
