//! The walk over a file's tree: it gathers values and notes every problem, instead of ending at the first.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value as Json, json};
use zeroize::Zeroizing;

use super::interpolate::interpolate;
use super::tree::{Entry, Node, Value};
use super::{Environment, Invalid, Place, Problem, Severity};

/// A value that a configuration may hold.
pub(super) trait Read: Sized {
    /// Reads it. `None` where that cannot be: then at least one problem was noted.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;

    /// Its JSON Schema. Tables are defined once, and referred to.
    fn schema(definitions: &mut Map<String, Json>) -> Json;
}

/// A value and the place where it stands, or where it would stand if it is a default.
pub(super) struct Located<T> {
    pub(super) place: Place,
    pub(super) value: T,
}

/// What a key without a default holds.
pub(super) enum Field<T> {
    /// The key is not there.
    Absent,
    /// It is, and its problems are noted: nothing that follows from its lack is to be noted again.
    Bad,
    /// A value.
    Given(Located<T>),
}

impl<T> Field<T> {
    /// The value and its place.
    pub(super) fn located(&self) -> Option<&Located<T>> {
        match self {
            Self::Given(located) => Some(located),
            Self::Absent | Self::Bad => None,
        }
    }

    /// The value.
    pub(super) fn get(&self) -> Option<&T> {
        self.located().map(|located| &located.value)
    }

    /// The value, taken out.
    pub(super) fn take(self) -> Option<T> {
        match self {
            Self::Given(located) => Some(located.value),
            Self::Absent | Self::Bad => None,
        }
    }

    /// Whether the key is not there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// What is passed along while a configuration is read.
pub(super) struct Reader<'e> {
    /// Where variables are looked up.
    pub(super) environment: &'e dyn Environment,
    /// What is wrong, or worth knowing, so far.
    pub(super) problems: Vec<Problem>,
    /// The files that were read so far.
    pub(super) files: BTreeSet<PathBuf>,
}

impl<'e> Reader<'e> {
    /// A reader that has read nothing.
    pub(super) fn new(environment: &'e dyn Environment) -> Self {
        Self { environment, problems: Vec::new(), files: BTreeSet::new() }
    }

    /// Notes what must be put right.
    pub(super) fn error(&mut self, place: &Place, reason: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::error(place, reason, remedy));
    }

    /// Notes what somebody should know.
    pub(super) fn warn(&mut self, place: &Place, reason: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::warning(place, reason, remedy));
    }

    /// Notes that a value breaks its rule.
    pub(super) fn invalid(&mut self, place: &Place, why: &Invalid) {
        self.error(place, &*why.reason, &*why.remedy);
    }

    /// Notes a key whose behaviour is not there yet.
    pub(super) fn not_built(&mut self, place: &Place, what: &str, remedy: &str) {
        self.error(place, format!("{what}: not built yet"), remedy);
    }

    /// Notes a value of the wrong type, without showing it.
    pub(super) fn wrong_type(&mut self, node: &Node, expected: &str, remedy: &str) {
        self.error(&node.place, format!("{expected} is expected here, not {}", node.kind()), remedy);
    }

    /// A required value; its lack is noted at the table that should have it.
    pub(super) fn need<T>(&mut self, field: Field<T>, table: &Place, key: &str, remedy: &str) -> Option<T> {
        if field.is_absent() {
            let place = Place { key: format!("{}.{key}", table.key).into(), ..table.clone() };
            self.error(&place, "is missing", remedy);
        }
        field.take()
    }

    /// Whether an error was noted.
    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// A string, with its variables replaced.
    pub(super) fn text(&mut self, node: &Node) -> Option<Zeroizing<String>> {
        let Value::Text(text) = &node.value else {
            self.wrong_type(node, "a string", "write it in double quotes");
            return None;
        };
        match interpolate(text, self.environment) {
            Ok(text) => Some(text),
            Err(why) => {
                self.invalid(&node.place, &why);
                None
            }
        }
    }

    /// A value that is written as a string.
    pub(super) fn parse<T: std::str::FromStr<Err = Invalid>>(&mut self, node: &Node) -> Option<T> {
        let text = self.text(node)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(why) => {
                self.invalid(&node.place, &why);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(node)?;
        let found = choices.iter().find(|(name, _)| *name == text.as_str());
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            let remedy = match nearest(&text, names.iter().copied()) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => "choose one of them".to_owned(),
            };
            self.error(&node.place, format!("none of: {}", names.join(", ")), remedy);
        }
        found.map(|(_, value)| *value)
    }
}

/// The keys of a table, while they are taken out one by one.
pub(super) struct TableReader<'t, 'r, 'e> {
    node: &'t Node,
    entries: &'t [Entry],
    reader: &'r mut Reader<'e>,
    known: Vec<&'static str>,
}

impl<'t, 'r, 'e> TableReader<'t, 'r, 'e> {
    /// Opens a table.
    pub(super) fn open(node: &'t Node, reader: &'r mut Reader<'e>) -> Option<Self> {
        let Value::Table(entries) = &node.value else {
            reader.wrong_type(node, "a table", "write `{ key = … }`, or a section of its own");
            return None;
        };
        Some(Self { node, entries, reader, known: Vec::new() })
    }

