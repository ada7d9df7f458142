//! Heads of requests and responses (RFC 9112, sections 2 to 5), read strictly.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, StatusCode, Version};

use crate::message::Fields;

use super::ParseError;

/// How many field lines are looked at; [`HeadLimits::fields`] can only be stricter.
const MOST_FIELDS: usize = 128;
/// Room for lines that are added to a request's: a token of usual size, and not so much that memory is costly to get.
const REQUEST_ROOM: Room = Room { bytes: 832, lines: 8 };
/// To an answer's mostly none is added.
const ANSWER_ROOM: Room = Room { bytes: 0, lines: 0 };

/// What a parsed field section keeps free.
#[derive(Clone, Copy)]
struct Room {
    bytes: usize,
    lines: usize,
}

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes in all.
    pub bytes: usize,
    /// Bytes of the request target.
    pub target: usize,
    /// Field lines, at most 128.
    pub fields: usize,
}

/// A head of 64 KiB with 100 fields passes with some room to spare.
impl Default for HeadLimits {
    fn default() -> Self {
        Self { bytes: 72 * 1024, target: 64 * 1024, fields: MOST_FIELDS }
    }
}

/// How far a head that is not complete yet has been looked at, so that no byte is scanned over and over.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    scanned: usize,
    skipped_blank: bool,
}

/// The request line and the field section.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target, byte for byte: visible ASCII without `#`.
    pub target: Bytes,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The field lines.
    pub fields: Fields,
}

/// The status line and the field section.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status, of three digits.
    pub status: StatusCode,
    /// The reason phrase as it came; it may be empty.
    pub reason: Bytes,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The field lines.
    pub fields: Fields,
}

/// Takes a request's head out of `buf`, or `None` as long as it is not complete. `scan` starts as the default and is
/// kept from call to call; after a head it is ready for the next one.
pub fn parse_request_head(
    buf: &mut BytesMut,
    scan: &mut HeadScan,
    limits: &HeadLimits,
) -> Result<Option<RequestHead>, ParseError> {
    skip_one_blank_line(buf, scan)?;
    if !is_worth_parsing(buf, scan, limits)? {
        return Ok(None);
    }
    let mut lines = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed.parse_with_uninit_headers(buf, &mut lines).map_err(|error| refusal(error, buf))?;
    let httparse::Status::Complete(length) = status else {
        return wait_for_more(buf, scan, limits);
    };
    let target = parsed.path.unwrap_or_default();
    if target.len() > limits.target {
        return Err(ParseError::TargetTooLong);
    }
    if !is_target(target.as_bytes()) {
        return Err(ParseError::Malformed("a character in the target is not allowed"));
    }
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes())
        .map_err(|_| ParseError::Malformed("the method is not a token"))?;
    let version = version(parsed.version);
    let fields = fields(&buf[..length], parsed.headers, limits, REQUEST_ROOM)?;
    check_host(&fields, version)?;
    let target = Bytes::copy_from_slice(target.as_bytes());
    buf.advance(length);
    *scan = HeadScan::default();
    Ok(Some(RequestHead { method, target, version, fields }))
}

/// Takes a response's head out of `buf`, or `None` as long as it is not complete; as [`parse_request_head`].
pub fn parse_response_head(
    buf: &mut BytesMut,
    scan: &mut HeadScan,
    limits: &HeadLimits,
) -> Result<Option<ResponseHead>, ParseError> {
    if matches!(buf.first(), Some(b'\r' | b'\n')) {
        return Err(ParseError::Malformed("an empty line before the status line"));
    }
    if !is_worth_parsing(buf, scan, limits)? {
        return Ok(None);
    }
    let mut lines = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default()
        // To be taken off, not to be refused (RFC 9112, section 5.1).
        .allow_spaces_after_header_name_in_responses(true)
        .parse_response_with_uninit_headers(&mut parsed, buf, &mut lines)
        .map_err(|error| refusal(error, buf))?;
    let httparse::Status::Complete(length) = status else {
        return wait_for_more(buf, scan, limits);
    };
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default())
        .map_err(|_| ParseError::Malformed("the status is not one"))?;
    let version = version(parsed.version);
    let fields = fields(&buf[..length], parsed.headers, limits, ANSWER_ROOM)?;
    let reason = reason(&buf[..length], status);
    buf.advance(length);
    *scan = HeadScan::default();
    Ok(Some(ResponseHead { status, reason, version, fields }))
}

/// Whether these bytes can be a target: visible ASCII without `#`, since a fragment is never sent (RFC 9112, section 3.2).
pub fn is_target(target: &[u8]) -> bool {
    !target.is_empty() && target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
}

/// Some clients end a body with a CRLF that is not part of it: one is forgiven (RFC 9112, section 2.2).
fn skip_one_blank_line(buf: &mut BytesMut, scan: &mut HeadScan) -> Result<(), ParseError> {
    if !scan.skipped_blank && buf.starts_with(b"\r\n") {
        buf.advance(2);
        *scan = HeadScan { scanned: 0, skipped_blank: true };
    }
    match buf[..] {
        [b'\r'] if !scan.skipped_blank => Ok(()),
        [b'\r' | b'\n', ..] => Err(ParseError::Malformed("an empty line before the request line")),
        _ => Ok(()),
    }
}

