//! What of an interim answer goes on to the app.

use http::StatusCode;

use crate::message::Interim;

/// Whether it goes on at all: nothing that would end or turn the conversation.
pub(super) fn goes_on(interim: &Interim) -> bool {
    interim.status.is_informational() && interim.status != StatusCode::SWITCHING_PROTOCOLS
}

/// Whether a field of it ends here: it is for one connection only (RFC 9110, section 7.6.1), or frames content, of which
/// there is none.
pub(super) fn ends_here(interim: &Interim, name: &[u8]) -> bool {
    const ALWAYS: [&[u8]; 9] = [
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    ];
    ALWAYS.iter().any(|own| name.eq_ignore_ascii_case(own))
        || interim.fields.list("Connection").any(|option| option.eq_ignore_ascii_case(name))
}
