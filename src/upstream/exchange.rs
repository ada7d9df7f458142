//! What an exchange is given and what it leaves, in either version of HTTP.

use std::time::Duration;

use super::{Failure, Progress, SendError};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the request's end to the answer's head.
    pub(super) response: Duration,
    /// Between two moves of a body.
    pub(super) idle: Duration,
}

/// An exchange without an answer.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) failure: Failure,
    pub(super) progress: Progress,
    /// Whether the request is whole, and another connection can carry it as if nothing had been.
    pub(super) is_whole: bool,
}

impl From<Broken> for SendError {
    fn from(broken: Broken) -> Self {
        Self { failure: broken.failure, progress: broken.progress }
    }
}
