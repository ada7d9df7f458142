//! What the browser comes back with (RFC 6749, sections 4.1.2 and 4.1.2.1; RFC 9207).

use aws_lc_rs::digest;

use crate::words::{Hex, Secret};

use super::answer::is_code;

/// A callback address, read.
#[derive(Debug)]
pub(super) struct Callback {
    /// Absent only where the bank reports an error without it.
    pub(super) state: Option<String>,
    /// The authorization code, or the error code.
    pub(super) outcome: Result<Secret, String>,
    /// Who says so (RFC 9207).
    pub(super) iss: Option<String>,
}

impl Callback {
    /// Reads a whole address as it was pasted, or only its query.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        let query = text.split_once('?').map_or(text, |(_, query)| query);
        let (mut state, mut code, mut error, mut iss) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "state" => &mut state,
                "code" => &mut code,
                "error" => &mut error,
                "iss" => &mut iss,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err("a parameter appears twice");
            }
        }
        let outcome = match (code.filter(|code| !code.is_empty()), error) {
            (_, Some(error)) => Err(if is_code(&error) { error } else { "an error that has no proper name".into() }),
            (Some(code), None) => Ok(Secret::from(code)),
            (None, None) => return Err("it has neither `code` nor `error`"),
        };
        if outcome.is_ok() && state.is_none() {
            return Err("it has no `state`");
        }
        Ok(Self { state, outcome, iss })
    }
}

/// The name under which an attempt is kept: the state itself is only in the browser.
pub(super) fn hash(state: impl AsRef<[u8]>) -> String {
    Hex(digest::digest(&digest::SHA256, state.as_ref()).as_ref()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pasted_address_or_its_query_alone_is_read() {
        for text in [
            "https://redirect.website/callback?code=x%2F1&state=s+1",
            " ?code=x%2F1&state=s+1\n",
            "code=x%2F1&state=s+1#_=_",
            "/callback?session=7&state=s+1&code=x%2F1",
        ] {
            let callback = Callback::parse(text).unwrap();
            assert!(callback.outcome.unwrap().matches(b"x/1"), "{text}");
            assert_eq!(callback.state.as_deref(), Some("s 1"));
        }
    }

    #[test]
    fn a_banks_error_is_told_by_its_name_even_without_a_state() {
        let callback = Callback::parse("?error=access_denied&error_description=no&iss=https://bank.example").unwrap();
        assert_eq!(callback.outcome.unwrap_err(), "access_denied");
        assert_eq!(callback.iss.as_deref(), Some("https://bank.example"));
        let strange = Callback::parse("?error=%3Cscript%3E&state=s").unwrap();
        assert!(!strange.outcome.unwrap_err().contains('<'));
    }

    #[test]
    fn what_is_no_callback_is_refused() {
        for text in ["", "https://redirect.website/callback", "?state=s", "?code=c", "?code=&state=s"] {
            assert!(Callback::parse(text).is_err(), "{text}");
        }
        for twice in ["?code=a&code=b&state=s", "?code=a&state=s&state=t"] {
            assert_eq!(Callback::parse(twice).unwrap_err(), "a parameter appears twice");
        }
    }

    #[test]
    fn a_state_is_kept_by_its_sha_256() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*") {
            let _ = Callback::parse(&text);
        }
    }
}
