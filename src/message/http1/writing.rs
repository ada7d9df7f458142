//! Heads of requests and responses (RFC 9112, sections 3 to 5), written as they are.

use http::{Method, StatusCode};

use crate::message::Fields;

/// Writes a request's head, for HTTP/1.1.
pub fn write_request_head(out: &mut Vec<u8>, method: &Method, target: &[u8], fields: &Fields) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_fields(out, fields);
}

/// Writes a response's head. Its version is ours, HTTP/1.1, whatever the other side speaks (RFC 9110, section 2.5).
pub fn write_response_head(out: &mut Vec<u8>, status: StatusCode, reason: &[u8], fields: &Fields) {
    write_status_line(out, status, reason);
    write_fields(out, fields);
}

/// Writes a status line, of HTTP/1.1. Field lines and an empty line follow.
pub fn write_status_line(out: &mut Vec<u8>, status: StatusCode, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Writes a field line.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a field section and the empty line that ends it.
pub(super) fn write_fields(out: &mut Vec<u8>, fields: &Fields) {
    for (name, value) in fields.iter() {
        write_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}
