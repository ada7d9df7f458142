//! What can be saved of a token response that is no JSON as a whole. A name cut inside an emoji, a raw line break in an
//! address, or a lost last brace must not cost a refresh token that the bank has rotated.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The members of the object that the content begins with which are whole and JSON by themselves. `None` unless the
/// object's end is there, or at least its refresh token: what a bank gave before it broke off may be of no use.
pub(super) fn salvaged(content: &[u8]) -> Option<Map<String, Value>> {
    let text = Zeroizing::new(String::from_utf8_lossy(content).into_owned());
    let mut rest = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).strip_prefix('{')?;
    let mut members = Map::new();
    let has_end = loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.starts_with('}') {
            break true;
        }
        let Some((name, value, behind)) = member(rest) else { break false };
        if let (Ok(name), Ok(value)) = (serde_json::from_str(name), serde_json::from_str(value)) {
            members.insert(name, value);
        }
        rest = behind;
    };
    (has_end || members.get("refresh_token").is_some_and(Value::is_string)).then_some(members)
}

/// The next member: its name and its value as they are written, and what follows.
fn member(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_at(end_of_string(text)?);
    let rest = rest.trim_ascii_start().strip_prefix(':')?.trim_ascii_start();
    let (value, rest) = rest.split_at(end_of_value(rest)?);
    Some((name, value, rest))
}

/// Where the string ends that the text begins with, behind its closing quote.
fn end_of_string(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    bytes.next().filter(|(_, byte)| *byte == b'"')?;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    None
}

/// Where the value ends that the text begins with. Of a number or a word, what follows must be there: it may be cut.
fn end_of_value(text: &str) -> Option<usize> {
    match text.bytes().next()? {
        b'"' => end_of_string(text),
        b'{' | b'[' => end_of_nest(text),
        _ => text.find(|c: char| c.is_ascii_whitespace() || matches!(c, ',' | '}' | ']')),
    }
}

/// Where the object or array ends that the text begins with, however deep it is.
fn end_of_nest(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match text.as_bytes().get(at)? {
            b'"' => {
                at += end_of_string(&text[at..])?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refresh_token(content: &str) -> Option<String> {
        Some(salvaged(content.as_bytes())?.get("refresh_token")?.as_str()?.to_owned())
    }

    #[test]
    fn what_is_wrong_elsewhere_costs_no_refresh_token() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        for odd in
            [r#""Jana \ud83d""#, "1e400", &deep, "\"Street 1\nTown\"", "NaN", r#""O\'Neill""#, "tru", "\"\u{fffd}\""]
        {
            for content in [
                format!("{{\"odd\":{odd},\"refresh_token\":\"r1\",\"expires_in\":3600}}"),
                format!(" {{ \"refresh_token\" : \"r1\" , \"odd\" : {odd} ,}}"),
                format!("{{\"refresh_token\":\"r1\",\"odd\":{odd}"),
            ] {
                assert_eq!(refresh_token(&content).as_deref(), Some("r1"), "{content}");
            }
        }
    }

    #[test]
    fn what_is_cut_or_stands_deeper_is_not_taken() {
        for content in [
            "",
            "[]",
            "refresh_token",
            r#"{"refresh_token":"r1"#,
            r#"{"refresh_token":"r1\"}"#,
            r#"{"access_token":"a","expires_in":36"#,
            r#"{"data":{"refresh_token":"r1"}}"#,
            r#"{"odd":"{\"refresh_token\":\"r1\"}"}"#,
            r#"{"odd":["#,
        ] {
            assert_eq!(refresh_token(content), None, "{content}");
        }
        assert!(salvaged(br#"{"access_token":"a","expires_in":36"#).is_none(), "its refresh token may have followed");
        assert_eq!(salvaged(br#"{"refresh_token":"r","expires_in":36"#).unwrap().get("expires_in"), None);
    }

    proptest! {
        #[test]
        fn what_is_json_is_read_alike(name in "[a-z\"\\\\é]{0,6}", text in "\\PC{0,20}", number in any::<i64>()) {
            let value = serde_json::json!({ name: [{ "x": text.clone() }, number], "refresh_token": text, "n": number });
            prop_assert_eq!(Value::from(salvaged(value.to_string().as_bytes()).unwrap()), value);
        }

        #[test]
        fn nothing_breaks_it(content in proptest::collection::vec(any::<u8>(), 0..80), tail in "[\\[\\]{}\":,\\\\a1 ]{0,40}") {
            let _ = salvaged(&content);
            let _ = salvaged(format!("{{\"a\":{tail}").as_bytes());
        }
    }
}
