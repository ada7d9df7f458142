//! Floor 2, what the program tells of itself: the log and the metrics.

pub mod log;
pub mod metrics;

pub use metrics::{BankMetrics, ConnectionMetrics, Metrics, Reach, Standing, Towards};
