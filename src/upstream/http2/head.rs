//! Heads between field lines and HTTP/2's field sections (RFC 9113, section 8).

#[cfg(test)]
mod tests;

use http::{Method, StatusCode};

use crate::message::http2::hpack::{Sensitivity, index, write_field, write_indexed, write_named};
use crate::message::{Fields, Request, Size};
use crate::upstream::Failure;

/// So large a field section is taken, as the standard counts it (RFC 9113, section 6.5.2).
const MOST_BYTES: usize = MOST_BYTES_TOLD as usize;
/// The same as it is told.
pub(super) const MOST_BYTES_TOLD: u32 = 72 * 1024;
/// What each line counts beside its text.
const LINE: usize = 32;

/// Writes the head of `request`. The target goes byte for byte into `:path`, `Host` into `:authority`; the length is told
/// where it is known. What has been written when this fails is of no use.
pub(super) fn write_request(out: &mut Vec<u8>, request: &Request) -> Result<(), Failure> {
    let authority = request.fields.get("host").ok_or(Failure::Unsendable("there is no Host"))?;
    if authority.is_empty() || !are_all(authority, AUTHORITY) {
        return Err(Failure::Unsendable("the Host is not a host with a port"));
    }
    let target = &request.target[..];
    if !(target == b"*" || target.starts_with(b"/")) || !is_path(target) {
        return Err(Failure::Unsendable("the target is not one of HTTP/2"));
    }
    match request.method {
        Method::GET => write_indexed(out, index::METHOD_GET),
        Method::POST => write_indexed(out, index::METHOD_POST),
        _ => write_named(out, index::METHOD_GET, request.method.as_str().as_bytes(), Sensitivity::Usual),
    }
    write_indexed(out, index::SCHEME_HTTPS);
    write_named(out, index::AUTHORITY, authority, Sensitivity::Usual);
    write_named(out, index::PATH, target, Sensitivity::Usual);
    write_fields(out, &request.fields)?;
    if let Size::Exact(length) = request.body.size()
        && !request.body.is_absent()
    {
        write_named(out, index::CONTENT_LENGTH, length.to_string().as_bytes(), Sensitivity::Usual);
    }
    Ok(())
}

/// Writes a trailer section. What has no place there is left out.
pub(super) fn write_trailers(out: &mut Vec<u8>, fields: &Fields) {
    for (name, value) in fields.iter() {
        if is_name(name) && is_value(value) && !is_of_http1(name) {
            write_field(out, name, value, Sensitivity::Usual);
        }
    }
}

/// Writes the lines of `fields` but for those that only HTTP/1.1 has, and for those that are written apart.
fn write_fields(out: &mut Vec<u8>, fields: &Fields) -> Result<(), Failure> {
    for (name, value) in fields.iter() {
        if !is_name(name) {
            return Err(Failure::Unsendable("a field's name is not a token"));
        }
        if !is_value(value) {
            return Err(Failure::Unsendable("a field's value has a control character"));
        }
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            2 if is("te") && value != b"trailers" => {}
            4 if is("host") => {}
            14 if is("content-length") => {}
            13 if is("authorization") => write_named(out, index::AUTHORIZATION, value, Sensitivity::NeverIndexed),
            _ if is_of_http1(name) => {}
            _ => write_field(out, name, value, Sensitivity::Usual),
        }
    }
    Ok(())
}

/// Whether HTTP/2 has no such field (RFC 9113, section 8.2.2).
fn is_of_http1(name: &[u8]) -> bool {
    let other = match name.len() {
        7 => "upgrade",
        10 if name[0] | 0x20 == b'k' => "keep-alive",
        10 => "connection",
        16 => "proxy-connection",
        17 => "transfer-encoding",
        _ => return false,
    };
    name.eq_ignore_ascii_case(other.as_bytes())
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) fields: Fields,
}

/// Takes the lines of an answer's head or trailers in, and sees to it that they are such (RFC 9113, section 8.3.2).
pub(super) struct Reader {
    status: Option<StatusCode>,
    fields: Fields,
    left: usize,
    wrong: Option<&'static str>,
}

impl Reader {
    /// With room for a section that has so many bytes as it comes.
    pub(super) fn new(bytes: usize) -> Self {
        let fields = Fields::with_capacity(16, 2 * bytes.min(MOST_BYTES));
        Self { status: None, fields, left: MOST_BYTES, wrong: None }
    }

    /// The next line.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        if self.wrong.is_some() {
            return;
        }
        let Some(left) = self.left.checked_sub(name.len() + value.len() + LINE) else {
            self.wrong = Some("its field section is too large");
            return;
        };
        self.left = left;
        self.wrong = match name {
            b":status" if self.status.is_none() && self.fields.is_empty() => {
                self.status = StatusCode::from_bytes(value).ok();
                self.status.is_none().then_some("its status is not one")
            }
            [b':', ..] => Some("it has a pseudo-header field where there is none"),
            _ if name.is_empty() || !are_all(name, LOWER_NAME) => Some("a field's name is not a token"),
            _ if !is_value(value) => Some("a field's value has a control character"),
            _ if is_of_http1(name) => Some("it has a field of HTTP/1.1's connections"),
            _ => {
                self.fields.push(name, value.trim_ascii());
                None
            }
        };
    }

    /// The head that they make.
    pub(super) fn into_head(self) -> Result<Head, &'static str> {
        match (self.wrong, self.status) {
            (Some(wrong), _) => Err(wrong),
            (None, None) => Err("it has no status"),
            (None, Some(status)) => Ok(Head { status, fields: self.fields }),
        }
    }

    /// The trailers that they make.
    pub(super) fn into_trailers(self) -> Result<Fields, &'static str> {
        match (self.wrong, self.status) {
            (Some(wrong), _) => Err(wrong),
            (None, Some(_)) => Err("its trailers have a status"),
            (None, None) => Ok(self.fields),
        }
    }
}

/// Classes of characters.
const NAME: u8 = 1;
const LOWER_NAME: u8 = 2;
const AUTHORITY: u8 = 4;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        classes[byte] = NAME | LOWER_NAME | AUTHORITY;
        byte += 1;
    }
    let classes = without(classes, b"\"(),/:;<=>?@[\\]{}", NAME | LOWER_NAME);
    let classes = without(classes, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", LOWER_NAME);
    without(classes, b"#<>\"/?@\\^`{|}", AUTHORITY)
}

const fn without(mut classes: [u8; 256], bytes: &[u8], class: u8) -> [u8; 256] {
    let mut at = 0;
    while at < bytes.len() {
        classes[bytes[at] as usize] &= !class;
        at += 1;
    }
    classes
}

fn are_all(text: &[u8], class: u8) -> bool {
    text.iter().all(|&byte| CLASSES[usize::from(byte)] & class != 0)
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && are_all(name, NAME)
}

/// No control characters but the tab, as in HTTP/1.1 (RFC 9110, section 5.5). A token is long: all of it is looked at,
/// many bytes at a time.
#[expect(clippy::needless_bitwise_bool, reason = "without branches, many bytes are looked at in one step")]
fn is_value(value: &[u8]) -> bool {
    value.iter().fold(true, |is, &byte| is & (((byte >= 0x20) & (byte != 0x7f)) | (byte == 0x09)))
}

/// What looks like a fragment would be taken for one.
#[expect(clippy::needless_bitwise_bool, reason = "as above")]
fn is_path(path: &[u8]) -> bool {
    path.iter()
        .fold(true, |is, &byte| is & (byte > 0x20) & (byte != 0x7f) & (byte != b'#') & (byte != b'<') & (byte != b'>'))
}
