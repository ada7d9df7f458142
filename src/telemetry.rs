//! Floor 2, what the program tells of itself: the log, the metrics, and spans for a collector.

mod json;
pub mod log;
pub mod metrics;
mod queue;
pub mod spans;
mod text;

pub use metrics::{BankMetrics, ConnectionMetrics, Format, Metrics, Reach, RenewalOutcome, Standing, Towards};
