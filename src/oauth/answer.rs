//! The token endpoint's answers (RFC 6749, sections 5.1 and 5.2), read leniently: a token that is there is taken.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use zeroize::Zeroizing;

use crate::message::Fields;
use crate::words::{Secret, Timestamp};

use super::CallAnswer;

/// Longer lives than this are taken for this: it is beyond any consent.
const LONGEST_LIFE: f64 = 100.0 * 365.0 * 86_400.0;
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
        return given(&answer.body).map_err(refusal);
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
    let object = object(content)?;
    object.get("error")?.as_str().filter(|code| is_code(code)).map(str::to_owned)
}

/// Reads the content of a token response.
pub(super) fn given(content: &[u8]) -> Result<Given, &'static str> {
    let mut object = object(content).ok_or("it is not a JSON object")?;
    // What cannot stand in a field line must never get there. The refresh token may be good all the same.
    let access =
        take_text(&mut object, "access_token").filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    let is_text = std::str::from_utf8(content).is_ok();
    let refresh = take_text(&mut object, "refresh_token").filter(|token| is_text || !token.contains('\u{fffd}'));
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

/// The first JSON value of the content, if it is an object. What cannot be read as UTF-8 stands in some other field than a
/// token's, and what follows the object is nobody's: neither may cost a refresh token that the bank has rotated.
fn object(content: &[u8]) -> Option<Map<String, Value>> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let text = Zeroizing::new(String::from_utf8_lossy(content).into_owned());
    serde_json::Deserializer::from_str(&text).into_iter().next()?.ok()
}

/// Whether the content is, or begins with, a whole JSON object.
pub(super) fn is_object(content: &[u8]) -> bool {
    object(content).is_some()
}

