//! From raw to valid: how an app is registered, and the blanks in what is sent.

use http::Method;
use serde_json::Value as Json;

use super::collection::OneOrMany;
use super::raw_bank::RawRegistration;
use super::reader::{Field, Located, Reader};
use super::{Place, Registration};

/// The registration, where there is one and it is valid.
pub(super) fn registration(raw: Field<RawRegistration>, reader: &mut Reader<'_>) -> Option<Registration> {
    let Field::Given(Located { place, value: raw }) = raw else { return None };
    let url = reader.need(raw.url, &place, "url", "say where a registration is posted");
    let mut fields = raw.fields.value.0;
    // No other value can take back what the profile says.
    fields.retain(|_, value| value.as_str() != Some(""));
    for value in fields.values() {
        note_unknown_blanks_in(value, &raw.fields.place, reader);
    }
    let names = |many: OneOrMany<String>| many.0.into_iter().map(|name| name.value).collect();
    let take = raw.take.value;
    Some(Registration {
        place,
        url: url?,
        format: raw.format.value,
        fields,
        take_client_id: names(take.client_id.value),
        take_client_secret: names(take.client_secret.value),
        renew: raw.renew_url.take().map(|url| (Method::POST, url.0)),
        list: raw.list_url.take(),
        delete: raw.delete_url.take().map(|url| url.0),
    })
}

fn note_unknown_blanks_in(value: &Json, place: &Place, reader: &mut Reader<'_>) {
    match value {
        Json::String(text) => note_unknown_blanks(text, &["name", "redirect_uri", "scopes"], place, reader),
        Json::Array(items) => items.iter().for_each(|item| note_unknown_blanks_in(item, place, reader)),
        Json::Object(fields) => fields.values().for_each(|field| note_unknown_blanks_in(field, place, reader)),
        _ => {}
    }
}

/// Notes a `{word}` that nothing fills in: it would go to the bank as it is.
pub(super) fn note_unknown_blanks(text: &str, known: &[&str], place: &Place, reader: &mut Reader<'_>) {
    let mut rest = text;
    while let Some((_, tail)) = rest.split_once('{') {
        rest = tail;
        let Some((word, _)) = tail.split_once('}') else { return };
        let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if is_word && !known.contains(&word) {
            let names: Vec<_> = known.iter().map(|name| format!("{{{name}}}")).collect();
            reader.error(place, "has a blank that nothing fills in", format!("known here: {}", names.join(", ")));
        }
    }
}
