//! Which field lines a configuration may set, and what their values may be.

use http::HeaderName;
use serde_json::{Map, Value as Json, json};

use super::collection::Named;
use super::leaf::Parameter;
use super::raw_bank::RawHeaders;
use super::reader::{Field, Located, Read, Reader};
use super::table::text;
use super::tree::{Node, Value};
use super::{HeaderRules, HeaderTemplate, Invalid, Place};
use crate::words::Secret;

/// Fields that the sidecar itself answers for: where a request goes, who sends it, and where it ends.
const OWN: [&str; 14] = [
    "host",
    "authorization",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "bankside-grant",
    "bankside-key",
];

/// A field's value: a string, or a secret.
pub(super) struct HeaderValue(HeaderTemplate);

impl Read for HeaderValue {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let value = match node.value {
            Value::Table(_) => Secret::read(node, reader)?,
            _ => Secret::from(Parameter::read(node, reader)?.0),
        };
        if !is_field_value(value.expose()) {
            let reason = "not a field's value (RFC 9110, section 5.5)";
            reader.error(&node.place, reason, "take out line ends, other control characters, and spaces around it");
            return None;
        }
        Some(Self(HeaderTemplate(value)))
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        json!({ "anyOf": [{ "type": "string" }, Secret::schema(definitions)] })
    }
}

/// Whether bytes can stand in a field line as its value, and arrive as they are (RFC 9110, section 5.5).
pub(super) fn is_field_value(value: &[u8]) -> bool {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let is_visible = |byte: &u8| *byte > b' ' && *byte != 0x7f;
    !value.first().is_some_and(is_space)
        && !value.last().is_some_and(is_space)
        && value.iter().all(|byte| is_space(byte) || is_visible(byte))
}

/// A field's name that is taken out.
pub(super) struct Removed(pub(super) String);

text! { Removed, "x-forwarded-for"; }

impl std::str::FromStr for Removed {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        field_name(text).map(Self)
    }
}

fn field_name(text: &str) -> Result<String, Invalid> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Invalid::new("not a field's name (RFC 9110, section 5.1)", "use letters, digits and hyphens"))?;
    if OWN.contains(&name.as_str()) {
        return Err(Invalid::new("this field is the sidecar's own", "leave it out"));
    }
    // As written: towards a bank that speaks HTTP/1.1 the spelling is kept.
    Ok(text.to_owned())
}

/// The rules of a bank. A name stands in one of them only: else it would depend on their order what happens. Those of the
/// profile have given way to the bank's own by now.
pub(super) fn header_rules(raw: RawHeaders, reader: &mut Reader<'_>) -> HeaderRules {
    let set = fields(raw.set, reader);
    let default = fields(raw.default, reader);
    let remove: Vec<_> = raw.remove.value.into_iter().map(|name| name.map(|name| name.0)).collect();
    let removed = remove.iter().map(|name| (&name.value, &name.place));
    let given = set.iter().chain(&default).map(|(name, value)| (name, &value.place));
    let mut seen: Vec<&str> = Vec::new();
    for (name, place) in removed.chain(given) {
        if seen.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            let reason = format!("the field `{name}` has more than one rule");
            reader.error(place, reason, "keep one of them");
        }
        seen.push(name);
    }
    let plain = |fields: Vec<(String, Located<HeaderTemplate>)>| {
        fields.into_iter().map(|(name, value)| (name, value.value)).collect()
    };
    HeaderRules {
        set: plain(set),
        default: plain(default),
        remove: remove.into_iter().map(|name| name.value).collect(),
    }
}

/// The field lines of every token request.
pub(super) fn token_headers(raw: Field<Named<HeaderValue>>, reader: &mut Reader<'_>) -> Vec<(String, HeaderTemplate)> {
    let named = fields(raw, reader);
    let mut seen: Vec<&str> = vec!["content-type"];
    for (name, value) in &named {
        if seen.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            let reason = format!("the field `{name}` is there already");
            reader.error(&value.place, reason, "leave it out");
        }
        seen.push(name);
    }
    named.into_iter().map(|(name, value)| (name, value.value)).collect()
}

fn fields(raw: Field<Named<HeaderValue>>, reader: &mut Reader<'_>) -> Vec<(String, Located<HeaderTemplate>)> {
    let named = raw.take().map(|named| named.0).unwrap_or_default();
    named.into_iter().filter_map(|(name, value)| field(&name, value, reader)).collect()
}

fn field(
    name: &str,
    value: Located<HeaderValue>,
    reader: &mut Reader<'_>,
) -> Option<(String, Located<HeaderTemplate>)> {
    let place: &Place = &value.place;
    match field_name(name) {
        Ok(name) => Some((name, value.map(|value| value.0))),
        Err(why) => {
            reader.invalid(place, &why);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_would_end_or_change_its_line_is_none() {
        for good in ["", "a", "a b\tc", "{uuid}", "\u{e4}"] {
            assert!(is_field_value(good.as_bytes()), "{good:?}");
        }
        for bad in ["a\r\nb", "a\nb", "a\0", " a", "a\t", "\u{7f}"] {
            assert!(!is_field_value(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn fields_that_frame_or_route_a_request_are_not_to_be_set() {
        for bad in ["Host", "authorization", "Content-Length", "Bankside-Key", "a b", "", "x:"] {
            assert!(field_name(bad).is_err(), "{bad}");
        }
        assert_eq!(field_name("X-Api-Key").as_deref(), Ok("X-Api-Key"));
    }
}
