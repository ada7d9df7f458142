//! How plain values are read.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::quantity::{parse_duration, parse_size};
use super::reader::{Read, Reader};
use super::tree::{Node, Value};

impl Read for bool {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::Boolean(flag) = node.value {
            return Some(flag);
        }
        reader.wrong_type(node, "a boolean", "write true or false, without quotes");
        None
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "boolean" })
    }
}

/// A string that is not empty and has no control characters.
impl Read for String {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        if text.is_empty() || text.chars().any(char::is_control) {
            let reason = if text.is_empty() { "is empty" } else { "has control characters in it" };
            reader.error(&node.place, reason, "give it a value, or leave the key out");
            return None;
        }
        Some(text.to_string())
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// A string that may be empty: the value of a parameter.
pub(super) struct Parameter(pub(super) String);

impl Read for Parameter {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.text(node).map(|text| Self(text.to_string()))
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "string" })
    }
}

/// A whole number from `MIN` to `MAX`.
pub(super) struct Whole<const MIN: u32, const MAX: u32>(pub(super) u32);

impl<const MIN: u32, const MAX: u32> Read for Whole<MIN, MAX> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Integer(number) = node.value else {
            reader.wrong_type(node, "an integer", "write a whole number, without quotes");
            return None;
        };
        match u32::try_from(number) {
            Ok(number) if (MIN..=MAX).contains(&number) => Some(Self(number)),
            _ => {
                let remedy = format!("choose a number from {MIN} to {MAX}");
                reader.error(&node.place, "out of range", remedy);
                None
            }
        }
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// A number of percent from `MIN` to `MAX`, written as a fraction of one.
pub(super) struct Fraction<const MIN: u32, const MAX: u32>(pub(super) f64);

impl<const MIN: u32, const MAX: u32> Read for Fraction<MIN, MAX> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let (min, max) = (f64::from(MIN) / 100.0, f64::from(MAX) / 100.0);
        match node.value {
            Value::Float(number) if (min..=max).contains(&number) => return Some(Self(number)),
            Value::Float(_) | Value::Integer(_) => {
                reader.error(&node.place, "out of range", format!("choose a fraction from {min} to {max}"));
            }
            _ => reader.wrong_type(node, "a fraction", "write a number such as 0.8, without quotes"),
        }
        None
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "number", "minimum": f64::from(MIN) / 100.0, "maximum": f64::from(MAX) / 100.0 })
    }
}

/// A duration from `MIN` milliseconds to `MAX` seconds.
pub(super) struct Span<const MIN: u64, const MAX: u64>(pub(super) Duration);

impl<const MIN: u64, const MAX: u64> Read for Span<MIN, MAX> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(node.value, Value::Text(_)) {
            reader.wrong_type(node, "a duration", "write it with its unit, in quotes: \"250ms\", \"5s\", \"10m\"");
            return None;
        }
        let text = reader.text(node)?;
        let (min, max) = (Duration::from_millis(MIN), Duration::from_secs(MAX));
        match parse_duration(&text) {
            Ok(duration) if (min..=max).contains(&duration) => return Some(Self(duration)),
            Ok(_) => {
                reader.error(&node.place, "out of range", format!("choose a duration from \"{MIN}ms\" to \"{MAX}s\""));
            }
            Err(why) => reader.invalid(&node.place, &why),
        }
        None
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "string", "examples": ["250ms", "5s", "10m", "2h", "30d"] })
    }
}

/// A number of bytes up to `MAX`.
pub(super) struct Size<const MAX: u64>(pub(super) usize);

impl<const MAX: u64> Read for Size<MAX> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let bytes = match node.value {
            Value::Integer(bytes) => u64::try_from(bytes).unwrap_or(u64::MAX),
            Value::Text(_) => match parse_size(&reader.text(node)?) {
                Ok(bytes) => bytes,
                Err(why) => {
                    reader.invalid(&node.place, &why);
                    return None;
                }
            },
            _ => {
                reader.wrong_type(node, "a size", "write it with its unit, in quotes: \"64KiB\"");
                return None;
            }
        };
        if bytes > MAX {
            reader.error(&node.place, "out of range", format!("choose a size of at most {MAX} bytes"));
            return None;
        }
        usize::try_from(bytes).ok().map(Self)
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": MAX },
            { "type": "string", "examples": ["64KiB", "1MiB"] },
        ] })
    }
}
