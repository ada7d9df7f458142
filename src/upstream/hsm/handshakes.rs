//! Threads for handshakes whose signatures take time.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// Signatures that one HSM makes at the same time for us. Beyond, handshakes wait, and nobody else does.
pub(super) const AT_ONCE: usize = 8;

/// Runs handshakes away from the workers. Their sockets stay with the reactor of the worker that dialled: only the
/// polls, and so the signatures, happen here.
#[derive(Debug)]
pub(crate) struct Handshakes {
    runtime: Option<Runtime>,
}

impl Handshakes {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(AT_ONCE).thread_name("handshakes").build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs a handshake to its end; dropping this future ends it, but for a signature that is being made.
    pub(in crate::upstream) async fn run<T, F>(&self, handshake: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = io::Result<T>> + Send + 'static,
    {
        let runtime = self.runtime.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        AbortOnDropHandle::new(runtime.spawn(handshake)).await.map_err(io::Error::other)?
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        // The last owner may be a worker, which must not wait for a signature.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
