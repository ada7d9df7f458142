//! What a service manager is told that waits for it (`NOTIFY_SOCKET` of `sd_notify(3)`). Without one, nothing is.

use sd_notify::NotifyState;

use crate::app::Phase;

/// Tells of a phase that begins. The manager may be gone: the sidecar does its work all the same.
pub(super) fn tell(phase: Phase, status: &str) {
    let state = match phase {
        Phase::Ready => vec![NotifyState::Ready],
        // The manager tells by the time which of several reloads it is that has ended.
        Phase::Reloading => {
            [Some(NotifyState::Reloading), NotifyState::monotonic_usec_now().ok()].into_iter().flatten().collect()
        }
        Phase::Ending => vec![NotifyState::Stopping],
    };
    let state: Vec<NotifyState<'_>> = state.into_iter().chain([NotifyState::Status(status)]).collect();
    if let Err(error) = sd_notify::notify(&state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
