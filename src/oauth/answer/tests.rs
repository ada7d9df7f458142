//! Answers as banks give them, and as nobody should.

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
    for ended in ["0", "-5", "\"0\"", "-0.5"] {
        assert_eq!(given(&format!(r#","expires_in":{ended}"#)).life, Some(Duration::from_mins(1)), "{ended}");
    }
    for senseless in ["null", "\"soon\"", "[1]", "\"NaN\""] {
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
    for not_a_scope in
        ["ais\\u001b]0;PWNED\\u0007", "a\\u0000", "\\u009b31m", "a\\u007f", "\\u202ea", "a\\\"b", "a\\\\b", "\u{e4}"]
    {
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
fn a_field_that_makes_the_answer_no_json_costs_no_token_of_the_bank_but_an_import_is_refused() {
    for odd in [r#""Jana \ud83d""#, "1e400", "\"a\nb\"", "NaN"] {
        let content = format!(r#"{{"psu_name":{odd},"access_token":"a","refresh_token":"r","expires_in":60}}"#);
        let tokens = read(&answer(200, &[], &content), NOW).unwrap();
        assert!(tokens.access.unwrap().matches(b"a") && tokens.refresh.unwrap().matches(b"r"), "{odd}");
        assert_eq!(tokens.life, Some(Duration::from_mins(1)));
        assert!(given(content.as_bytes()).is_err(), "a person can correct it");
    }
    assert!(is_object(br#"{"access_token":"a","refresh_token":"r""#), "cut behind the refresh token");
    assert!(!is_object(br#"{"access_token":"a","refresh_token":"r"#));
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
