//! A request of HTTP/2 in the form in which requests of both versions go on.

use bytes::Bytes;
use h2::RecvStream;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version, header};

use crate::inbound::{Malformed, ServeSettings};
use crate::message::http1::{HeadLimits, ParseError, is_target};
use crate::message::{Body, Fields, Request, Size};

use super::body::StreamBody;

/// What a line of HTTP/1.1 has beside name and value: a colon, a space and an end.
const FIELD_OVERHEAD: usize = 4;

/// The request, without a way for interim answers yet.
pub(super) fn request(parts: Parts, stream: RecvStream, settings: &ServeSettings) -> Result<Request, Malformed> {
    let fields = fields(&parts, &settings.head)?;
    let target = target(&parts, &settings.head)?;
    let length = content_length(&parts.headers)?;
    let body = if !stream.is_end_stream() {
        let size = length.map_or(Size::Unknown, Size::Exact);
        Body::stream(StreamBody::new(stream, size, settings.idle))
    } else if length.is_some() {
        Body::full(Bytes::new())
    } else {
        Body::absent()
    };
    Ok(Request { method: parts.method, target, version: Version::HTTP_2, fields, body, interim: None })
}

/// `:path`, or for CONNECT the authority. It must look as it does in HTTP/1.1, where it may have to go.
fn target(parts: &Parts, limits: &HeadLimits) -> Result<Bytes, Malformed> {
    let target = match parts.uri.path_and_query() {
        _ if parts.method == Method::CONNECT => parts.uri.authority().map_or("", http::uri::Authority::as_str),
        Some(path) if path.as_str().starts_with('/') => path.as_str(),
        Some(path) if path.as_str() == "*" && parts.method == Method::OPTIONS => "*",
        _ => return Err(malformed("the path does not begin with a slash")),
    };
    if target.len() > limits.target {
        return Err(ParseError::TargetTooLong.into());
    }
    if !is_target(target.as_bytes()) {
        return Err(malformed("a character in the target is not allowed"));
    }
    Ok(Bytes::copy_from_slice(target.as_bytes()))
}

/// The field lines, with `Host` for `:authority` at their head (RFC 9113, section 8.3.1), and with one `Cookie` line
/// (section 8.2.3).
fn fields(parts: &Parts, limits: &HeadLimits) -> Result<Fields, Malformed> {
    let headers = &parts.headers;
    let path = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD).sum();
    if headers.len() > limits.fields || path + bytes > limits.bytes {
        return Err(ParseError::HeadTooLarge.into());
    }
    let mut fields = Fields::with_capacity(headers.len() + 8, 32 * headers.len() + 512);
    fields.push("Host", host(parts)?);
    let mut has_cookie = false;
    for (name, value) in headers {
        if name == header::COOKIE && !has_cookie {
            has_cookie = true;
            let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(http::HeaderValue::as_bytes).collect();
            fields.push(name, crumbs.join(&b"; "[..]));
        } else if name != header::HOST && name != header::COOKIE {
            fields.push(name, value);
        }
    }
    Ok(fields)
}

/// The authority. A `Host` field may stand in for it or say the same, but not something else.
fn host(parts: &Parts) -> Result<&[u8], Malformed> {
    let mut hosts = parts.headers.get_all(header::HOST).iter().map(http::HeaderValue::as_bytes);
    let (first, second) = (hosts.next(), hosts.next());
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (authority, first) {
        _ if second.is_some() => Err(malformed("there are several Host fields")),
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(malformed("Host and :authority differ"))
        }
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(malformed("the authority is missing")),
    }
}

/// The length that was declared; that the content has it is checked as it comes.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = lengths.next() else { return Ok(None) };
    let digits = value.to_str().ok().filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(length) if lengths.next().is_none() => Ok(Some(length)),
        _ => Err(malformed("the Content-Length is not one number")),
    }
}

fn malformed(reason: &'static str) -> Malformed {
    Malformed { status: StatusCode::BAD_REQUEST, reason }
}
