//! Connections that rest while we drain.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// When we drain, a connection that rests is still read for so long: what an app has sent by then, because it could
/// not know better, is answered, and told that the connection closes.
pub(super) const LAST_REQUESTS: Duration = Duration::from_millis(500);

/// Comes when a connection that rests is to be closed.
pub(super) async fn close_at_rest(drain: &CancellationToken) {
    drain.cancelled().await;
    tokio::time::sleep(LAST_REQUESTS).await;
}
