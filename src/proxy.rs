//! Floor 5, the data path.
