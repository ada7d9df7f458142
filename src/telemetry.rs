//! Floor 2, logs and metrics.
