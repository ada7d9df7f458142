//! What is known of an endpoint's addresses, from one connection to the next. It lasts as long as its client.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

/// So many addresses are remembered that no connection came of.
const MOST_IN_VAIN: usize = 64;

/// A question to DNS.
type Question = JoinHandle<io::Result<Vec<SocketAddr>>>;

/// See the module. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(in crate::upstream) struct Known(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    preferred: Option<SocketAddr>,
    /// What was tried in vain since something worked, the latest last.
    in_vain: Vec<SocketAddr>,
    /// DNS's last answer.
    last: Vec<SocketAddr>,
    /// A question that DNS is slow to answer.
    overdue: Option<Question>,
}

/// An attempt at an address. It was in vain, unless it is told that one [`Known::worked`] after its end.
#[derive(Debug)]
pub(super) struct Attempt {
    known: Known,
    address: SocketAddr,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let in_vain = &mut self.known.state().in_vain;
        in_vain.retain(|address| *address != self.address);
        in_vain.push(self.address);
        if in_vain.len() > MOST_IN_VAIN {
            in_vain.remove(0);
        }
    }
}

/// The addresses of an endpoint.
#[derive(Debug)]
pub(super) struct Addresses {
    /// At least one.
    pub(super) all: Vec<SocketAddr>,
    /// Why they are not DNS's word of today.
    pub(super) stale: Option<io::Error>,
}

impl Known {
    /// What `dns` answers. Where that is nothing, or nothing within `patience`, its last answer serves: a host that is
    /// not the bank's any more has no certificate for its name.
    ///
    /// It is asked in a task of its own: what it answers late counts, too, and where there is no thread to ask in, only
    /// that task panics.
    pub(super) async fn addresses(
        &self,
        dns: impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
        patience: Duration,
    ) -> io::Result<Addresses> {
        let last = self.state().last.clone();
        if last.is_empty() {
            return Ok(Addresses { all: answer(&mut self.ask(dns)).await?, stale: None });
        }
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        if self.is_overdue() {
            return Ok(Addresses { all: last, stale: Some(late()) });
        }
        let mut question = self.ask(dns);
        let stale = match timeout(patience, answer(&mut question)).await {
            Ok(Ok(all)) => return Ok(Addresses { all, stale: None }),
            Ok(Err(error)) => error,
            Err(_) => {
                self.state().overdue = Some(question);
                late()
            }
        };
        Ok(Addresses { all: last, stale: Some(stale) })
    }

    /// The address that worked where the one before it did not, or was late. As long as none has, DNS has its way with
    /// the load.
    pub(super) fn preferred(&self) -> Option<SocketAddr> {
        self.state().preferred
    }

    /// Puts those last that were tried in vain, the latest at the end: what there was no time for has its turn, however
    /// many are dead.
    pub(super) fn put_back_those_in_vain(&self, addresses: &mut [SocketAddr]) {
        let in_vain = &self.state().in_vain;
        if !in_vain.is_empty() {
            addresses.sort_by_key(|address| in_vain.iter().position(|tried| tried == address));
        }
    }

    /// An attempt begins, and ends when the result is dropped.
    pub(super) fn attempt(&self, address: SocketAddr) -> Attempt {
        Attempt { known: self.clone(), address }
    }

    /// This one worked, where it is `expected` that another would.
    pub(super) fn worked(&self, address: SocketAddr, expected: Option<SocketAddr>) {
        let mut state = self.state();
        state.in_vain.clear();
        if Some(address) != expected {
            state.preferred = Some(address);
        }
    }

    fn ask(&self, dns: impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static) -> Question {
        let known = self.clone();
        tokio::spawn(async move {
            let addresses = dns.await?;
            known.state().last.clone_from(&addresses);
            Ok(addresses)
        })
    }

    /// Whether DNS is silent. It is not asked again meanwhile: each question takes a thread.
    fn is_overdue(&self) -> bool {
        self.state().overdue.as_ref().is_some_and(|question| !question.is_finished())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(question: &mut Question) -> io::Result<Vec<SocketAddr>> {
    question.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn list(last: u8) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([192, 0, 2, last], 443))]
    }

    fn gone() -> io::Result<Vec<SocketAddr>> {
        Err(io::ErrorKind::NotFound.into())
    }

    /// What serves after an answer, and whether it is stale.
    async fn after(known: &Known, answer: io::Result<Vec<SocketAddr>>) -> (Vec<SocketAddr>, bool) {
        let addresses = known.addresses(ready(answer), PATIENCE).await.expect("addresses");
        (addresses.all, addresses.stale.is_some())
    }

    #[tokio::test]
    async fn the_last_answer_serves_while_dns_is_gone_and_no_longer() {
        let known = Known::default();
        assert!(known.addresses(ready(gone()), PATIENCE).await.is_err());
        assert_eq!(after(&known, Ok(list(1))).await, (list(1), false));
        assert_eq!(after(&known, gone()).await, (list(1), true));
        assert_eq!(after(&known, Ok(list(2))).await, (list(2), false));
        assert_eq!(after(&known, gone()).await, (list(2), true));
    }

    #[tokio::test(start_paused = true)]
    async fn dns_that_is_silent_is_waited_for_once_and_what_it_says_late_counts() {
        let known = Known::default();
        after(&known, Ok(list(1))).await;
        let start = tokio::time::Instant::now();
        let (tell, told) = tokio::sync::oneshot::channel();
        let late = async { told.await.map_err(io::Error::other) };
        let first = known.addresses(late, PATIENCE).await.expect("addresses");
        let second = known.addresses(pending(), PATIENCE).await.expect("addresses");
        assert_eq!((first.all, second.all, start.elapsed()), (list(1), list(1), PATIENCE));
        tell.send(list(2)).expect("a question");
        while known.is_overdue() {
            tokio::task::yield_now().await;
        }
        assert_eq!(after(&known, gone()).await.0, list(2));
    }

    #[test]
    fn what_was_tried_in_vain_comes_last_until_something_works_and_is_not_remembered_without_end() {
        let known = Known::default();
        let [a, b, c, d] = [1, 2, 3, 4].map(|last| list(last)[0]);
        let order = || {
            let mut addresses = vec![a, b, c, d];
            known.put_back_those_in_vain(&mut addresses);
            addresses
        };
        for tried in [b, a] {
            drop(known.attempt(tried));
        }
        assert_eq!(order(), [c, d, b, a]);
        drop(known.attempt(b));
        assert_eq!(order(), [c, d, a, b]);
        known.worked(c, Some(a));
        assert_eq!((order(), known.preferred()), (vec![a, b, c, d], Some(c)));
        for last in 0..=255 {
            drop(known.attempt(list(last)[0]));
        }
        assert_eq!(known.state().in_vain.len(), MOST_IN_VAIN);
    }

    /// As where the machine has no thread left for the question.
    #[tokio::test]
    async fn a_question_that_panics_is_one_without_an_answer() {
        let known = Known::default();
        let broken = || async { panic!("no thread") };
        assert!(known.addresses(broken(), PATIENCE).await.is_err());
        after(&known, Ok(list(1))).await;
        assert_eq!(known.addresses(broken(), PATIENCE).await.expect("addresses").all, list(1));
    }
}
