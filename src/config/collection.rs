//! How collections of values are read.

use serde_json::{Map, Number, Value as Json, json};

use super::Place;
use super::reader::{Located, Read, Reader};
use super::tree::{Node, Value};

/// A list. All of its items are read, so that the problems of each are noted.
impl<T: Read> Read for Vec<Located<T>> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Array(items) = &node.value else {
            reader.wrong_type(node, "a list", "write it in square brackets");
            return None;
        };
        let read: Vec<_> = items.iter().map(|item| located(item, reader)).collect();
        read.into_iter().collect()
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        json!({ "type": "array", "items": T::schema(definitions) })
    }
}

fn located<T: Read>(node: &Node, reader: &mut Reader<'_>) -> Option<Located<T>> {
    Some(Located { value: T::read(node, reader)?, place: node.place.clone() })
}

/// One value, or a list with at least one.
pub(super) struct OneOrMany<T>(pub(super) Vec<Located<T>>);

impl<T: Read> Read for OneOrMany<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Array(items) if items.is_empty() => {
                reader.error(&node.place, "the list is empty", "name at least one");
                None
            }
            Value::Array(_) => Vec::read(node, reader).map(Self),
            _ => located(node, reader).map(|one| Self(vec![one])),
        }
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        let one = T::schema(definitions);
        json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// A table with keys of the user's choice.
pub(super) struct Named<T>(pub(super) Vec<(String, Located<T>)>);

impl<T: Read> Read for Named<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Table(entries) = &node.value else {
            reader.wrong_type(node, "a table", "write `{ name = … }`, or a section of its own");
            return None;
        };
        let read: Vec<_> =
            entries.iter().map(|entry| Some((entry.name.clone(), located(&entry.node, reader)?))).collect();
        read.into_iter().collect::<Option<_>>().map(Self)
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        json!({ "type": "object", "additionalProperties": T::schema(definitions) })
    }
}

/// A table of any shape, as JSON.
pub(super) struct JsonObject(pub(super) Map<String, Json>);

impl Read for JsonObject {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Json::Object(fields) = json(node, reader)? {
            return Some(Self(fields));
        }
        reader.wrong_type(node, "a table", "write `{ name = … }`, or a section of its own");
        None
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "object" })
    }
}

fn json(node: &Node, reader: &mut Reader<'_>) -> Option<Json> {
    match &node.value {
        Value::Text(_) => reader.text(node).map(|text| Json::String(text.to_string())),
        Value::Integer(number) => match i64::try_from(*number) {
            Ok(number) => Some(number.into()),
            Err(_) => unfit(&node.place, reader),
        },
        Value::Float(number) => Number::from_f64(*number).map(Json::Number).or_else(|| unfit(&node.place, reader)),
        Value::Boolean(flag) => Some(Json::Bool(*flag)),
        Value::Datetime(moment) => Some(Json::String(moment.clone())),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| json(item, reader)).collect();
            items.into_iter().collect::<Option<_>>().map(Json::Array)
        }
        Value::Table(entries) => {
            let fields: Vec<_> =
                entries.iter().map(|entry| Some((entry.name.clone(), json(&entry.node, reader)?))).collect();
            fields.into_iter().collect::<Option<_>>().map(Json::Object)
        }
    }
}

fn unfit(place: &Place, reader: &mut Reader<'_>) -> Option<Json> {
    reader.error(place, "a number that JSON cannot hold", "write a smaller one, or a string");
    None
}
