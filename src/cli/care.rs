//! Care for a call to a bank whose answer exists in this process only: a signal that comes meanwhile ends the command
//! after it, or, if another one comes, at once. A refresh token that was rotated, or a code that was used up, is no good
//! for a second try.

use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::output;
use super::signals::{EndSignals, number};

/// Calls that are under way.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
/// A process' signals are handled once and for all.
static WATCHED: Once = Once::new();

/// Does what must not be interrupted. Before the first such call, signals act as they do by default.
pub(super) async fn with_care<T>(call: impl Future<Output = T>) -> T {
    let _one = One::begin();
    WATCHED.call_once(|| {
        // Where signals cannot be taken they act as they do by default.
        if let Ok(signals) = EndSignals::listen_to_all() {
            tokio::spawn(watch(signals));
        }
    });
    call.await
}

/// Counts a call, also one that is dropped.
struct One;

impl One {
    fn begin() -> Self {
        UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for One {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The handlers stay for the life of the process: with no call under way, a signal ends it as a shell sees that.
async fn watch(mut signals: EndSignals) {
    let signal = signals.next().await;
    if UNDER_WAY.load(Ordering::Relaxed) == 0 {
        process::exit(128 + number(signal));
    }
    output::complain("finishing: interrupting this may cost what the bank has given; once more ends it at once");
    // A terminal that closes says so more than once.
    while signals.another().await == "SIGHUP" {}
    process::exit(1);
}
