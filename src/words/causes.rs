//! An error as a log line or an answer tells it.

use std::error::Error;
use std::fmt::Write as _;

use super::printable;

/// An error with its causes, in one line, whatever they quote. A cause that is quoted already is not told twice.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = printable(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = printable(&error.to_string());
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
    fn no_cause_speaks_to_the_terminal_and_a_quoted_one_is_told_once_all_the_same() {
        let quoting = Layer("not for \\u{1b}[31m\\u{a}", Some(Box::new(Layer("\u{1b}[31m\n", None))));
        assert_eq!(with_causes(&quoting), "not for \\u{1b}[31m\\u{a}");
        assert_eq!(with_causes(&Layer("a\nb", None)), "a\\u{a}b");
    }

    #[test]
    fn each_cause_is_told_once() {
        let root = Layer("connection refused", None);
        let quoting = Layer("no connection: connection refused", Some(Box::new(root)));
        assert_eq!(with_causes(&quoting), "no connection: connection refused");
        let outer = Layer("the store cannot be opened", Some(Box::new(quoting)));
        assert_eq!(with_causes(&outer), "the store cannot be opened: no connection: connection refused");
    }
}
