//! How many requests are under way at once, and how long one waits for its turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::message::Request;
use crate::telemetry::BankMetrics;
use crate::upstream::ConnectionLimit;

use super::problem::ProxyError;
use super::uploads::{Crowd, Uploads};

/// A bank's places for requests, shared by all workers. Who waits is served in the order of coming.
#[derive(Clone, Debug)]
pub struct InFlight {
    places: Arc<Semaphore>,
    queue: Duration,
    uploads: Uploads,
    crowd: Crowd,
}

/// There was no place in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Overloaded {
    #[error("as many requests as may be are under way, and none ended within {} ms", .0.as_millis())]
    InFlight(Duration),
    #[error("as many bodies as may be are being waited for, and this one was not whole within {} ms", .0.as_millis())]
    Uploads(Duration),
}

impl InFlight {
    /// The places that these limits give; a request waits for `queue` at the most. `connections` are those to the bank.
    pub fn new(limits: &Limits, connections: Arc<ConnectionLimit>) -> Self {
        let crowd = Crowd::new(connections);
        let places = Arc::new(Semaphore::new(limits.in_flight.min(Semaphore::MAX_PERMITS)));
        Self { places, queue: limits.queue, uploads: Uploads::new(limits, crowd.clone()), crowd }
    }

    /// Takes a place, once the request's body may be sent. It is free again when the permit is dropped: at
    /// the end of the answer's body.
    pub(super) async fn enter(
        &self,
        request: &mut Request,
        metrics: &BankMetrics,
    ) -> Result<OwnedSemaphorePermit, ProxyError> {
        self.uploads.admit(request, metrics).await?;
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(permit);
        }
        let (_queued, _waiting) = (metrics.queued(), self.crowd.join());
        let turn = tokio::time::timeout(self.queue, Arc::clone(&self.places).acquire_owned());
        match turn.await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed, so the only way to get nothing is the timeout.
            Ok(Err(_)) | Err(_) => Err(Overloaded::InFlight(self.queue).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::message::Body;

    const QUEUE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_place_no_longer_than_it_may() {
        let limits = Limits { in_flight: 1, connections: 1, queue: QUEUE, replay_body: 0 };
        let in_flight = InFlight::new(&limits, Arc::new(ConnectionLimit::new(1)));
        let (mut request, metrics) = (Request::new(Method::GET, "/x", Body::absent()), BankMetrics::default());
        let first = in_flight.enter(&mut request, &metrics).await.expect("a free place");
        let refused = in_flight.enter(&mut request, &metrics).await.expect_err("no place");
        assert!(matches!(refused, ProxyError::Overloaded(Overloaded::InFlight(QUEUE))), "{refused:?}");
        drop(first);
        assert!(in_flight.enter(&mut request, &metrics).await.is_ok(), "the place is free again");
    }
}