fn take_text(object: &mut Map<String, Value>, name: &str) -> Option<String> {
    match object.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// A number, or a string that is one. What is not positive says nothing: a token that ended before it came is none.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }?;
    (seconds > 0.0).then(|| Duration::try_from_secs_f64(seconds.min(LONGEST_LIFE)).ok()).flatten()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    const NOW: Timestamp = Timestamp::from_millis(784_111_770_000);

    fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> CallAnswer {
        let mut lines = Fields::new();
        for (name, value) in fields {
            lines.push(name, value);
        }
        let status = StatusCode::from_u16(status).unwrap();
        CallAnswer { status, fields: lines, body: Zeroizing::new(body.into()) }
    }

    fn refusal(status: u16, fields: &[(&str, &str)], body: &str) -> Refusal {
        read(&answer(status, fields, body), NOW).unwrap_err()
    }

    #[test]
    fn a_token_answer_is_read_as_the_rfc_has_it() {
        let body = r#"{"token_type":"Bearer","expires_in":86400,"access_token":"eyJ0","refresh_token":"def502",
                       "scope":"ais pis"}"#;
        let given = read(&answer(200, &[], body), NOW).unwrap();
        assert!(given.access.unwrap().matches(b"eyJ0"));
        assert!(given.refresh.unwrap().matches(b"def502"));
        assert_eq!(given.life, Some(Duration::from_hours(24)));
        assert_eq!(given.scopes.unwrap(), ["ais", "pis"]);
    }

    #[test]
    fn what_an_answer_leaves_out_or_writes_in_its_own_way_costs_no_token() {
        let given =
            |rest: &str| read(&answer(201, &[], &format!("\u{feff}{{\"access_token\":\"a\"{rest}}}")), NOW).unwrap();
        assert_eq!(given("").life, None);
        assert!(given("").refresh.is_none() && given("").scopes.is_none());
        assert_eq!(given(r#","expires_in":"300""#).life, Some(Duration::from_mins(5)));
        assert_eq!(given(r#","expires_in":299.5"#).life, Some(Duration::from_millis(299_500)));
        assert_eq!(given(r#","expires_in":1e300"#).life, Some(Duration::from_secs_f64(LONGEST_LIFE)));
        for senseless in ["0", "-5", "null", "\"soon\"", "[1]", "\"NaN\""] {
            assert_eq!(given(&format!(r#","expires_in":{senseless}"#)).life, None, "{senseless}");
        }
        assert!(given(r#","token_type":"mac","refresh_token":null,"scope":7"#).access.is_some());
        assert_eq!(given(r#","scope":["a b","c"]"#).scopes.unwrap(), ["a b", "c"]);
    }

    #[test]
    fn what_cannot_be_a_scope_is_none() {
        let scopes = |json: &str| {
            given(format!(r#"{{"access_token":"a","scope":{json}}}"#).as_bytes()).map(|given| given.scopes).unwrap()
        };
        for not_a_scope in [
            "ais\\u001b]0;PWNED\\u0007",
            "a\\u0000",
            "\\u009b31m",
            "a\\u007f",
            "\\u202ea",
            "a\\\"b",
            "a\\\\b",
            "\u{e4}",
        ] {
            assert_eq!(scopes(&format!(r#""pis {not_a_scope}""#)).unwrap(), ["pis"], "{not_a_scope}");
            assert_eq!(scopes(&format!(r#"["pis","{not_a_scope}"]"#)).unwrap(), ["pis"], "{not_a_scope}");
            assert_eq!(scopes(&format!(r#""{not_a_scope}""#)), None, "{not_a_scope}");
        }
        assert_eq!(scopes(r#""!#$%[]^~ a:b/c""#).unwrap(), ["!#$%[]^~", "a:b/c"]);
    }

    #[test]
    fn an_access_token_that_would_break_a_field_line_is_not_taken_but_the_refresh_token_is() {
        let given = given(br#"{"access_token":"a\r\nX: y","refresh_token":"r"}"#).unwrap();
        assert!(given.access.is_none() && given.refresh.is_some());
    }

    #[test]
    fn what_is_wrong_beside_the_tokens_costs_none_of_them() {
        let latin = b"{\"name\":\"J\xf6rg\",\"access_token\":\"a\",\"refresh_token\":\"r\"}";
        let behind = b"{\"access_token\":\"a\",\"refresh_token\":\"r\"}\0\r\n;";
        for content in [&latin[..], behind] {
            let given = given(content).unwrap();
            assert!(given.access.unwrap().matches(b"a") && given.refresh.unwrap().matches(b"r"));
        }
    }

    #[test]
    fn an_error_that_comes_with_a_status_of_success_is_one() {
        let refusal = refusal(200, &[], r#"{"error":"invalid_grant"}"#);
        assert!(matches!(&refusal, Refusal::Error { code, .. } if code == "invalid_grant") && refusal.ends_a_grant());
        assert!(read(&answer(200, &[], r#"{"error":"","access_token":"a"}"#), NOW).is_ok());
    }

    #[test]
    fn a_success_that_cannot_be_read_is_told_from_a_failure() {
        for body in ["", "<html>ok</html>", "[]", "{}", r#"{"access_token":7}"#, r#"{"access_token":""#] {
            assert_eq!(refusal(200, &[], body), Refusal::Unreadable { status: StatusCode::OK }, "{body}");
        }
    }

    #[test]
    fn only_the_codes_that_mean_it_end_a_grant() {
        let ends = |status, code| refusal(status, &[], &format!(r#"{{"error":"{code}"}}"#)).ends_a_grant();
        assert!(ends(400, "invalid_grant") && ends(401, "invalid_grant") && ends(401, "invalid_request"));
        assert!(!ends(400, "invalid_request") && !ends(401, "invalid_client") && !ends(400, "invalid_scope"));
        assert!(!ends(500, "invalid_grant") && !ends(429, "invalid_grant") && !ends(302, "invalid_grant"));
    }

    #[test]
    fn everything_else_is_not_now() {
        for (status, body) in
            [(500, "{}"), (503, "<html>"), (400, "<html>invalid_grant"), (404, ""), (302, ""), (429, "{}")]
        {
            assert!(matches!(refusal(status, &[], body), Refusal::NotNow { retry_after: None, .. }), "{status}");
        }
    }

    #[test]
    fn an_error_code_that_could_be_a_secret_or_break_a_log_line_is_not_passed_on() {
        for code in ["invalid_grant\\nX", "the token def502 is bad", &"a".repeat(65), ""] {
            let refusal = refusal(400, &[], &format!(r#"{{"error":"{code}"}}"#));
            assert!(matches!(refusal, Refusal::NotNow { .. }), "{code}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after_status = |status, value: &str| match refusal(status, &[("Retry-After", value)], "") {
            Refusal::NotNow { retry_after, .. } => retry_after.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        };
        let after = |value| after_status(429, value);
        assert_eq!((after_status(503, "5"), after_status(503, "7")), (Some(5), Some(6)));
        assert_eq!(after("7"), Some(7));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0));
        for bad in ["-1", "soon", "", "7.5"] {
            assert_eq!(after(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_content_makes_the_reader_panic_or_quote_it(
            status in 100u16..600, content in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut answer = answer(200, &[], "");
            answer.status = StatusCode::from_u16(status).unwrap();
            answer.body = Zeroizing::new(content);
            if let Err(Refusal::Error { code, .. }) = read(&answer, NOW) {
                prop_assert!(is_code(&code));
            }
        }

        #[test]
        fn any_token_of_visible_characters_comes_through_unchanged(
            access in "[\\x21-\\x7e]{1,80}", refresh in "\\PC{1,80}", life in 1u32..3_000_000_000,
        ) {
            let json = serde_json::json!({"access_token": access, "refresh_token": refresh, "expires_in": life});
            let given = given(json.to_string().as_bytes()).unwrap();
            prop_assert!(given.access.unwrap().matches(access.as_bytes()));
            prop_assert!(given.refresh.unwrap().matches(refresh.as_bytes()));
            prop_assert_eq!(given.life, Some(Duration::from_secs(life.into())));
        }
    }
}
