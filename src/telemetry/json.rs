//! An event of the log as one line of JSON: the fields beside time, level, message and target, with no step in between.

use std::error::Error;
use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as objects (RFC 8259). Spans are left out: none of ours holds anything that its events lack.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        line.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut line)?;
        write!(line, "\",\"level\":\"{}\"", event.metadata().level())?;
        let mut members = Members { line, outcome: Ok(()) };
        event.record(&mut members);
        members.text("target", event.metadata().target());
        members.outcome?;
        members.line.write_str("}\n")
    }
}

/// Adds a member for each field, until writing fails.
struct Members<'a> {
    line: Writer<'a>,
    outcome: fmt::Result,
}

impl Members<'_> {
    fn add(&mut self, name: &str, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.outcome.is_ok() {
            let line = &mut self.line;
            self.outcome = line
                .write_str(",\"")
                .and_then(|()| line.write_str(name))
                .and_then(|()| line.write_str("\":"))
                .and_then(|()| value(line));
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        self.add(name, |line| write_text(line, text));
    }

    fn number(&mut self, field: &Field, number: impl fmt::Display) {
        self.add(field.name(), |line| write!(line, "{number}"));
    }
}

impl Visit for Members<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for what is not a number, or has no end.
        if value.is_finite() {
            self.number(field, value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field.name(), &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }
}

/// A string with its quotation marks; what has to be escaped is seldom there.
fn write_text(line: &mut Writer<'_>, text: &str) -> fmt::Result {
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        return write!(line, "{}", serde_json::Value::from(text));
    }
    line.write_str("\"")?;
    line.write_str(text)?;
    line.write_str("\"")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// What the events of `say` look like in the log.
    fn logged(say: impl FnOnce()) -> String {
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
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().event_format(Json).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(log, say);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn object(line: &str) -> serde_json::Value {
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let mut object: serde_json::Value = serde_json::from_str(line).unwrap();
        let time = object["timestamp"].take();
        assert!(time.as_str().is_some_and(|time| time.len() == 27 && time.ends_with('Z')), "{time}");
        object.as_object_mut().unwrap().remove("timestamp");
        object
    }

    #[test]
    fn an_event_is_an_object_with_its_fields_beside_the_rest() {
        let line = logged(|| {
            tracing::warn!(target: "bankside::access", bytes = 7_u64, below = -1, part = 0.5, complete = true,
                route = Some("/x"), grant = None::<&str>, error = %"a \"b\"", list = ?[1, 2], "request");
        });
        let expected = json!({
            "level": "WARN", "target": "bankside::access", "message": "request", "bytes": 7, "below": -1, "part": 0.5,
            "complete": true, "route": "/x", "error": "a \"b\"", "list": "[1, 2]",
        });
        assert_eq!(object(&line), expected);
    }

    #[test]
    fn an_error_is_told_in_its_own_words_and_no_number_is_no_number() {
        let error = io::Error::other("first\nsecond");
        let line = logged(|| tracing::error!(error = &error as &dyn Error, part = f64::NAN, "it failed"));
        let object = object(&line);
        assert_eq!((&object["error"], object.get("part")), (&json!("first\nsecond"), None));
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was_and_in_one_line(text in any::<String>()) {
            let line = logged(|| tracing::info!(text, "said"));
            prop_assert_eq!(&object(&line)["text"], &json!(text));
        }
    }
}
