//! What is told of an answer without credentials: enough to mend the configuration by, and no secret.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::config::{HeaderTemplate, Registration};
use crate::oauth::{CallAnswer, json};
use crate::words::printable;

/// The longest explanation of the bank's that is passed on, in characters.
const LONGEST_WORDS: usize = 512;
/// How many of an answer's fields are named, and how many characters of each name.
const MOST_NAMES: (usize, usize) = (32, 64);
/// A shorter text is no secret, and would be found everywhere.
const SHORTEST_SECRET: usize = 4;

/// What came, for a person who has to say where the credentials are: the names of the fields, and never a value.
pub(in crate::oauth) fn outline(answer: &CallAnswer) -> String {
    let status = answer.status;
    let Some(object) = json::first::<Map<String, Value>>(&answer.body) else {
        return format!("{status}, and no JSON object");
    };
    let cut = |name: &String| printable(&name.chars().take(MOST_NAMES.1).collect::<String>());
    let names: Vec<String> = json::paths(&object).iter().take(MOST_NAMES.0).map(cut).collect();
    format!("{status} with the fields {}", if names.is_empty() { "(none)".to_owned() } else { names.join(", ") })
}

/// What the bank says for its refusal, unless that has a secret in it: one that was `sent`, or one that it gives.
pub(in crate::oauth) fn refusal(
    answer: &CallAnswer,
    registration: &Registration,
    sent: &[(String, HeaderTemplate)],
) -> String {
    let parsed = json::first::<Value>(&answer.body).filter(|value| value.is_object() || value.is_array());
    // As it is parsed, no escape hides a secret in it.
    let content = Zeroizing::new(match &parsed {
        Some(value) => value.to_string(),
        None => String::from_utf8_lossy(&answer.body).into_owned(),
    });
    let object = parsed.as_ref().and_then(Value::as_object);
    let gives = object.is_some_and(|it| json::first_text(it, &registration.take_client_secret).is_some());
    let words = match object {
        _ if gives || repeats(&content, sent) => None,
        Some(object) => explained(object).or_else(|| Some(content.to_string())),
        None => Some(content.to_string()),
    };
    let words: Vec<&str> = words.iter().flat_map(|words| words.split_whitespace()).collect();
    let words: String = words.join(" ").chars().take(LONGEST_WORDS).collect();
    let parts = [answer.status.to_string(), printable(&words)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// An explanation in the field that it usually has, with the error code before it.
fn explained(object: &Map<String, Value>) -> Option<String> {
    let word = |name| object.get(name).and_then(Value::as_str);
    let words = ["error_description", "message", "description", "detail"].into_iter().find_map(word)?;
    Some([word("error"), Some(words)].into_iter().flatten().collect::<Vec<_>>().join(": "))
}

/// Whether a content has a configured field line's value in it, or a long word of one.
fn repeats(content: &str, sent: &[(String, HeaderTemplate)]) -> bool {
    let bare =
        |text: &str| Zeroizing::new(text.chars().filter(|c| !c.is_whitespace() && *c != '\\').collect::<String>());
    let content = bare(content);
    let values = sent.iter().filter_map(|(_, HeaderTemplate(value))| value.expose_str());
    values.flat_map(|value| value.split("{uuid}")).any(|part| {
        let words = part.split_whitespace().filter(|word| word.len() >= 2 * SHORTEST_SECRET);
        words.chain([part]).map(bare).any(|text| text.len() >= SHORTEST_SECRET && content.contains(text.as_str()))
    })
}
