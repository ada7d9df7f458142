//! Floor 6, the simulated banks.
