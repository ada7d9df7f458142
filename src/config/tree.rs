//! A configuration file as a tree in which each value knows its place, and the laying of one tree over another.

mod parse;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Place;

/// A file, or a built-in profile.
pub(super) struct Source {
    /// As problems name it.
    pub(super) file: Arc<PathBuf>,
    /// What relative paths in it are relative to.
    pub(super) base: PathBuf,
    /// Whether it came with the program: its secrets are public test tokens.
    pub(super) built_in: bool,
}

/// A value and its place. It may be a secret: there is no `Debug`.
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) source: Arc<Source>,
    pub(super) value: Value,
}

/// A value of TOML.
pub(super) enum Value {
    Text(Zeroizing<String>),
    /// Out of range where it does not fit.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table, and what stands there; in the order of the file.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) node: Node,
}

impl Source {
    /// The place of the file as a whole.
    pub(super) fn place(&self) -> Place {
        Place { file: Arc::clone(&self.file), line: 1, key: "".into() }
    }

    /// Where a path that this file names lies.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(Path::new(path))
    }
}

impl Node {
    /// What a person calls this type of value.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date or time",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The value under a key, if this is a table that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|entry| entry.name == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// As [`get`](Self::get), to change it.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Table(entries) => entries.iter_mut().find(|entry| entry.name == key).map(|entry| &mut entry.node),
            _ => None,
        }
    }

    /// Lays this over `base`: tables key by key, all else as a whole. A secret is a whole too: `{ env = … }` over a
    /// profile's `{ value = … }` must not become both.
    pub(super) fn over(self, base: Self) -> Self {
        let value = match (self.value, base.value) {
            (Value::Table(upper), Value::Table(lower)) if !is_secret(&upper) => Value::Table(merge(upper, lower)),
            (value, _) => value,
        };
        Self { value, ..self }
    }
}

fn is_secret(table: &[Entry]) -> bool {
    !table.is_empty() && table.iter().all(|entry| matches!(entry.name.as_str(), "file" | "env" | "value"))
}

fn merge(upper: Vec<Entry>, lower: Vec<Entry>) -> Vec<Entry> {
    let mut rest: Vec<Option<Entry>> = lower.into_iter().map(Some).collect();
    let mut merged = Vec::with_capacity(upper.len() + rest.len());
    for Entry { name, node } in upper {
        let below = rest.iter_mut().find(|entry| entry.as_ref().is_some_and(|entry| entry.name == name));
        let node = match below.and_then(Option::take) {
            Some(below) => node.over(below.node),
            None => node,
        };
        merged.push(Entry { name, node });
    }
    merged.extend(rest.into_iter().flatten());
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn parse(text: &str) -> Node {
        let mut problems = Vec::new();
        let source = Source { file: Arc::new("x.toml".into()), base: "/base".into(), built_in: false };
        let node = Arc::new(source).parse(text, &mut problems).expect("valid TOML");
        assert_eq!(problems, []);
        node
    }

    pub(super) fn at<'n>(node: &'n Node, path: &str) -> &'n Node {
        path.split('.').fold(node, |node, key| node.get(key).unwrap_or_else(|| panic!("no {key}")))
    }

    #[test]
    fn tables_are_laid_over_key_by_key_and_all_else_as_a_whole() {
        let base = parse("a = 1\nb = [1, 2]\nt.x = 1\nt.y = 2\ns = { value = \"v\" }");
        let both = parse("b = [3]\nt.y = 3\nt.z = 4\ns = { env = \"E\" }").over(base);
        assert!(matches!(at(&both, "a").value, Value::Integer(1)));
        assert!(matches!(&at(&both, "b").value, Value::Array(items) if items.len() == 1));
        for (key, number) in [("t.x", 1), ("t.y", 3), ("t.z", 4)] {
            assert!(matches!(at(&both, key).value, Value::Integer(found) if found == number), "{key}");
        }
        assert!(at(&both, "s").get("value").is_none());
    }
}
