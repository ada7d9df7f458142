//! HTML that is escaped by construction: markup is a literal of the program, and whatever else comes in is escaped.

use std::fmt::{self, Display, Write};

/// A piece of HTML.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds markup. Each `{}` in it is replaced by the next of the values, escaped for text and for quoted attributes.
    pub(super) fn put(&mut self, markup: &'static str, values: &[&dyn Display]) -> &mut Self {
        debug_assert_eq!(markup.matches("{}").count(), values.len(), "{markup}");
        let mut values = values.iter();
        for (index, piece) in markup.split("{}").enumerate() {
            if let Some(value) = (index > 0).then(|| values.next()).flatten() {
                // Writing to a String does not fail.
                let _ = write!(Escaped(&mut self.0), "{value}");
            }
            self.0.push_str(piece);
        }
        self
    }

    /// The document's text.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_escaped_and_markup_is_not() {
        let mut html = Html::new();
        html.put("<a href=\"{}\">{}</a>", &[&"\"'><script>", &"a & b"]);
        assert_eq!(html.into_string(), "<a href=\"&quot;&#39;&gt;&lt;script&gt;\">a &amp; b</a>");
    }

    #[test]
    fn a_value_with_braces_is_no_place_for_another_value() {
        let mut html = Html::new();
        html.put("{}-{}", &[&"{}", &7]);
        assert_eq!(html.into_string(), "{}-7");
    }

    proptest! {
        #[test]
        fn no_value_ends_the_text_or_the_attribute_that_it_stands_in(value in "\\PC*") {
            let mut html = Html::new();
            html.put("{}", &[&value]);
            prop_assert!(!html.into_string().contains(['<', '>', '"', '\'']));
        }
    }
}
