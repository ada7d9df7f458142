//! The token endpoint's answers (RFC 6749, sections 5.1 and 5.2), read leniently: a token that is there is taken.

#[cfg(test)]
mod tests;

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::message::Fields;
use crate::words::{Secret, Timestamp};

use super::salvage::salvaged;
use super::{CallAnswer, json};

/// Longer lives than this are taken for this: it is beyond any consent.
const LONGEST_LIFE: f64 = 100.0 * 365.0 * 86_400.0;
/// The life of a token that is said to have ended: short, and long enough for a bank that always says so.
const ENDED_LIFE: Duration = Duration::from_mins(1);
/// The longest that is waited because an endpoint that fails says so: after its recovery callers are served within 10 s.
const LONGEST_GUESS: Duration = Duration::from_secs(6);
/// The longest error code that is passed on to logs.
const LONGEST_CODE: usize = 64;

/// Tokens as the bank gave them.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Absent where there was none that can be sent.
    pub(super) access: Option<Secret>,
    pub(super) refresh: Option<Secret>,
    /// `None` where the bank did not say.
    pub(super) life: Option<Duration>,
    /// `None` where the bank did not say: they are those that were asked for.
    pub(super) scopes: Option<Vec<String>>,
}

/// Why an answer holds no token. No part of the answer's content is in it but a checked error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// An error as RFC 6749 defines them.
    Error { status: StatusCode, code: String },
    /// The endpoint fails, or somebody before it answers.
    NotNow { status: StatusCode, retry_after: Option<Duration> },
    /// A success that cannot be read: the bank may have spent the refresh token.
    Unreadable { status: StatusCode },
}

impl Refusal {
    /// Whether it says that a refresh token is good for nothing any more. Some servers (thephpleague/oauth2-server
    /// before version 9) say 401 `invalid_request` for that.
    pub(super) fn ends_a_grant(&self) -> bool {
        match self {
            Self::Error { status, code } => {
                code == "invalid_grant" || (*status == StatusCode::UNAUTHORIZED && code == "invalid_request")
            }
            _ => false,
        }
    }
}

/// Reads the answer to a token request at `now`.
pub(super) fn read(answer: &CallAnswer, now: Timestamp) -> Result<Given, Refusal> {
    let status = answer.status;
    let not_now = || Refusal::NotNow { status, retry_after: wait_for(status, &answer.fields, now) };
    let code = || error_code(&answer.body);
    if status.is_success() {
        let refusal = |_| code().map_or(Refusal::Unreadable { status }, |code| Refusal::Error { status, code });
        return given(&answer.body).or_else(|error| saved(&answer.body).ok_or(error)).map_err(refusal);
    }
    if !status.is_client_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT {
        return Err(not_now());
    }
    Err(code().map_or_else(not_now, |code| Refusal::Error { status, code }))
}

/// How long the endpoint asks to be left alone. One that has too many requests knows it; one that fails guesses, and may be
/// well again sooner.
fn wait_for(status: StatusCode, fields: &Fields, now: Timestamp) -> Option<Duration> {
    let asked = retry_after(fields, now);
    if status == StatusCode::TOO_MANY_REQUESTS { asked } else { asked.map(|wait| wait.min(LONGEST_GUESS)) }
}

/// What is wrong, as RFC 6749 (section 5.2) has it said. Some servers say it with a status of success.
fn error_code(content: &[u8]) -> Option<String> {
    let object: Map<String, Value> = json::first(content)?;
    object.get("error")?.as_str().filter(|code| is_code(code)).map(str::to_owned)
}

/// Reads the content of a token response.
pub(super) fn given(content: &[u8]) -> Result<Given, &'static str> {
    members(json::first(content).ok_or("it is not a JSON object")?, content)
}

/// Reads content that is no JSON as a whole, as far as it is good.
fn saved(content: &[u8]) -> Option<Given> {
    members(salvaged(content)?, content).ok()
}

fn members(mut object: Map<String, Value>, content: &[u8]) -> Result<Given, &'static str> {
    // What cannot stand in a field line must never get there. The refresh token may be good all the same.
    let access =
        take_text(&mut object, "access_token").filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    let refresh = take_text(&mut object, "refresh_token").filter(|token| json::is_whole(token, content));
    if access.is_none() && refresh.is_none() {
        return Err("it has no access_token that can be sent");
    }
    Ok(Given {
        access: access.map(Secret::from),
        refresh: refresh.map(Secret::from),
        life: object.get("expires_in").and_then(seconds),
        scopes: scopes(object.get("scope")),
    })
}

/// Whether content that broke off is, or begins with, a whole JSON object, or has a refresh token at least.
pub(super) fn is_object(content: &[u8]) -> bool {
    json::first::<Map<String, Value>>(content).is_some() || salvaged(content).is_some()
}

fn take_text(object: &mut Map<String, Value>, name: &str) -> Option<String> {
    match object.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// A number, or a string that is one. What is not positive says that the token has ended, as that of a bank which gives the
/// same one again until its end; but some write 0 for what they do not know.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }?;
    let life = if seconds <= 0.0 { ENDED_LIFE.as_secs_f64() } else { seconds.clamp(0.0, LONGEST_LIFE) };
    Duration::try_from_secs_f64(life).ok()
}

fn scopes(value: Option<&Value>) -> Option<Vec<String>> {
    let scopes: Vec<String> = match value? {
        Value::String(text) => {
            text.split_ascii_whitespace().filter(|scope| is_scope(scope)).map(str::to_owned).collect()
        }
        Value::Array(list) => {
            list.iter().filter_map(Value::as_str).filter(|scope| is_scope(scope)).map(str::to_owned).collect()
        }
        _ => return None,
    };
    (!scopes.is_empty()).then_some(scopes)
}

/// Whether these are the characters of a scope (RFC 6749, section 3.3). Some banks have scopes with spaces, in a list.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

/// Whether a text looks like an error code: those of the RFC and of its extensions are short and plain.
pub(super) fn is_code(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    !text.is_empty() && text.len() <= LONGEST_CODE && text.bytes().all(plain)
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
pub(super) fn retry_after(fields: &Fields, now: Timestamp) -> Option<Duration> {
    let text = std::str::from_utf8(fields.get("retry-after")?).ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(date(text)?.since(now))
}

/// A date of HTTP (RFC 9110, section 5.6.7).
pub(super) fn date(text: &str) -> Option<Timestamp> {
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    Some(Timestamp::from_millis(date.unix_timestamp().saturating_mul(1000)))
}
