//! Where a body ends (RFC 9112, section 6.3), and whether its connection can carry another message (section 9.3).

use http::{Method, StatusCode, Version};

use crate::message::{Fields, Size};

use super::{ParseError, RequestHead, ResponseHead};

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes, perhaps 0: a `Content-Length` was there.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
    /// The connection's end; for responses only.
    UntilClose,
}

impl Framing {
    /// What a body framed so says of its length.
    pub const fn size(self) -> Size {
        match self {
            Self::None => Size::Exact(0),
            Self::Length(length) => Size::Exact(length),
            Self::Chunked | Self::UntilClose => Size::Unknown,
        }
    }
}

/// How a request's body is delimited. Whatever two readers could take differently is refused: both a length and a
/// coding, more than one of either, a coding in HTTP/1.0 (RFC 9112, sections 6.1 and 11.2).
pub fn request_framing(head: &RequestHead) -> Result<Framing, ParseError> {
    match (is_chunked(&head.fields, head.version)?, content_length(&head.fields)?) {
        (true, Some(_)) => Err(ParseError::Malformed("both Content-Length and Transfer-Encoding are there")),
        (true, None) => Ok(Framing::Chunked),
        (false, Some(length)) => Ok(Framing::Length(length)),
        (false, None) => Ok(Framing::None),
    }
}

/// How the body of a response to `method` is delimited. As strict as [`request_framing`].
pub fn response_framing(method: &Method, head: &ResponseHead) -> Result<Framing, ParseError> {
    if method == Method::HEAD || !may_have_content(head.status) {
        return Ok(Framing::None);
    }
    match (is_chunked(&head.fields, head.version)?, content_length(&head.fields)?) {
        (true, Some(_)) => Err(ParseError::Malformed("both Content-Length and Transfer-Encoding are there")),
        (true, None) => Ok(Framing::Chunked),
        (false, Some(length)) => Ok(Framing::Length(length)),
        (false, None) => Ok(Framing::UntilClose),
    }
}

/// Whether a response with this status may have content at all (RFC 9110, section 6.4.1).
pub fn may_have_content(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// Whether the sender keeps the connection open after this message (RFC 9112, section 9.3).
pub fn persists(version: Version, fields: &Fields) -> bool {
    let says = |option: &str| fields.list("connection").any(|own| own.eq_ignore_ascii_case(option.as_bytes()));
    !says("close") && (version == Version::HTTP_11 || says("keep-alive"))
}

/// Whether a field must not stand in a trailer section (RFC 9110, section 6.5.1): what frames, routes, authenticates or
/// says how the content is to be read, and what is between two neighbours only.
pub fn is_forbidden_trailer(name: &[u8]) -> bool {
    const FORBIDDEN: [&str; 24] = [
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "location",
        "max-forwards",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "www-authenticate",
    ];
    FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
}

fn is_chunked(fields: &Fields, version: Version) -> Result<bool, ParseError> {
    let mut lines = fields.get_all("transfer-encoding");
    let Some(value) = lines.next() else { return Ok(false) };
    if lines.next().is_some() || version == Version::HTTP_10 {
        return Err(ParseError::Malformed("the Transfer-Encoding is repeated, or in HTTP/1.0"));
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(true);
    }
    let mut codings = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    Err(if codings.any(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")) {
        ParseError::Malformed("the Transfer-Encoding is malformed")
    } else if value.split(|&byte| byte == b',').filter(|c| c.trim_ascii().eq_ignore_ascii_case(b"chunked")).count() > 1
    {
        ParseError::Malformed("the coding chunked is applied twice")
    } else {
        ParseError::UnknownCoding
    })
}

/// A list of lengths is refused even if they are the same: nobody sends it who is well.
fn content_length(fields: &Fields) -> Result<Option<u64>, ParseError> {
    let mut lines = fields.get_all("content-length");
    let Some(value) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(ParseError::Malformed("there are several Content-Length fields"));
    }
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(ParseError::Malformed("the Content-Length is not a number"));
    }
    value
        .iter()
        .try_fold(0_u64, |length, digit| length.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .map(Some)
        .ok_or(ParseError::Malformed("the Content-Length is too large"))
}
