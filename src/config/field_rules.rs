//! Rules for header fields in layers: a table's rule for a field takes the place of its profile's, whatever their kinds.

use super::reader::Reader;
use super::tree::{Node, Value};

/// Takes out of a profile's `headers` the rules for fields that the table over it has rules for. Key by key they would stay:
/// under another kind, or in another spelling.
pub(super) fn give_way(mut profile: Node, table: &Node, reader: &mut Reader<'_>) -> Node {
    let fields = table.get("headers").map(|headers| ruled_fields(headers, reader)).unwrap_or_default();
    let is_ruled = |field: &str| fields.iter().any(|name| name.eq_ignore_ascii_case(field));
    for kind in KINDS {
        let rules = profile.get_mut("headers").and_then(|headers| headers.get_mut(kind));
        match rules.map(|rules| &mut rules.value) {
            Some(Value::Table(entries)) => entries.retain(|entry| !is_ruled(&entry.name)),
            Some(Value::Array(items)) => {
                items.retain(|item| !reader.glance(item).is_some_and(|field| is_ruled(&field)));
            }
            _ => {}
        }
    }
    profile
}

const KINDS: [&str; 3] = ["set", "default", "remove"];

/// The fields that these `headers` have rules for. What is wrong with them is noted when the table is read.
fn ruled_fields(headers: &Node, reader: &mut Reader<'_>) -> Vec<String> {
    let rules = KINDS.iter().filter_map(|kind| headers.get(kind));
    let fields = rules.flat_map(|rules| match &rules.value {
        Value::Table(entries) => entries.iter().map(|entry| entry.name.clone()).collect(),
        Value::Array(items) => {
            items.iter().filter_map(|item| reader.glance(item)).map(|field| field.to_string()).collect()
        }
        _ => Vec::new(),
    });
    fields.collect()
}
