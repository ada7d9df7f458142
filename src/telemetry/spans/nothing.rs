//! Spans of a program that was built without them.

use crate::message::{Fields, Request};

use super::Ending;

/// Nothing.
#[derive(Debug)]
pub struct Span;

/// Nothing that would have to end.
#[derive(Debug)]
pub struct Guard;

/// It cannot fail.
#[derive(Debug, thiserror::Error)]
pub enum StartError {}

/// Nothing starts.
pub const fn start() -> Result<Guard, StartError> {
    Ok(Guard)
}

impl Span {
    /// Of no request.
    pub const fn none() -> Self {
        Self
    }

    /// Nothing begins.
    pub const fn begin(_bank: &str, _request: &Request) -> Self {
        Self
    }

    /// The field lines stay as they are.
    pub const fn continue_in(&self, _fields: &mut Fields) {}

    /// Nothing ends.
    pub const fn end(&mut self, _ending: Ending<'_>) {}
}
