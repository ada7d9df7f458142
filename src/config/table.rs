//! Tables as declarations: one list of keys gives raw type, reading, suggestions and schema.

use serde_json::{Map, Value as Json, json};

use super::load::schema;
use super::reader::{Field, Located, Read, Reader, nearest};
use super::tree::{Entry, Node, Value};

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
            let meant = nearest(&entry.name, self.known.iter().copied());
            let remedy = meant
                .map(|name| format!("did you mean `{name}`?"))
                .or_else(|| home_of(&entry.name).map(|table| format!("it belongs in the table `{table}`")))
                .unwrap_or_else(|| format!("remove it; known here: {}", self.known.join(", ")));
            self.reader.error(&entry.node.place, "unknown key", remedy);
        }
    }
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

/// The table that a key belongs in, where there is just one that has it.
fn home_of(key: &str) -> Option<String> {
    let schema = schema();
    let definitions = schema["$defs"].as_object()?;
    let mut homes = definitions.iter().filter(|(_, table)| table["properties"].get(key).is_some());
    let (Some((home, _)), None) = (homes.next(), homes.next()) else { return None };
    let refers = |property: &Json| property["$ref"] == format!("#/$defs/{home}");
    let tables = definitions.values().chain([&schema]).filter_map(|table| table["properties"].as_object());
    tables.flatten().find(|(_, property)| refers(property)).map(|(name, _)| name.clone())
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
            $( $(#[doc = $key_doc])* pub(in crate::config) $key: $crate::config::table::table!(@type $type $(, $default)?), )*
        }

        impl $crate::config::reader::Read for $name {
            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> Option<Self> {
                let mut table = $crate::config::table::TableReader::open(node, reader)?;
                let raw = Self { $( $key: $crate::config::table::table!(@take table $key $(, $default)?), )* };
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
                        $crate::config::table::table!(@default $($default)?),
                    ), )*];
                    let schema = $crate::config::table::table_schema(&[$($doc),*].join(""), keys);
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
