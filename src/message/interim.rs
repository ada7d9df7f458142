//! Interim answers (RFC 9110, section 15.2) and their way to whoever asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::mpsc::error::SendError;

use super::Fields;

/// An interim answer: a 1xx status and its fields, of which any number may precede the answer proper.
#[derive(Debug)]
pub struct Interim {
    /// The status, 100 to 199 without 101.
    pub status: StatusCode,
    /// The field lines.
    pub fields: Fields,
}

/// Where a request's interim answers go.
#[derive(Clone, Debug)]
pub struct Interims {
    to: UnboundedSender<Interim>,
    /// For a request that waits for it.
    continued: Option<Continued>,
}

/// Whether a request's content was asked for (100, RFC 9110, section 15.2.1).
#[derive(Clone, Debug, Default)]
pub struct Continued(Arc<AtomicBool>);

impl From<UnboundedSender<Interim>> for Interims {
    fn from(to: UnboundedSender<Interim>) -> Self {
        Self { to, continued: None }
    }
}

impl Interims {
    /// Sends one on its way. It fails where nobody is there any more.
    pub fn send(&self, interim: Interim) -> Result<(), SendError<Interim>> {
        if interim.status == StatusCode::CONTINUE
            && let Some(Continued(has_come)) = &self.continued
        {
            has_come.store(true, Ordering::Relaxed);
        }
        self.to.send(interim)
    }

    /// Tells whether a 100 has come since.
    pub fn continued(&mut self) -> Continued {
        self.continued.get_or_insert_default().clone()
    }
}

impl Continued {
    /// Whether it was.
    pub fn has_come(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