    /// Takes a key that may be absent.
    pub(super) fn take<T: Read>(&mut self, key: &'static str) -> Field<T> {
        self.known.push(key);
        let Some(entry) = self.entries.iter().find(|entry| entry.name == key) else { return Field::Absent };
        match T::read(&entry.node, self.reader) {
            Some(value) => Field::Given(Located { place: entry.node.place.clone(), value }),
            None => Field::Bad,
        }
    }

    /// Takes a key with a default, which also stands in for a value with problems.
    pub(super) fn take_or<T: Read>(&mut self, key: &'static str, default: &str) -> Located<T> {
        let given = self.take(key);
        if let Field::Given(located) = given {
            return located;
        }
        let default = Node::of_default(default, self.node, key)
            .and_then(|node| Some(Located { value: T::read(&node, self.reader)?, place: node.place }));
        #[expect(clippy::expect_used, reason = "defaults are part of the program, and a test reads all of them")]
        default.expect("the default is valid")
    }

    /// Notes every key that was not asked for.
    pub(super) fn close(self) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.name.as_str())) {
            let remedy = match nearest(&entry.name, self.known.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("remove it; known here: {}", self.known.join(", ")),
            };
            self.reader.error(&entry.node.place, "unknown key", remedy);
        }
    }
}

/// The name that was probably meant.
pub(super) fn nearest<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|name| (strsim::normalized_damerau_levenshtein(text, name), name))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// The schema of a table from its keys: name, documentation, schema, default.
pub(super) fn table_schema(doc: &str, keys: Vec<(&str, String, Json, Option<&str>)>) -> Json {
    let mut properties = Map::new();
    for (key, doc, mut schema, default) in keys {
        if let Some(fields) = schema.as_object_mut() {
            fields.insert("description".to_owned(), doc.trim().into());
            // Tables show their defaults key by key.
            if let Some(default) = default.filter(|toml| *toml != "{}").and_then(json_of) {
                fields.insert("default".to_owned(), default);
            }
        }
        properties.insert(key.to_owned(), schema);
    }
    json!({ "type": "object", "description": doc.trim(), "properties": properties, "additionalProperties": false })
}

fn json_of(toml: &str) -> Option<Json> {
    let document: toml::Table = format!("value = {toml}").parse().ok()?;
    serde_json::to_value(document.get("value")?).ok()
}

/// Defines tables of the configuration: one list of keys, with type, documentation and default, gives the raw type, its
/// reading, the suggestions for unknown keys, and the schema. A default is written in TOML.
macro_rules! table {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident {
            $( $(#[doc = $key_doc:literal])* $key:ident: $type:ty $(= $default:literal)?, )*
        }
    )*) => { $(
        $(#[doc = $doc])*
        #[allow(dead_code, reason = "some keys matter only to the tree, before there is a raw type")]
        pub(in crate::config) struct $name {
            $( $(#[doc = $key_doc])* pub(in crate::config) $key: $crate::config::reader::table!(@type $type $(, $default)?), )*
        }

        impl $crate::config::reader::Read for $name {
            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> Option<Self> {
                let mut table = $crate::config::reader::TableReader::open(node, reader)?;
                let raw = Self { $( $key: $crate::config::reader::table!(@take table $key $(, $default)?), )* };
                table.close();
                Some(raw)
            }

            fn schema(definitions: &mut serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
                let name = stringify!($name).trim_start_matches("Raw");
                if !definitions.contains_key(name) {
                    let keys = vec![$( (
                        stringify!($key),
                        [$($key_doc),*].join(""),
                        <$type as $crate::config::reader::Read>::schema(definitions),
                        $crate::config::reader::table!(@default $($default)?),
                    ), )*];
                    let schema = $crate::config::reader::table_schema(&[$($doc),*].join(""), keys);
                    definitions.insert(name.to_owned(), schema);
                }
                serde_json::json!({ "$ref": format!("#/$defs/{name}") })
            }
        }
    )* };
    (@type $type:ty) => { $crate::config::reader::Field<$type> };
    (@type $type:ty, $default:literal) => { $crate::config::reader::Located<$type> };
    (@take $table:ident $key:ident) => { $table.take(stringify!($key)) };
    (@take $table:ident $key:ident, $default:literal) => { $table.take_or(stringify!($key), $default) };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}

/// Makes a type readable that is one of a few words.
macro_rules! choice {
    ($type:ty { $($word:literal => $value:expr),* $(,)? }) => {
        impl $crate::config::reader::Read for $type {
            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> Option<Self> {
                reader.choice(node, &[$(($word, $value)),*])
            }

            fn schema(_: &mut serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
                serde_json::json!({ "anyOf": [{ "enum": [$($word),*] }, { "type": "string", "pattern": r"\$\{" }] })
            }
        }
    };
}

/// Makes a type readable that is written as a string, by its `FromStr`; with an example for the schema.
macro_rules! text {
    ($($type:ty, $example:literal;)*) => { $(
        impl $crate::config::reader::Read for $type {
            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> Option<Self> {
                reader.parse(node)
            }

            fn schema(_: &mut serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
                serde_json::json!({ "type": "string", "examples": [$example] })
            }
        }
    )* };
}

pub(super) use {choice, table, text};
