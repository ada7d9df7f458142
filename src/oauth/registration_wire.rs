//! What a registration sends and what it reads, as the configuration declares it.

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value};

use crate::config::{HttpsUrl, Registration, RegistrationFormat};
use crate::message::{Body, Fields, Request};
use crate::words::{Secret, printable};

use super::registration_outcome::RegistrationReport;
use super::request::{Form, bare, post};
use super::{CallAnswer, json};

/// The credentials in an answer.
pub(super) struct Said {
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<Secret>,
}

/// The fields with their blanks filled in. `{scopes}` has spaces between; where it is all of a list's item, it is an item
/// for each.
pub(super) fn filled(
    fields: &Map<String, Value>,
    name: &str,
    redirect_uri: &str,
    scopes: &[String],
) -> Map<String, Value> {
    let blanks = Blanks { name, redirect_uri, scopes };
    fields.iter().map(|(field, value)| (field.clone(), blanks.fill(value))).collect()
}

struct Blanks<'a> {
    name: &'a str,
    redirect_uri: &'a str,
    scopes: &'a [String],
}

impl Blanks<'_> {
    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.fill_text(text).into(),
            Value::Array(items) => items.iter().flat_map(|item| self.fill_item(item)).collect(),
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(name, value)| (name.clone(), self.fill(value))).collect())
            }
            other => other.clone(),
        }
    }

    fn fill_item(&self, item: &Value) -> Vec<Value> {
        match item {
            Value::String(text) if text == "{scopes}" => self.scopes.iter().cloned().map(Value::from).collect(),
            other => vec![self.fill(other)],
        }
    }

    /// In one pass: what fills a blank is not looked at again.
    fn fill_text(&self, text: &str) -> String {
        let scopes = self.scopes.join(" ");
        let blanks = [("{name}", self.name), ("{redirect_uri}", self.redirect_uri), ("{scopes}", &scopes)];
        let (mut out, mut rest) = (String::new(), text);
        while let Some(start) = rest.find('{') {
            out.push_str(&rest[..start]);
            rest = &rest[start..];
            let (read, filler) = match blanks.iter().find(|(blank, _)| rest.starts_with(blank)) {
                Some((blank, filler)) => (blank.len(), *filler),
                None => (1, "{"),
            };
            out.push_str(filler);
            rest = &rest[read..];
        }
        out + rest
    }
}

/// The request that posts these fields.
pub(super) fn registration_request(url: &HttpsUrl, format: RegistrationFormat, fields: &Map<String, Value>) -> Request {
    match format {
        RegistrationFormat::Form => {
            let mut form = Form::default();
            fields.iter().for_each(|(name, value)| form.set(name, &as_form_value(value)));
            post(url, &form, &Fields::new())
        }
        RegistrationFormat::Json => {
            let body = Bytes::from(Value::Object(fields.clone()).to_string());
            let mut request = bare(Method::POST, url);
            request.fields.push("Content-Type", "application/json");
            request.fields.push("Content-Length", body.len().to_string());
            request.body = Body::full(body);
            request
        }
    }
}

/// A form has texts only: a list becomes its items with spaces between.
fn as_form_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(as_form_value).collect::<Vec<_>>().join(" "),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The credentials in the answer, where the configuration says that they are.
pub(super) fn said(registration: &Registration, answer: &CallAnswer) -> Said {
    let Some(object) = json::first::<Map<String, Value>>(&answer.body) else {
        return Said { client_id: None, client_secret: None };
    };
    let secret = json::first_text(&object, &registration.take_client_secret);
    Said {
        client_id: client_id(&object, &registration.take_client_id).filter(|id| json::is_whole(id, &answer.body)),
        client_secret: secret.filter(|secret| json::is_whole(secret, &answer.body)).map(Secret::from),
    }
}

/// RFC 6749 (appendix A.1) has no control characters in a client id: who is given one line gets one.
fn client_id(object: &Map<String, Value>, names: &[String]) -> Option<String> {
    json::first_text(object, names).filter(|id| !id.contains(char::is_control))
}

/// The applications in a list: an array, or the first one in an object.
pub(super) fn applications(registration: &Registration, answer: &CallAnswer) -> Option<Vec<RegistrationReport>> {
    let content: Value = json::first(&answer.body)?;
    let items = match &content {
        Value::Array(items) => items,
        Value::Object(fields) => fields.values().find_map(Value::as_array)?,
        _ => return None,
    };
    Some(items.iter().filter_map(|item| application(&registration.take_client_id, item)).collect())
}

fn application(take_client_id: &[String], item: &Value) -> Option<RegistrationReport> {
    let item = item.as_object()?;
    let named = |names: &[&str]| names.iter().find_map(|name| item.get(*name));
    Some(RegistrationReport {
        client_id: printable(&json::first_text(item, take_client_id)?),
        name: named(&["client_name", "clientName", "name"]).and_then(Value::as_str).map(printable),
        scopes: named(&["scopes", "scope"]).and_then(texts),
        at_bank: Some(true),
        registered_at: None,
        has_secret: false,
        in_use: false,
    })
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(text.split_ascii_whitespace().map(printable).collect()),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).map(printable).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fill(fields: Value, scopes: &[&str]) -> Value {
        let Value::Object(fields) = fields else { panic!("fields are an object") };
        let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
        Value::Object(filled(&fields, "A {scopes} app", "https://redirect.website/callback", &scopes))
    }

    #[test]
    fn blanks_are_filled_in_once_wherever_they_stand() {
        let fields =
            json!({"name": "{name}!", "uris": ["{redirect_uri}"], "deep": {"scope": "{scopes}"}, "n": 7, "x": "{"});
        assert_eq!(
            fill(fields, &["ais", "AIS: 7"]),
            json!({
                "name": "A {scopes} app!", "uris": ["https://redirect.website/callback"],
                "deep": {"scope": "ais AIS: 7"}, "n": 7, "x": "{",
            })
        );
    }

    #[test]
    fn scopes_that_are_all_of_an_item_are_an_item_each() {
        assert_eq!(fill(json!({"s": ["{scopes}", "x {scopes}"]}), &["a", "b"]), json!({"s": ["a", "b", "x a b"]}));
        assert_eq!(fill(json!({"s": ["{scopes}"]}), &[]), json!({"s": []}));
    }

    #[test]
    fn a_client_id_is_one_line_and_what_a_list_says_stays_visible_on_a_terminal() {
        let names = ["client_id".to_owned()];
        let id = |id: &str| client_id(json!({"client_id": id}).as_object().expect("an object"), &names);
        assert_eq!(id("a b").as_deref(), Some("a b"));
        for bad in ["ID\u{1b}[31m", "ID\nX", "ID\u{9b}", "\0", "a\u{7f}"] {
            assert_eq!(id(bad), None, "{bad:?}");
        }
        let item = json!({"client_id": "i\n", "client_name": "Acme\u{1b}[2J", "scopes": ["a\r\nb", "c"]});
        let told = application(&names, &item).expect("an application");
        assert_eq!((&*told.client_id, told.name.as_deref()), ("i\\u{a}", Some("Acme\\u{1b}[2J")));
        assert_eq!(told.scopes.as_deref(), Some(&["a\\u{d}\\u{a}b".to_owned(), "c".to_owned()][..]));
    }

    #[test]
    fn a_list_in_a_form_has_spaces_between_its_items() {
        assert_eq!(as_form_value(&json!(["a", "b c", 7])), "a b c 7");
        assert_eq!(as_form_value(&json!(true)), "true");
    }
}
