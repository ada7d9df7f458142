//! What tests need to see and do within a pool.

use tokio::io::AsyncWriteExt;

use super::*;

impl Pool {
    /// Whether an idle connection is there and fit.
    pub(in crate::upstream) fn has_fit_one(&self) -> bool {
        self.state().idle.iter_mut().any(|idle| idle.connection.is_fit())
    }

    /// Whether an idle connection has a buffer of so many bytes.
    pub(in crate::upstream) fn keeps(&self, bytes: usize) -> bool {
        self.state().idle.iter_mut().any(|idle| idle.connection.keeps(bytes))
    }

    /// Makes writes on idle connections fail, which reading does not show.
    pub(in crate::upstream) async fn cut_write_side(&self) {
        let idle = std::mem::take(&mut self.state().idle);
        for mut idle in idle {
            idle.connection.stream.shutdown().await.expect("a shutdown");
            self.state().idle.push(idle);
        }
    }

    /// How many connections there are: idle ones, and those of HTTP/2.
    pub(in crate::upstream) fn connections(&self) -> (usize, usize) {
        let state = self.state();
        (state.idle.len(), state.multiplexed.len())
    }

    /// How many wait in the queue.
    pub(in crate::upstream) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// How many connections are being made.
    pub(in crate::upstream) fn dials(&self) -> usize {
        self.state().dials
    }

    /// How long the attempt after the last one that failed waits, while connections are in use.
    pub(in crate::upstream) fn pause(&self) -> Option<Duration> {
        self.state().failing.as_ref().map(|(_, pause)| *pause)
    }

    /// As if an attempt had failed while connections were in use.
    pub(in crate::upstream) fn be_failing(&self) {
        let failure = Failure::Dns(std::io::ErrorKind::NotFound.into());
        self.state().failing = Some((failure, Duration::ZERO));
    }

    /// Makes an attempt that ends without a word.
    pub(in crate::upstream) fn break_an_attempt_off(self: &Arc<Self>) {
        let mut state = self.state();
        let attempt = dial::Dial::new(self, &mut state);
        drop(state);
        attempt.break_off();
    }

    /// Does what is done every few seconds.
    pub(in crate::upstream) fn sweep_now(&self) {
        self.sweep();
    }
}
