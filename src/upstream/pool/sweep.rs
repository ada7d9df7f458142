//! Closing what has been idle too long, and what the bank has closed. It runs only while something is idle.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Pool;
use super::state::State;

/// Between two sweeps.
const SWEEP: Duration = Duration::from_secs(5);
/// How many sweeps a connection may be idle: 85 s, longer than the 60 to 75 s that servers and proxies usually keep
/// theirs, since a handshake costs as much as 20 or 30 requests.
const IDLE_SWEEPS: u32 = 17;
/// After so many sweeps an idle connection gives its buffers back.
const RESTING_SWEEPS: u32 = 2;

impl Pool {
    /// Sees to it that idle connections are swept. `state` is that of this pool.
    pub(super) fn keep_swept(self: &Arc<Self>, state: &mut State) {
        if !state.is_swept {
            state.is_swept = true;
            tokio::spawn(sweep_from_time_to_time(Arc::downgrade(self)));
        }
    }

    /// Whether there is anything left to sweep.
    pub(super) fn sweep(&self) -> bool {
        let mut state = self.state();
        state.now = state.now.wrapping_add(1);
        let now = state.now;
        let idle = std::mem::take(&mut state.idle);
        for mut idle in idle {
            let sweeps = now.wrapping_sub(idle.since);
            if sweeps >= IDLE_SWEEPS || !idle.connection.is_fit() {
                idle.connection.close();
                continue;
            }
            if sweeps == RESTING_SWEEPS {
                idle.connection.rest();
            }
            state.idle.push(idle);
        }
        state.multiplexed.retain(|handle| handle.idle_sweeps() < IDLE_SWEEPS);
        state.is_swept = !(state.idle.is_empty() && state.multiplexed.is_empty());
        state.is_swept
    }
}

async fn sweep_from_time_to_time(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
            return;
        }
    }
}
