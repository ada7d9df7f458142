//! Waiting for what will be so: by looking again and again, with a limit that only a hang reaches.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::http::metric;

/// Longer than anything takes on a busy machine.
pub const HANG: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Waits until this is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    until_some(what, || is_so().then_some(())).await;
}

/// Waits until there is such a thing.
pub async fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < HANG, "waited in vain: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Waits until this asynchronous look finds such a thing.
pub async fn until_found<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < HANG, "waited in vain: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// What comes of it, unless it hangs.
pub async fn unless_it_hangs<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, work).await.unwrap_or_else(|_| panic!("it hangs: {what}"))
}

/// Waits until so many requests to a bank stand in its queue.
pub async fn until_queued(admin: SocketAddr, bank: &str, count: u64) {
    let name = format!("bankside_requests_queued{{bank=\"{bank}\"}}");
    until_found("they wait for their turn", async || (metric(admin, &name).await == Some(count)).then_some(())).await;
}
