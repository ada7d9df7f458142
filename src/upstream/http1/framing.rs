//! The fields that frame a request's body (RFC 9112, section 6).

use crate::message::{Body, Fields, Size};

/// Makes the framing fields say what is sent. A line that says so already stays where it is, as it is.
pub(super) fn agree(fields: &mut Fields, body: &Body) {
    match body.size() {
        Size::Exact(_) if body.is_absent() => fields.retain(|name, _| !is_length(name) && !is_coding(name)),
        Size::Exact(length) => {
            let mut agrees = false;
            fields.retain(|name, value| {
                if is_length(name) && !agrees {
                    agrees = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()) == Some(length);
                    return agrees;
                }
                !is_length(name) && !is_coding(name)
            });
            if !agrees {
                fields.push("Content-Length", length.to_string());
            }
        }
        Size::Unknown => {
            let mut agrees = false;
            fields.retain(|name, value| {
                if is_coding(name) && !agrees {
                    agrees = value.eq_ignore_ascii_case(b"chunked");
                    return agrees;
                }
                !is_length(name) && !is_coding(name)
            });
            if !agrees {
                fields.push("Transfer-Encoding", "chunked");
            }
        }
    }
}

/// Whether an answer that has no content speaks of some. What follows may be that, and not the next answer.
pub(super) fn speaks_of_content(fields: &Fields) -> bool {
    fields.contains("transfer-encoding") || fields.get_all("content-length").any(|length| length != b"0")
}

fn is_length(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-length")
}

fn is_coding(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"transfer-encoding")
}
