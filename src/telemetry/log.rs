//! The log: text for people, JSON for machines, written off the threads that serve.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{fmt, registry};

use crate::config::{Log, LogFormat};

use super::json::Json;
use super::queue::{Machine, Queue};
use super::text::Text;

/// At the end, so long is waited for the writing of what waits.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// The targets of our own events begin with it.
const OURS: &str = "bankside";

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
#[non_exhaustive]
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
    let subscriber = registry().with(targets(&settings.level)?);
    let queue = Arc::new(Queue::default());
    let on_terminal = io::stderr().is_terminal();
    let layer = fmt::layer().with_writer(Arc::clone(&queue));
    match settings.format {
        LogFormat::Auto if on_terminal => subscriber.with(layer.compact().fmt_fields(Text)).try_init()?,
        LogFormat::Text => subscriber.with(layer.with_ansi(on_terminal).compact().fmt_fields(Text)).try_init()?,
        LogFormat::Auto | LogFormat::Json => subscriber.with(layer.event_format(Json)).try_init()?,
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

/// What is logged. A plain level is that of our own events. Libraries below us may print fields of messages, and so
/// secrets, when they are asked for details: however it is set, they are never asked.
fn targets(level: &str) -> Result<Targets, ParseError> {
    let given: Targets = level.parse()?;
    let plain = given.default_level().unwrap_or(LevelFilter::OFF);
    let allowed = |(target, level): (&str, LevelFilter)| {
        let is_ours = target == OURS || target.strip_prefix(OURS).is_some_and(|inner| inner.starts_with("::"));
        (target.to_owned(), if is_ours { level } else { level.min(LevelFilter::INFO) })
    };
    let targets = Targets::new().with_default(plain.min(LevelFilter::WARN)).with_target(OURS, plain);
    Ok(targets.with_targets(given.iter().map(allowed)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_plain_level_is_for_our_own_events_only() {
        for (level, own, others) in [
            ("debug", Some(Level::DEBUG), Some(Level::WARN)),
            ("error", Some(Level::ERROR), Some(Level::ERROR)),
            ("off", None, None),
        ] {
            let targets = targets(level).expect("a level");
            let most = |target| {
                [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR]
                    .into_iter()
                    .find(|level| targets.would_enable(target, level))
            };
            assert_eq!((most("bankside::proxy"), most("h2::codec"), most("rustls")), (own, others, others), "{level}");
        }
    }

    #[test]
    fn a_target_has_a_level_of_its_own() {
        let targets = targets("warn,bankside::access=info").expect("they are understood");
        assert!(targets.would_enable("bankside::access", &Level::INFO));
        assert!(!targets.would_enable("bankside::proxy", &Level::INFO));
    }

    #[test]
    fn no_target_makes_a_library_print_what_it_carries() {
        let targets = targets("trace,h2=trace,h2::codec=trace,tokio_postgres::connection=debug,x=info")
            .expect("they are understood");
        for library in ["h2", "h2::codec", "h2::codec::framed_read", "tokio_postgres::connection", "x", "rustls"] {
            assert!(!targets.would_enable(library, &Level::DEBUG), "{library}");
        }
        assert!(targets.would_enable("h2::codec", &Level::INFO) && targets.would_enable("bankside", &Level::TRACE));
    }
}
