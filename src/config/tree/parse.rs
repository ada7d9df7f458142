//! TOML read into a tree, and what is wrong with it.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};
use zeroize::Zeroizing;

use super::{Entry, Node, Source, Value};
use crate::config::{Place, Problem};

impl Source {
    /// Reads TOML. Duplicate keys are noted and passed over; other errors of syntax leave nothing to go on with.
    ///
    /// Problems name the line and never show it: there may be a secret in it.
    pub(in crate::config) fn parse(self: &Arc<Self>, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
        let lines = Lines::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut readable = true;
        let mut last_line = 0;
        for error in errors {
            let duplicate = error.message().contains("duplicate key");
            readable &= duplicate;
            let line = lines.at(error.span().map_or(0, |span| span.start));
            // One mistake makes the parser stumble several times in a line.
            if line != last_line {
                let place = Place { line, ..self.place() };
                let remedy = if duplicate { "keep one of them" } else { remedy(error.message()) };
                let key = if duplicate { key_at(text, error.span()) } else { String::new() };
                let reason = format!("not valid TOML: {}{key}", one_line(error.message()));
                problems.push(Problem::error(&place, reason, remedy));
            }
            last_line = line;
        }
        let builder = Builder { source: self, lines };
        readable.then(|| builder.node(&DeValue::Table(table.into_inner()), self.place()))
    }
}

/// The key that an error is about, as it is written. A value is never one.
fn key_at(text: &str, span: Option<Range<usize>>) -> String {
    span.and_then(|span| text.get(span)).map(|key| format!(" `{}`", one_line(key))).unwrap_or_default()
}

/// What to do about an error of syntax. What a value without quotes is taken for depends on how it begins.
fn remedy(message: &str) -> &'static str {
    let is_bare = |part: &&str| message.contains(part);
    if ["must be quoted", "invalid boolean", "invalid float", "invalid exponent"].iter().any(is_bare) {
        "write text in double quotes, and `true` or `false` in small letters; see https://toml.io for the syntax"
    } else {
        "see https://toml.io for the syntax"
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The line, from 1, that the byte at `offset` is in.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

struct Builder<'s> {
    source: &'s Arc<Source>,
    lines: Lines,
}

impl Builder<'_> {
    fn node(&self, value: &DeValue<'_>, place: Place) -> Node {
        let value = match value {
            DeValue::String(text) => Value::Text(Zeroizing::new(text.to_string())),
            DeValue::Integer(number) => {
                Value::Integer(i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX))
            }
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Value::Boolean(*flag),
            DeValue::Datetime(moment) => Value::Datetime(moment.to_string()),
            DeValue::Array(items) => {
                Value::Array(items.iter().enumerate().map(|(index, item)| self.item(item, index, &place)).collect())
            }
            DeValue::Table(table) => Value::Table(self.entries(table, &place)),
        };
        Node { place, source: Arc::clone(self.source), value }
    }

    fn item(&self, item: &Spanned<DeValue<'_>>, index: usize, array: &Place) -> Node {
        let line = self.lines.at(item.span().start);
        let place = Place { line, key: format!("{}[{index}]", array.key).into(), ..array.clone() };
        self.node(item.get_ref(), place)
    }

    fn entries(&self, table: &DeTable<'_>, place: &Place) -> Vec<Entry> {
        let mut in_order: Vec<_> = table.iter().collect();
        in_order.sort_by_key(|(name, _)| name.span().start);
        let entry = |name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>| {
            let place = Place { line: self.lines.at(name.span().start), ..place.child(name.get_ref()) };
            Entry { name: name.get_ref().to_string(), node: self.node(value.get_ref(), place) }
        };
        in_order.into_iter().map(|(name, value)| entry(name, value)).collect()
    }
}

impl Node {
    /// The node of a default, written in TOML, where `table` has no such key.
    pub(in crate::config) fn of_default(toml: &str, table: &Self, key: &str) -> Option<Self> {
        let value = DeValue::parse(toml).ok()?;
        let builder = Builder { source: &table.source, lines: Lines(Vec::new()) };
        let place = table.place.child(key);
        let mut node = builder.node(value.get_ref(), place.clone());
        node.move_to(place.line);
        Some(node)
    }

