//! Doors for the fuzz targets, which see only what is public.

use super::callback::Callback;
use super::{answer, salvage};

/// Reads a token endpoint's answer: whether it gives a token.
pub fn token_answer(content: &[u8]) -> bool {
    let _ = salvage::salvaged(content);
    answer::given(content).is_ok()
}

/// Reads a callback address: its state, and whether there is a code.
pub fn callback(text: &str) -> Option<(Option<String>, Result<(), String>)> {
    let callback = Callback::parse(text).ok()?;
    Some((callback.state, callback.outcome.map(|_| ())))
}
