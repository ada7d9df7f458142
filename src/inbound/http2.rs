//! Serving HTTP/2 with prior knowledge (RFC 9113, section 3.3): a task for each stream, bounded in number.

mod answer;
mod body;
mod request;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{Caller, ServeSettings, Service};
use crate::words::Deadline;

/// How much of a stream's body may be on its way. All streams may use theirs: bodies that wait for their bank or for a
/// place must not hold up the others on the connection.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The largest window (RFC 9113, section 6.9.1).
const MOST_WINDOW: u32 = (1 << 31) - 1;
/// A small frame takes memory beyond its content. The library counts 256 bytes less its length, and ends the connection when
/// all that wait come to more than this: a whole stream may wait byte by byte.
const SMALL_FRAMES: usize = 256 * STREAM_WINDOW as usize;
/// How much of a stream's answer waits within the connection.
const MOST_UNSENT: usize = 128 * 1024;
/// Heads up to so many times the limit are read, to be refused with a reason. Beyond, the library answers 431 alone.
const READ_TO_REFUSE: usize = 4;
/// How long an app has to go after we said that we do.
const LINGER: Duration = Duration::from_secs(2);

/// Serves one connection.
pub(super) async fn serve<T, V>(io: T, caller: Caller, service: V, settings: &ServeSettings, drain: &CancellationToken)
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
    V: Service,
{
    let head = READ_TO_REFUSE * settings.head.bytes;
    let handshake = Builder::new()
        .max_concurrent_streams(settings.streams)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW.saturating_mul(settings.streams).min(MOST_WINDOW))
        .data_frame_budget(SMALL_FRAMES)
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .max_send_buffer_size(MOST_UNSENT)
        .handshake::<_, Bytes>(io);
    let Ok(Ok(connection)) = tokio::time::timeout(settings.request, handshake).await else { return };
    let mut driver = Driver {
        connection,
        streams: JoinSet::new(),
        deadline: Deadline::never(),
        keep_alive: settings.keep_alive,
        going: false,
    };
    let mut draining = pin!(drain.cancelled());
    while let Some((request, respond)) = poll_fn(|cx| driver.poll_accept(draining.as_mut(), cx)).await {
        let (service, caller, settings) = (service.clone(), caller.clone(), settings.clone());
        driver.streams.spawn(async move { answer::serve_stream(request, respond, &service, &caller, &settings).await });
    }
}

/// A stream as the connection gives it.
type Accepted = (http::Request<h2::RecvStream>, h2::server::SendResponse<Bytes>);

struct Driver<T> {
    connection: Connection<T, Bytes>,
    /// Ended together with the connection.
    streams: JoinSet<()>,
    deadline: Deadline,
    keep_alive: Duration,
    /// Whether we have said that we go (GOAWAY).
    going: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// The next stream, or `None` when the connection is over.
    fn poll_accept(
        &mut self,
        draining: Pin<&mut WaitForCancellationFuture<'_>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Accepted>> {
        while let Poll::Ready(Some(_)) = self.streams.poll_join_next(cx) {}
        if !self.going && draining.poll(cx).is_ready() {
            self.go();
        }
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok(accepted))) => {
                    self.deadline.clear();
                    return Poll::Ready(Some(accepted));
                }
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending if !self.streams.is_empty() => {
                    self.deadline.clear();
                    return Poll::Pending;
                }
                Poll::Pending => {}
            }
            self.deadline.start(if self.going { LINGER } else { self.keep_alive });
            match self.deadline.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) if self.going => return Poll::Ready(None),
                Poll::Ready(()) => self.go(),
            }
        }
    }

    fn go(&mut self) {
        self.going = true;
        self.deadline.clear();
        self.connection.graceful_shutdown();
    }
}
