//! The log: text for people, JSON for machines, written off the threads that serve.

use std::io::{self, IsTerminal};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFormat};

use super::batches::{Batches, Machine};

/// Events that wait to be written: most of a second's at the highest rates, for half a megabyte that is taken at once.
const QUEUE: usize = 16 * 1024;

/// At the end, so long is waited for the writing of what waits.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// The counter of the process's one log, where it has been started.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// How many events the process's log has dropped because they came faster than they could be written.
pub fn dropped() -> u64 {
    DROPPED.get().map_or(0, |counter| u64::try_from(counter.dropped_lines()).unwrap_or(u64::MAX))
}

/// Keeps the log going; what is still in its queue is written when this is dropped.
#[derive(Debug)]
pub struct LogGuard {
    dropped: ErrorCounter,
    writer: Option<WorkerGuard>,
}

/// What waits is written, if somebody takes it in time: a reader who does not read must not keep the program from its
/// end.
impl Drop for LogGuard {
    fn drop(&mut self) {
        let (writer, (done, over)) = (self.writer.take(), mpsc::channel());
        thread::spawn(move || {
            drop(writer);
            // Nobody may wait for it any more.
            let _ = done.send(());
        });
        let _ = over.recv_timeout(LAST_EVENTS);
    }
}

impl LogGuard {
    /// How many events were dropped because they came faster than they could be written.
    pub fn dropped(&self) -> usize {
        self.dropped.dropped_lines()
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
}

/// Starts the process's log on standard error. It never blocks: events that come too fast are dropped and counted.
pub fn start(settings: &Log) -> Result<LogGuard, LogError> {
    let filter = EnvFilter::builder().parse(directives(&settings.level))?;
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUE).thread_name("log");
    let (writer, guard) = builder.finish(Batches::new(io::stderr(), Machine));
    let dropped = writer.error_counter();
    let on_terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match settings.format {
        LogFormat::Auto if on_terminal => builder.compact().finish().try_init()?,
        LogFormat::Text => builder.with_ansi(on_terminal).compact().finish().try_init()?,
        LogFormat::Auto | LogFormat::Json => {
            builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init()?;
        }
    }
    // A process has one log only: whoever comes second has failed above.
    let _ = DROPPED.set(dropped.clone());
    Ok(LogGuard { dropped, writer: Some(guard) })
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
