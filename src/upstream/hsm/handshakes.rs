//! Threads for handshakes whose signatures take time.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// Signatures that one HSM makes at the same time for us. Beyond, handshakes wait, and nobody else does.
pub(super) const AT_ONCE: usize = 8;
/// An HSM that hangs is not waited for longer than this when its threads end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who waits for threads that were told to end.
static ENDING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Runs handshakes away from the workers. Their sockets stay with the reactor of the worker that dialled: only the
/// polls, and so the signatures, happen here.
#[derive(Debug)]
pub(crate) struct Handshakes {
    threads: Threads,
}

#[derive(Debug)]
struct Threads(Option<Runtime>);

impl Handshakes {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(AT_ONCE).thread_name("handshakes").build()?;
        Ok(Self { threads: Threads(Some(runtime)) })
    }

    /// Runs a handshake to its end; dropping this future ends it, but for a signature that is being made.
    pub(in crate::upstream) async fn run<T, F>(&self, handshake: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = io::Result<T>> + Send + 'static,
    {
        let runtime = self.threads.0.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        AbortOnDropHandle::new(runtime.spawn(handshake)).await.map_err(io::Error::other)?
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        let threads = Threads(self.threads.0.take());
        let mut ending = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
        ending.retain(|thread| !thread.is_finished());
        // The last owner may be a worker, which must not wait for a signature.
        ending.extend(thread::Builder::new().name("hsm-end".into()).spawn(|| threads.end()));
    }
}

impl Threads {
    fn end(mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
    }
}

/// Where there is no thread to wait for them.
impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits for threads that were told to end. To be called before the process ends: PKCS#11 libraries and what they are
/// built on clean up then, and threads that end clean up in them, too; if both do so at once, memory is freed twice.
pub(in crate::upstream) fn wait_for_threads() {
    let ending = std::mem::take(&mut *ENDING.lock().unwrap_or_else(PoisonError::into_inner));
    for thread in ending {
        // That it has ended is all that counts.
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Says that its thread has ended, once it may.
    struct Last(Receiver<()>, Sender<()>);

    impl Drop for Last {
        fn drop(&mut self) {
            self.0.recv().expect("leave to end");
            self.1.send(()).expect("somebody who waits");
        }
    }

    thread_local!(static LAST: RefCell<Option<Last>> = const { RefCell::new(None) });

    #[tokio::test]
    async fn threads_have_cleaned_up_when_they_have_been_waited_for() {
        let handshakes = Handshakes::new().expect("threads");
        let (leave, may_end) = channel();
        let (told, has_ended) = channel();
        let leave_something = async move {
            LAST.set(Some(Last(may_end, told)));
            Ok(())
        };
        handshakes.run(leave_something).await.expect("it ran");
        drop(handshakes);
        assert!(has_ended.try_recv().is_err(), "who drops them does not wait");
        leave.send(()).expect("a thread");
        wait_for_threads();
        has_ended.try_recv().expect("the thread's end");
    }
}
