//! Why the bank refuses the step before the authorization, in its own words.

use serde_json::{Map, Value};

use crate::config::{HeaderTemplate, Session};
use crate::oauth::answer::is_code;
use crate::oauth::{CallAnswer, json};
use crate::words::printable;

/// The longest explanation of the bank's that is passed on.
const LONGEST_WORDS: usize = 200;
/// What is shorter stands in too many texts to be told from chance.
const SHORTEST_SECRET: usize = 4;

/// The status, and what the bank says for it: an error code, and words that repeat nothing of what may be a secret.
pub(super) fn refusal(answer: &CallAnswer, step: &Session, headers: &[(String, HeaderTemplate)]) -> String {
    let object: Map<String, Value> = json::first(&answer.body).unwrap_or_default();
    let word = |name: &str| object.get(name).and_then(Value::as_str);
    let is_safe = |text: &&str| !repeats_a_secret(text, step, headers);
    let code = word("error").filter(|code| is_code(code)).filter(is_safe);
    let words = ["error_description", "message", "description", "detail"].into_iter().find_map(word).filter(is_safe);
    let words = words.map(|words| printable(&words.chars().take(LONGEST_WORDS).collect::<String>()));
    let parts = [Some(answer.status.to_string()), code.map(str::to_owned), words];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// Field lines hold keys, perhaps behind a scheme's name, and so may what is sent beside the client's id.
fn repeats_a_secret(text: &str, step: &Session, headers: &[(String, HeaderTemplate)]) -> bool {
    let params = step.params.values().filter(|value| !value.contains("{client_id}")).map(String::as_str);
    let lines = headers.iter().filter_map(|(_, HeaderTemplate(value))| value.expose_str());
    params
        .chain(lines)
        .flat_map(str::split_ascii_whitespace)
        .any(|secret| secret.len() >= SHORTEST_SECRET && text.contains(secret))
}
