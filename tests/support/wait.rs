//! Waiting for what will be so: by looking again and again, with a limit that only a hang reaches. And time that passes
//! because it belongs to what a test plays. No other file sleeps.
//!
//! What is said of plain functions is in [`here`].

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

/// Waits until this is so, for as long as that at the most.
pub async fn within(time: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < time, "not within {time:?}: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Sees that this is so now, and stays so for that long.
pub async fn stays(time: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    loop {
        let elapsed = start.elapsed();
        assert!(is_so(), "no longer after {elapsed:?}: {what}");
        if elapsed > time {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Time that belongs to what a test plays: a bank's delay, an app's pause, an outage, a run. Never a wait for something.
pub async fn time_passes(time: Duration) {
    tokio::time::sleep(time).await;
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

/// The same for plain functions, which mostly wait for processes.
pub mod here {
    use std::thread::sleep;

    use super::{Duration, Instant, LOOK_AGAIN};

    /// Looks again and again until there is such a thing, for as long as that at the most.
    pub fn look_for<T>(time: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let start = Instant::now();
        loop {
            let elapsed = start.elapsed();
            if let Some(found) = look() {
                return Some(found);
            }
            if elapsed > time {
                return None;
            }
            sleep(LOOK_AGAIN);
        }
    }

    /// Waits until this is so, for as long as that at the most.
    pub fn within(time: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
        let found = look_for(time, || is_so().then_some(()));
        assert!(found.is_some(), "not within {time:?}: {what}");
    }

    /// Sees that this is so now, and stays so for that long.
    pub fn stays(time: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        let ended = look_for(time, || (!is_so()).then(|| start.elapsed()));
        assert!(ended.is_none(), "no longer after {ended:?}: {what}");
    }

    /// Time that belongs to what a test plays. Never a wait for something.
    pub fn time_passes(time: Duration) {
        sleep(time);
    }
}