/// Whether the parser should look: the first time, in the hope that all is there, and then not before the end is.
fn is_worth_parsing(buf: &[u8], scan: &mut HeadScan, limits: &HeadLimits) -> Result<bool, ParseError> {
    if scan.scanned == 0 {
        return Ok(!buf.is_empty());
    }
    for at in scan.scanned..buf.len() {
        if buf[at] != b'\n' {
            continue;
        }
        if buf[at - 1] != b'\r' {
            return Err(ParseError::Malformed("a line ends without CR"));
        }
        if buf[..at].ends_with(b"\r\n\r") {
            return Ok(true);
        }
    }
    wait_for_more(buf, scan, limits).map(|_: Option<()>| false)
}

fn wait_for_more<T>(buf: &[u8], scan: &mut HeadScan, limits: &HeadLimits) -> Result<Option<T>, ParseError> {
    if buf.len() > limits.bytes {
        let has_first_line = buf[..limits.bytes].contains(&b'\n');
        return Err(if has_first_line { ParseError::HeadTooLarge } else { ParseError::TargetTooLong });
    }
    scan.scanned = buf.len();
    Ok(None)
}

/// What the parser's error means in HTTP.
fn refusal(error: httparse::Error, buf: &[u8]) -> ParseError {
    match error {
        httparse::Error::TooManyHeaders => ParseError::HeadTooLarge,
        httparse::Error::Version if names_a_version(buf) => ParseError::Version,
        httparse::Error::Version => ParseError::Malformed("the version is not one of HTTP"),
        httparse::Error::HeaderName => ParseError::Malformed("a field name is not a token with a colon behind it"),
        httparse::Error::HeaderValue => ParseError::Malformed("a field value has a character that is not allowed"),
        httparse::Error::NewLine => ParseError::Malformed("a CR is not followed by LF"),
        httparse::Error::Status => ParseError::Malformed("the status line is malformed"),
        httparse::Error::Token => ParseError::Malformed("the first line is malformed"),
    }
}

/// Whether the first line is well but for its `HTTP-version` (RFC 9112, section 2.3), which is none that we speak.
fn names_a_version(buf: &[u8]) -> bool {
    let line = buf.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut words = line.strip_suffix(b"\r").unwrap_or(line).split(|&byte| byte == b' ');
    let (first, third, more) = (words.next(), words.nth(1), words.next());
    let is_foreign = |word: Option<&[u8]>| {
        matches!(word, Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit() && (*major, minor | 1) != (b'1', b'1'))
    };
    is_foreign(first) || (is_foreign(third) && more.is_none())
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 }
}

/// The field lines of a complete head. The parser takes a bare LF for a line's end: here every line must end in CRLF.
fn fields(head: &[u8], lines: &[httparse::Header<'_>], limits: &HeadLimits, room: Room) -> Result<Fields, ParseError> {
    if head.len() > limits.bytes || lines.len() > limits.fields {
        return Err(ParseError::HeadTooLarge);
    }
    if !head.ends_with(b"\r\n\r\n") {
        return Err(ParseError::Malformed("a line ends without CR"));
    }
    let Some(first) = lines.first() else { return Ok(Fields::new()) };
    let start = range(head, first.name.as_bytes()).start;
    let mut fields = Fields::from_text(&head[start..], room.bytes, lines.len() + room.lines);
    for line in lines {
        let name = range(head, line.name.as_bytes());
        if !head[..name.start].ends_with(b"\r\n") {
            return Err(ParseError::Malformed("a line ends without CR"));
        }
        let value = range(head, line.value);
        fields.push_range(name.start - start..name.end - start, value.start - start..value.end - start);
    }
    Ok(fields)
}

/// Where `part` lies in `whole`, of which it is a slice.
fn range(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

/// Exactly one `Host` in HTTP/1.1, at most one in HTTP/1.0 (RFC 9112, section 3.2).
fn check_host(fields: &Fields, version: Version) -> Result<(), ParseError> {
    match fields.get_all("host").count() {
        1 => Ok(()),
        0 if version == Version::HTTP_10 => Ok(()),
        0 => Err(ParseError::Malformed("the Host field is missing")),
        _ => Err(ParseError::Malformed("there are several Host fields")),
    }
}

/// The reason phrase, which the parser would not give where it is not ASCII.
fn reason(head: &[u8], status: StatusCode) -> Bytes {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let reason = line.get("HTTP/1.1 200 ".len()..).unwrap_or_default();
    match status.canonical_reason() {
        Some(usual) if usual.as_bytes() == reason => Bytes::from_static(usual.as_bytes()),
        _ => Bytes::copy_from_slice(reason),
    }
}
