//! What an exchange is given and what it leaves, in either version of HTTP.

use std::time::Duration;

use crate::message::Request;

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
    /// The request, whole, if another connection can carry it as if nothing had been.
    pub(super) unsent: Option<Box<Request>>,
}

impl From<Broken> for SendError {
    fn from(broken: Broken) -> Self {
        Self { failure: broken.failure, progress: broken.progress }
    }
}
