//! The log: text for people, JSON for machines, written off the threads that serve.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFormat};

use super::json::Json;
use super::queue::{Machine, Queue};

/// At the end, so long is waited for the writing of what waits.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// The queue of the process's one log, where it has been started.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// How many events the process's log has dropped because they came faster than they could be written, or could not be
/// written at all.
pub fn dropped() -> u64 {
    QUEUE.get().map_or(0, |queue| queue.dropped())
}

/// Keeps the log going; what is still in its queue is written when this is dropped.
#[derive(Debug)]
pub struct LogGuard {
    queue: Arc<Queue>,
    /// Closed when all is written.
    written: Receiver<()>,
}

/// What waits is written, if somebody takes it in time: a reader who does not read must not keep the program from its
/// end.
impl Drop for LogGuard {
    fn drop(&mut self) {
        self.queue.end();
        // Nothing is ever sent: it ends with the thread, or with the time.
        let _ = self.written.recv_timeout(LAST_EVENTS);
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.level` is not a level or a list of directives.
    #[error("log.level is not understood")]
    Level(#[from] ParseError),
    /// Somebody else has set up logging in this process.
    #[error("another log is set up already")]
    Taken(#[from] TryInitError),
    /// The system has no thread for it.
    #[error("the log's thread does not start")]
    Thread(#[source] io::Error),
}

/// Starts the process's log on standard error. It never blocks: events that come too fast are dropped and counted.
pub fn start(settings: &Log) -> Result<LogGuard, LogError> {
    let filter = EnvFilter::builder().parse(directives(&settings.level))?;
    let queue = Arc::new(Queue::default());
    let on_terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Arc::clone(&queue));
    match settings.format {
        LogFormat::Auto if on_terminal => builder.compact().finish().try_init()?,
        LogFormat::Text => builder.with_ansi(on_terminal).compact().finish().try_init()?,
        LogFormat::Auto | LogFormat::Json => {
            builder.event_format(Json).finish().try_init()?;
        }
    }
    // A process has one log only: whoever comes second has failed above.
    let _ = QUEUE.set(Arc::clone(&queue));
    let (writes, written) = mpsc::channel();
    let source = Arc::clone(&queue);
    let write = move || {
        let _until_then: Sender<()> = writes;
        source.write_to(&mut io::stderr(), &mut Machine);
    };
    thread::Builder::new().name("log".to_owned()).spawn(write).map_err(LogError::Thread)?;
    Ok(LogGuard { queue, written })
}

/// Libraries below us may print fields of messages, and so secrets, when they are asked for details: they are never
/// asked. A plain level is that of our own events.
fn directives(level: &str) -> String {
    const LIBRARIES: &str = "h2=info,hyper=info,hyper_util=info,rustls=info,tokio_rustls=info,axum=info";
    match level.parse::<LevelFilter>() {
        Ok(own) => format!("{},bankside={own}", own.min(LevelFilter::WARN)),
        Err(_) => format!("{level},{LIBRARIES}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_level_is_for_our_own_events_only() {
        assert_eq!(directives("debug"), "warn,bankside=debug");
        assert_eq!(directives("error"), "error,bankside=error");
        assert_eq!(directives("off"), "off,bankside=off");
    }

    #[test]
    fn directives_cannot_make_a_library_print_what_it_carries() {
        let given = directives("info,h2=trace");
        let filter = EnvFilter::builder().parse(&given).expect("they are understood").to_string();
        assert!(filter.contains("h2=info") && !filter.contains("h2=trace"), "{filter}");
    }
}
