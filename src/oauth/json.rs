//! JSON as banks send it, read leniently: what is wrong beside a value must not cost it.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The first JSON value of the content, if it is of this kind. What cannot be read as UTF-8 stands in some other field than
/// the one that is looked for, and what follows the value is nobody's: neither may cost a refresh token that the bank has
/// rotated, or a secret that it tells once.
pub(super) fn first<T: DeserializeOwned>(content: &[u8]) -> Option<T> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let text = Zeroizing::new(String::from_utf8_lossy(content).into_owned());
    serde_json::Deserializer::from_str(&text).into_iter().next()?.ok()
}

/// Whether a text out of this content is as the bank wrote it: what was no UTF-8 has become U+FFFD.
pub(super) fn is_whole(text: &str, content: &[u8]) -> bool {
    !text.contains('\u{fffd}') || std::str::from_utf8(content).is_ok()
}

/// The text, or the number as a text, of the first of these fields that has one. A name may be the path to a nested field.
pub(super) fn first_text(object: &Map<String, Value>, names: &[String]) -> Option<String> {
    names.iter().find_map(|name| match at(object, name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// The field of this name; where there is none, the one that the name leads to from field to field, with dots between.
fn at<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        at(object.get(outer)?.as_object()?, inner)
    })
}

/// The paths of all fields that hold something else than fields.
pub(super) fn paths(object: &Map<String, Value>) -> Vec<String> {
    let of_field = |(name, value): (&String, &Value)| match value {
        Value::Object(inner) if !inner.is_empty() => {
            paths(inner).into_iter().map(|path| format!("{name}.{path}")).collect()
        }
        _ => vec![name.clone()],
    };
    object.iter().flat_map(of_field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_utf_8_costs_its_own_field_only() {
        let content = b"{\"name\":\"J\xf6rg\",\"secret\":\"s\",\"bad\":\"s\xf6\"}\0;";
        let object: Map<String, Value> = first(content).unwrap();
        let text = |name: &str| first_text(&object, &[name.to_owned()]).filter(|text| is_whole(text, content));
        assert_eq!((text("secret").as_deref(), text("bad")), (Some("s"), None));
        let plain = "{\"secret\":\"\u{fffd}\"}".as_bytes();
        assert!(is_whole("\u{fffd}", plain), "the bank wrote it so");
    }

    #[test]
    fn what_is_of_another_kind_or_no_whole_value_is_none() {
        for content in ["[]", "7", "", "{\"a\":", "<html>"] {
            assert!(first::<Map<String, Value>>(content.as_bytes()).is_none(), "{content}");
        }
        assert!(first::<Value>("\u{feff}[1]\0".as_bytes()).is_some_and(|value| value.is_array()));
    }
}
