//! Heads between field lines and HTTP/2's maps (RFC 9113, section 8).

use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use crate::message::{Fields, Request, Response, Size};
use crate::upstream::Failure;

/// The head of `request` for HTTP/2. The target goes byte for byte into `:path`, `Host` into `:authority`; the length
/// is told where it is known.
pub(super) fn request_head(request: &Request) -> Result<http::Request<()>, Failure> {
    let mut head = http::Request::new(());
    *head.method_mut() = request.method.clone();
    *head.uri_mut() = uri(request)?;
    let map = head.headers_mut();
    map.reserve(request.fields.len() + 1);
    append(map, &request.fields)?;
    if let Size::Exact(length) = request.body.size()
        && !request.body.is_absent()
    {
        map.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(head)
}

/// A trailer section for HTTP/2. What has no place there is left out.
pub(super) fn trailers(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields.iter() {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            && !is_of_http1(&name)
        {
            map.append(name, value);
        }
    }
    map
}

/// The answer without its body. HTTP/2 has no reason phrase; apps that speak HTTP/1.1 are used to the usual one.
pub(super) fn response(status: StatusCode, map: &HeaderMap) -> Response {
    Response {
        version: http::Version::HTTP_2,
        fields: Fields::from(map),
        ..Response::new(status, crate::message::Body::absent())
    }
}

fn uri(request: &Request) -> Result<Uri, Failure> {
    let host = request.fields.get("host").ok_or(Failure::Unsendable("there is no Host"))?;
    let mut parts = Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority =
        Some(Authority::try_from(host).map_err(|_| Failure::Unsendable("the Host is not a host with a port"))?);
    let target = PathAndQuery::from_maybe_shared(request.target.clone());
    // What looks like a fragment would be left out.
    let target = target.ok().filter(|target| target.as_str().len() == request.target.len());
    parts.path_and_query = Some(target.ok_or(Failure::Unsendable("the target is not one of HTTP/2"))?);
    Uri::from_parts(parts).map_err(|_| Failure::Unsendable("the target is not a path"))
}

/// Adds the lines of `fields` but for those that only HTTP/1.1 has. The token is never put into HPACK's table.
fn append(map: &mut HeaderMap, fields: &Fields) -> Result<(), Failure> {
    for (name, value) in fields.iter() {
        let name = HeaderName::from_bytes(name).map_err(|_| Failure::Unsendable("a field's name is not a token"))?;
        if name == header::HOST || is_of_http1(&name) || (name == header::TE && value != b"trailers") {
            continue;
        }
        let mut value = HeaderValue::from_bytes(value)
            .map_err(|_| Failure::Unsendable("a field's value has a control character"))?;
        if name == header::AUTHORIZATION {
            value.set_sensitive(true);
        }
        map.append(name, value);
    }
    Ok(())
}

/// Whether HTTP/2 has no such field (RFC 9113, section 8.2.2).
fn is_of_http1(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || name == "keep-alive"
        || name == "proxy-connection"
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::message::Body;

    fn request(target: &'static str, lines: &[(&str, &str)], body: Body) -> Request {
        let mut request = Request::new(Method::POST, target, body);
        for (name, value) in lines {
            request.fields.push(name, value);
        }
        request
    }

    #[test]
    fn host_becomes_the_authority_and_the_target_the_path_byte_for_byte() {
        let target = "/a%2Fb//c;x=1/../?q={'a':1}|&b=%zz`^";
        let head = request_head(&request(target, &[("Host", "bank.example:8443")], Body::absent())).unwrap();
        assert_eq!(head.uri().authority().unwrap(), "bank.example:8443");
        assert_eq!(head.uri().path_and_query().unwrap().as_str(), target);
        assert_eq!(head.uri().scheme_str(), Some("https"));
        assert!(head.headers().is_empty());
    }

    #[test]
    fn the_asterisk_is_a_path_too() {
        let head = request_head(&request("*", &[("Host", "bank.example")], Body::absent())).unwrap();
        assert_eq!(head.uri().path(), "*");
    }

    #[test]
    fn what_http_2_has_no_room_for_is_refused() {
        let host = ("Host", "bank.example");
        for request in [
            request("/a b", &[host], Body::absent()),
            request("/<a>", &[host], Body::absent()),
            request("/a#b", &[host], Body::absent()),
            request("a", &[host], Body::absent()),
            request("/", &[], Body::absent()),
            request("/", &[("Host", "bank example")], Body::absent()),
            request("/", &[host, ("a b", "c")], Body::absent()),
            request("/", &[host, ("a", "b\u{1}c")], Body::absent()),
        ] {
            assert!(matches!(request_head(&request), Err(Failure::Unsendable(_))), "{request:?}");
        }
    }

    #[test]
    fn fields_of_http_1_1_stay_behind_and_te_only_asks_for_trailers() {
        let lines = [
            ("Host", "bank.example"),
            ("Connection", "close"),
            ("Keep-Alive", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("Proxy-Connection", "close"),
            ("TE", "gzip"),
            ("TE", "trailers"),
            ("X-A", "1"),
            ("x-a", "2"),
        ];
        let head = request_head(&request("/", &lines, Body::absent())).unwrap();
        let lines: Vec<_> = head.headers().iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(lines, [("te", "trailers"), ("x-a", "1"), ("x-a", "2")]);
    }

    #[test]
    fn the_length_is_told_once_and_the_token_is_sensitive() {
        let lines = [("Host", "bank.example"), ("content-length", "3"), ("authorization", "Bearer abc")];
        let head = request_head(&request("/", &lines, Body::full("abc"))).unwrap();
        assert_eq!(head.headers().get_all("content-length").iter().collect::<Vec<_>>(), ["3"]);
        assert!(head.headers()["authorization"].is_sensitive());
    }
}