    fn move_to(&mut self, line: usize) {
        self.place.line = line;
        match &mut self.value {
            Value::Array(items) => items.iter_mut().for_each(|item| item.move_to(line)),
            Value::Table(entries) => entries.iter_mut().for_each(|entry| entry.node.move_to(line)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, parse};
    use super::*;

    #[test]
    fn each_value_knows_its_line_and_its_key() {
        let tree = parse("\n[a.\"b c\"]\nd = 1\ne.f = [\n  1,\n  2,\n]\n\n[[g]]\n[[g]]\nh = true\n");
        let place = |path| {
            let place = &at(&tree, path).place;
            (place.line, place.key.to_string())
        };
        assert_eq!(place("a"), (2, "a".to_owned()));
        assert_eq!(place("a.b c.d"), (3, "a.\"b c\".d".to_owned()));
        assert_eq!(place("a.b c.e.f"), (4, "a.\"b c\".e.f".to_owned()));
        let Value::Array(numbers) = &at(&tree, "a.b c.e.f").value else { panic!("a list") };
        assert_eq!((numbers[1].place.line, &*numbers[1].place.key), (6, "a.\"b c\".e.f[1]"));
        let Value::Array(tables) = &at(&tree, "g").value else { panic!("a list") };
        assert_eq!((tables[1].place.line, &*tables[1].place.key), (10, "g[1]"));
        assert_eq!((at(&tables[1], "h").place.line, &*at(&tables[1], "h").place.key), (11, "g[1].h"));
    }

    #[test]
    fn a_syntax_error_names_its_line_and_does_not_show_it() {
        let source = Arc::new(Source { file: Arc::new("x.toml".into()), base: "/".into(), built_in: false });
        let mut problems = Vec::new();
        assert!(source.parse("a = 1\nclient_secret = { value = \"hunter2\n", &mut problems).is_none());
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].place.line, 2);
        assert!(!problems[0].to_string().contains("hunter2"));
    }

    #[test]
    fn text_without_quotes_is_told_to_be_put_into_them_however_it_begins() {
        let source = Arc::new(Source { file: Arc::new("x.toml".into()), base: "/".into(), built_in: false });
        for (text, is_bare) in [
            ("a = abc\n", true),
            ("a = f1fe\n", true),
            ("a = none\n", true),
            ("a = 1940e-addc\n", true),
            ("a = https://bank.example\n", true),
            ("a = True\n", true),
            ("a = \"abc\n", false),
            ("[a\n", false),
        ] {
            let mut problems = Vec::new();
            assert!(source.parse(text, &mut problems).is_none());
            assert_eq!(problems[0].to_string().contains("write text in double quotes"), is_bare, "{text} {problems:?}");
        }
    }

    #[test]
    fn a_duplicate_key_does_not_hide_the_rest() {
        let source = Arc::new(Source { file: Arc::new("x.toml".into()), base: "/".into(), built_in: false });
        let mut problems = Vec::new();
        let tree = source.parse("a = 1\na = 2\nb = 3\n", &mut problems).expect("still readable");
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].place.line, 2);
        assert!(tree.get("b").is_some());
    }

    #[test]
    fn a_duplicate_key_is_named() {
        let source = Arc::new(Source { file: Arc::new("x.toml".into()), base: "/".into(), built_in: false });
        for (text, key) in [
            ("a = 1\na = 2\n", "`a`"),
            ("[banks.one]\n[banks.one]\n", "`one`"),
            ("[a]\nb = { c = 1, c = 2 }\n", "`c`"),
            ("[a]\n\"b c\" = 1\n\"b c\" = 2\n", "`\"b c\"`"),
            ("a.b = 1\na.b = 2\n", "`b`"),
            ("a = 1\n[[a]]\n", "`a`"),
        ] {
            let mut problems = Vec::new();
            source.parse(text, &mut problems);
            let said = problems[0].to_string();
            assert!(said.contains(&format!("duplicate key {key}; keep one of them")), "{said}");
        }
    }
}
