//! An event's fields as text for people: nothing in them speaks to the terminal, or begins a line.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

use crate::words::printable;

/// Writes fields as the library does, but for control characters: what a bank or a certificate says may be in any field.
pub(super) struct Text;

impl<'writer> FormatFields<'writer> for Text {
    fn format_fields<R: RecordFields>(&self, line: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Escaping(DefaultVisitor::new(line, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

struct Escaping<'a>(DefaultVisitor<'a>);

impl Visit for Escaping<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.record_debug(field, &Escaped(value));
    }
}

struct Escaped<'a>(&'a dyn Debug);

impl Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Printable(f), "{:?}", self.0)
    }
}

struct Printable<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Printable<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.contains(char::is_control) { self.0.write_str(&printable(text)) } else { self.0.write_str(text) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_field_speaks_to_the_terminal_or_begins_a_line() {
        let error = io::Error::other("a\u{1b}[31m\nb");
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().compact().with_ansi(false).fmt_fields(Text);
        tracing::subscriber::with_default(log.with_writer(move || writer.clone()).finish(), || {
            let said = "c\u{9b}\r\u{7}";
            tracing::warn!(shown = %said, cause = %error, error = &error as &dyn std::error::Error, text = said, number = 7, "it {said}");
        });
        let line = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        for field in
            ["shown=c\\u{9b}\\u{d}\\u{7}", "cause=a\\u{1b}[31m\\u{a}b", "error=a\\u{1b}", "number=7", "it c\\u{9b}"]
        {
            assert!(line.contains(field), "{field} in {line:?}");
        }
        assert!(line.ends_with('\n') && line.matches(char::is_control).count() == 1, "{line:?}");
    }
}
