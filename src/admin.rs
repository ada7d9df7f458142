//! Floor 6, the operator's side.
