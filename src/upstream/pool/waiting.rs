//! Getting a connection: one at hand, one that comes back, or one that is made.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::dial::Dial;
use super::state::{News, State, Waiter};
use super::{Lease, Pool};
use crate::upstream::Failure;

/// How long a stream of an HTTP/2 connection that is full is waited for before another connection is made: streams come
/// free often, and a handshake costs as much as many requests.
const FOR_A_STREAM: Duration = Duration::from_millis(50);

/// Where a request without a connection stands.
enum Joined {
    /// There was one after all.
    AtHand(Lease),
    /// In the queue, and perhaps with the duty to bring a connection, at once or beside one that is full.
    Queue(Place, Option<(Dial, bool)>),
}

/// A place in the queue. News that its owner missed, because the app hung up, goes to those who still wait: else nobody might
/// make their connection.
struct Place {
    told: oneshot::Receiver<News>,
    pool: Arc<Pool>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.told.close();
        match self.told.try_recv() {
            Ok(News::Lease(Lease::Http1(connection))) => self.pool.put_back(connection),
            Ok(News::LookAgain) => self.pool.state().wake_one(),
            // A stream gives itself back, and of a failure each is told.
            Ok(News::Lease(Lease::Http2(_)) | News::Failed(_)) | Err(_) => {}
        }
    }
}

impl Pool {
    /// A connection for one request. Who waits takes the first that is there, whoever made it.
    pub(in crate::upstream) async fn lease(self: &Arc<Self>) -> Result<Lease, Failure> {
        match self.at_hand() {
            Some(lease) => Ok(lease),
            None => self.wait_for_one().await,
        }
    }

    async fn wait_for_one(self: &Arc<Self>) -> Result<Lease, Failure> {
        let start = Instant::now();
        let deadline = start + self.settings.queue;
        let mut is_first = false;
        loop {
            if is_first && Instant::now() >= self.at_the_latest(deadline) {
                return Err(Failure::ConnectTimeout(self.settings.connect));
            }
            let news = match self.join(is_first, deadline) {
                Joined::AtHand(lease) => return Ok(lease),
                Joined::Queue(mut place, None) => self.wait(&mut place.told, deadline).await?,
                Joined::Queue(mut place, Some((dial, is_beside))) => {
                    let at = if is_beside { start + FOR_A_STREAM } else { start };
                    self.dial_and_wait(dial, at, &mut place.told, deadline).await?
                }
            };
            match news {
                News::Lease(lease) => return Ok(lease),
                News::Failed(failure) => return Err(failure),
                News::LookAgain => is_first = true,
            }
        }
    }

    /// `is_first`: it has waited longer than those in the queue, where its time is up at `until`.
    fn join(self: &Arc<Self>, is_first: bool, until: Instant) -> Joined {
        let mut state = self.state();
        if let Some(lease) = state.at_hand() {
            return Joined::AtHand(lease);
        }
        let (tell, told) = oneshot::channel();
        if !is_first && state.dials == 0 && state.waiting.iter().all(|waiter| waiter.tell.is_closed()) {
            // It is no more than a memory: nobody waits who saw it.
            state.failing = None;
        }
        let brings = state.wants_dial();
        let waiter = Waiter { tell, brings, until };
        if is_first {
            state.waiting.push_front(waiter);
        } else {
            state.waiting.push_back(waiter);
        }
        let dial = brings.then(|| (Dial::new(self, &mut state), !state.multiplexed.is_empty()));
        Joined::Queue(Place { told, pool: Arc::clone(self) }, dial)
    }

    async fn dial_and_wait(
        self: &Arc<Self>,
        dial: Dial,
        at: Instant,
        told: &mut oneshot::Receiver<News>,
        deadline: Instant,
    ) -> Result<News, Failure> {
        if at > Instant::now()
            && let Ok(news) = timeout_at(at, &mut *told).await
        {
            return Ok(news.unwrap_or(News::LookAgain));
        }
        let permit = tokio::select! {
            biased;
            news = &mut *told => return Ok(news.unwrap_or(News::LookAgain)),
            permit = self.settings.connections.acquire(self, deadline, self.settings.queue) => permit,
        };
        match permit {
            Ok(permit) => dial.start(permit),
            Err(saturated) => return told.try_recv().map_err(|_| saturated),
        }
        self.wait(told, deadline).await
    }

    /// Waits until `deadline`, or longer if a connection is in the making: that has a bound of its own.
    async fn wait(&self, told: &mut oneshot::Receiver<News>, deadline: Instant) -> Result<News, Failure> {
        if let Ok(news) = timeout_at(deadline, &mut *told).await {
            return Ok(news.unwrap_or(News::LookAgain));
        }
        let failure = match &*self.state() {
            State { failing: Some((failure, _)), .. } => Some(failure.for_another()),
            State { dials: 0, .. } => Some(Failure::Saturated(self.settings.queue)),
            _ => None,
        };
        if let Some(failure) = failure {
            return told.try_recv().map_err(|_| failure);
        }
        match timeout_at(self.at_the_latest(deadline), &mut *told).await {
            Ok(news) => Ok(news.unwrap_or(News::LookAgain)),
            Err(_) => Err(Failure::ConnectTimeout(self.settings.connect)),
        }
    }

    /// When whoever waits has waited long enough for a connection in the making, too.
    fn at_the_latest(&self, deadline: Instant) -> Instant {
        deadline + 2 * self.settings.connect
    }
}
