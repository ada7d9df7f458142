//! How many requests are under way at once, and how long one waits for its turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::BankMetrics;

/// A bank's places for requests, shared by all workers. Who waits is served in the order of coming.
#[derive(Clone, Debug)]
pub struct InFlight {
    places: Arc<Semaphore>,
    queue: Duration,
}

/// There was no place in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many requests as may be are under way, and none ended within {} ms", .0.as_millis())]
pub(super) struct Overloaded(pub(super) Duration);

impl InFlight {
    /// `most` places; a request waits for `queue` at the most.
    pub fn new(most: usize, queue: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))), queue }
    }

    /// Takes a place. It is free again when the permit is dropped: at the end of the answer's body.
    pub(super) async fn enter(&self, metrics: &BankMetrics) -> Result<OwnedSemaphorePermit, Overloaded> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(permit);
        }
        let _queued = metrics.queued();
        let turn = tokio::time::timeout(self.queue, Arc::clone(&self.places).acquire_owned());
        match turn.await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed, so the only way to get nothing is the timeout.
            Ok(Err(_)) | Err(_) => Err(Overloaded(self.queue)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_place_no_longer_than_it_may() {
        let (in_flight, metrics) = (InFlight::new(1, Duration::from_secs(5)), BankMetrics::default());
        let first = in_flight.enter(&metrics).await.expect("a free place");
        assert_eq!(in_flight.enter(&metrics).await.err(), Some(Overloaded(Duration::from_secs(5))));
        drop(first);
        assert!(in_flight.enter(&metrics).await.is_ok(), "the place is free again");
    }
}
