//! An error as a log line or an answer tells it.

use std::error::Error;
use std::fmt::Write as _;

/// An error with its causes, in one line. A cause that is quoted already is not told twice.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            // A string takes whatever is written.
            let _ = write!(text, ": {reason}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn each_cause_is_told_once() {
        let root = Layer("connection refused", None);
        let quoting = Layer("no connection: connection refused", Some(Box::new(root)));
        assert_eq!(with_causes(&quoting), "no connection: connection refused");
        let outer = Layer("the store cannot be opened", Some(Box::new(quoting)));
        assert_eq!(with_causes(&outer), "the store cannot be opened: no connection: connection refused");
    }
}
