//! What is left of a request when its answer is complete: skipped if it is little, else the connection closes in such a
//! way that the app still gets the answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::inbound::Stream;
use crate::message::Frame;
use crate::message::http1::{Decoded, Decoder};

use super::{After, Connection};

/// So much of a body that nobody wants is read for the connection's sake.
const MOST_SKIPPED: usize = 64 * 1024;
/// And for so long.
const SKIP: Duration = Duration::from_secs(1);
/// How long the app has to read the last answer and close.
const LINGER: Duration = Duration::from_secs(2);

impl<S: Stream> Connection<'_, S> {
    /// Reads what is left of a body, if it comes soon and is little.
    pub(super) async fn skip_body(&mut self, mut decoder: Decoder) -> After {
        let mut skipped = 0;
        self.deadline.set(SKIP);
        let after = poll_fn(|cx| {
            loop {
                let part = decoder.decode(&mut self.wire.lock().received);
                match part {
                    Ok(Decoded::End) => return Poll::Ready(After::Persist),
                    Ok(Decoded::Frame(Frame::Data(data))) if skipped + data.len() <= MOST_SKIPPED => {
                        skipped += data.len();
                    }
                    Ok(Decoded::Frame(Frame::Trailers(_))) => {}
                    Ok(Decoded::NeedMore) => {
                        if !ready!(self.poll_more(cx)) {
                            return Poll::Ready(After::Close);
                        }
                    }
                    Ok(Decoded::Frame(Frame::Data(_))) | Err(_) => return Poll::Ready(After::Close),
                }
            }
        })
        .await;
        self.deadline.clear();
        after
    }

    /// Closes for writing, then reads on for a while. To close with something unread would send RST, which takes the
    /// answer away from an app that has not read it yet (RFC 9112, section 9.6).
    pub(super) async fn linger(&mut self) {
        self.deadline.set(LINGER);
        poll_fn(|cx| {
            if Pin::new(&mut self.wire.lock().io).poll_shutdown(cx).is_pending() {
                return self.deadline.poll(cx);
            }
            while ready!(self.poll_more(cx)) {
                self.wire.lock().received.clear();
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Reads some more: whether something came, before the deadline.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut wire = self.wire.lock();
        if wire.ended {
            return Poll::Ready(false);
        }
        match wire.poll_fill(cx) {
            Poll::Ready(count) if self.deadline.poll(cx).is_pending() => {
                Poll::Ready(count.is_ok_and(|count| count > 0))
            }
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending => self.deadline.poll(cx).map(|()| false),
        }
    }
}
