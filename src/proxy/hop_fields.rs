//! Fields that go no further: those that are for one connection only, and the app's words to the sidecar.

use http::Version;

use crate::message::{Fields, Request};

/// Whether the app asks for trailers, which come through: then the bank is asked, too (RFC 9110, section 10.1.4). HTTP/2
/// knows no `Connection`.
pub(super) fn wants_trailers(request: &Request) -> bool {
    request.fields.contains("TE")
        && request.fields.list("TE").any(|coding| is(coding, "trailers"))
        && (request.version == Version::HTTP_2 || request.fields.list("Connection").any(|option| is(option, "TE")))
}

/// Takes out the fields that are for one connection only (RFC 9110, section 7.6.1), those that `Connection` names too.
pub(super) fn strip_hop_by_hop(fields: &mut Fields) {
    let named = named_by_connection(fields);
    fields.retain(|name, _| !is_of_the_hop(name, &named));
}

pub(super) fn named_by_connection(fields: &Fields) -> Vec<Vec<u8>> {
    let options = fields.list("Connection").filter(|option| !is(option, "close") && !is(option, "keep-alive"));
    options.map(<[u8]>::to_vec).collect()
}

pub(super) fn is_of_the_hop(name: &[u8], named: &[Vec<u8>]) -> bool {
    // Most names have another length than any of these.
    let is_one = match name.len() {
        2 => is(name, "te"),
        7 => is(name, "upgrade"),
        10 => is(name, "connection") || is(name, "keep-alive"),
        16 => is(name, "proxy-connection"),
        17 => is(name, "transfer-encoding"),
        18 => is(name, "proxy-authenticate"),
        19 => is(name, "proxy-authorization"),
        _ => false,
    };
    is_one || named.iter().any(|option| option.eq_ignore_ascii_case(name))
}

/// The app's words to the sidecar, which are no business of the bank's: a key that is misspelt is a key all the same.
pub(super) fn is_ours(name: &[u8]) -> bool {
    const WORD: &[u8] = b"bankside";
    // Most names begin with another letter.
    matches!(name, [b'b' | b'B', ..])
        && name.split_at_checked(WORD.len()).is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(WORD) && rest.first().is_some_and(|byte| !byte.is_ascii_alphanumeric())
        })
}

pub(super) fn is(name: &[u8], other: &str) -> bool {
    name.eq_ignore_ascii_case(other.as_bytes())
}
