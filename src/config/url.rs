//! How URLs are read: the bank's, which are `https`, and the redirect URI, which is the client's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{BaseUrl, HttpsUrl, Invalid};

const REMEDY: &str = "write \"https://host/path\"";

impl FromStr for HttpsUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let scheme = text.get(..8).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("https://") {
            return Err(Invalid::new("not an https URL", REMEDY));
        }
        let rest = &text[8..];
        if rest.contains('#') {
            return Err(Invalid::new("has a fragment, which is never sent", "leave out `#` and what follows it"));
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(Invalid::new("has user information in it", "leave out what stands before the `@`"));
        }
        let (host, port) = host_and_port(authority)?;
        let (path, query) = tail.split_once('?').map_or((tail, None), |(path, query)| (path, Some(query)));
        let query_is_fine = query.is_none_or(|query| is_made_of(query, "/?:@"));
        if !(path.is_empty() || is_path(path)) || !query_is_fine {
            return Err(Invalid::new("has characters that no URL has", "percent-encode them"));
        }
        // RFC 9110, section 4.2.3: an empty path is the same as "/".
        let path_and_query = if path.is_empty() { format!("/{tail}") } else { tail.to_owned() };
        Ok(Self { host, port, path_and_query })
    }
}

impl FromStr for BaseUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let HttpsUrl { host, port, path_and_query: path } = text.parse()?;
        if path.contains('?') {
            return Err(Invalid::new("has a query", "leave out `?` and what follows it"));
        }
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(Invalid::new("has a dot segment", "write the path without `.` and `..`"));
        }
        let path = path.strip_suffix('/').unwrap_or(&path).to_owned();
        if path.contains("//") || path.ends_with('/') {
            return Err(Invalid::new("has an empty segment", "write single slashes"));
        }
        Ok(Self { host, port, path })
    }
}

fn host_and_port(authority: &str) -> Result<(String, u16), Invalid> {
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => (&authority[..colon], Some(&authority[colon + 1..])),
        _ => (authority, None),
    };
    let port = match port {
        None => 443,
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits.parse().unwrap_or(0),
        Some(_) => 0,
    };
    if port == 0 {
        return Err(Invalid::new("the port is not a number from 1 to 65535", REMEDY));
    }
    let host = parse_host(host).ok_or_else(|| Invalid::new("the host is neither a name nor an address", REMEDY))?;
    Ok((host, port))
}

/// A registered name in lower case, or an address; IPv6 has brackets in the text, and none in the result.
pub(super) fn parse_host(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[') {
        return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|address| address.to_string());
    }
    let looks_like_address = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if looks_like_address {
        return text.parse::<Ipv4Addr>().ok().map(|address| address.to_string());
    }
    let label_is_fine = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    (text.len() <= 253 && text.split('.').all(label_is_fine)).then(|| text.to_ascii_lowercase())
}

/// Whether a text is the path of a URL (RFC 3986, section 3.3).
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with('/') && is_made_of(text, "/:@")
}

/// Whether a text has only unreserved characters, sub-delimiters, whole percent-encodings and `more` (RFC 3986).
fn is_made_of(text: &str, more: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fine = match byte {
            b'%' => {
                let digits = (bytes.next(), bytes.next());
                matches!(digits, (Some(high), Some(low)) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) || more.as_bytes().contains(&byte),
        };
        if !fine {
            return false;
        }
    }
    true
}

/// An `https` URL that may have `{client_id}` in its path; it stays there.
pub(super) struct UrlTemplate(pub(super) HttpsUrl);

impl FromStr for UrlTemplate {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const BLANK: &str = "{client_id}";
        let filled: HttpsUrl = text.replace(BLANK, "x").parse()?;
        // The blank stands in the path: what is before it must be whole without it.
        let start = text[8..].find('/').map_or(text.len(), |slash| slash + 8);
        let (origin, tail) = text.split_at(start);
        if origin.contains(BLANK) {
            return Err(Invalid::new("`{client_id}` stands in the host", "write it in the path"));
        }
        let path_and_query = if tail.is_empty() { filled.path_and_query } else { tail.to_owned() };
        Ok(Self(HttpsUrl { path_and_query, ..filled }))
    }
}

/// A redirect URI (RFC 6749, section 3.1.2), as it is written.
pub(super) struct RedirectUri {
    pub(super) text: String,
    /// Whether codes come back over plain HTTP on a network.
    pub(super) is_exposed: bool,
}

impl FromStr for RedirectUri {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let remedy = "write it exactly as it is registered at the bank, such as \"https://example.com/callback\"";
        let (scheme, rest) = text.split_once(':').ok_or_else(|| Invalid::new("not an absolute URI", remedy))?;
        let scheme_is_fine = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !scheme_is_fine || rest.is_empty() {
            return Err(Invalid::new("not an absolute URI", remedy));
        }
        if rest.contains('#') {
            return Err(Invalid::new("has a fragment, which RFC 6749 forbids", remedy));
        }
        if !is_made_of(rest, "/?:@[]") {
            return Err(Invalid::new("has characters that no URI has", remedy));
        }
        let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        let host = rest.strip_prefix("//").map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
        let host = host.and_then(|authority| host_and_port(authority).ok()).map(|(host, _)| host);
        if web && host.is_none() {
            return Err(Invalid::new("has no host, or one that is none", remedy));
        }
        let loopback = host
            .is_some_and(|host| host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback()));
        Ok(Self { text: text.to_owned(), is_exposed: scheme.eq_ignore_ascii_case("http") && !loopback })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_its_path_stays_as_written() {
        for (text, host, port, path) in [
            ("https://Bank.example", "bank.example", 443, "/"),
            ("HTTPS://bank.example:8443/a%2Fb/;x?y=/z?", "bank.example", 8443, "/a%2Fb/;x?y=/z?"),
            ("https://bank.example?x=1", "bank.example", 443, "/?x=1"),
            ("https://192.0.2.1/", "192.0.2.1", 443, "/"),
            ("https://[2001:DB8::1]:44/a", "2001:db8::1", 44, "/a"),
        ] {
            let url: HttpsUrl = text.parse().expect("a URL");
            assert_eq!((url.host.as_str(), url.port, url.path_and_query.as_str()), (host, port, path), "{text}");
        }
    }

    #[test]
    fn what_is_no_https_url_is_refused() {
        for bad in [
            "",
            "https",
            "https:/x",
            "http://bank.example/",
            "https://",
            "https:///path",
            "https://user:pw@bank.example/",
            "https://bank.example/#x",
            "https://bank.example:0/",
            "https://bank.example:x/",
            "https://bank.example:99999/",
            "https://bank.example:/",
            "https://1.2.3/",
            "https://-a.example/",
            "https://a..b/",
            "https://bänk.example/",
            "https://bank.example/a b",
            "https://bank.example/%2",
            "https://[::1/",
            "https://::1/",
            "https://b\r\n/",
            "ä",
            "https://bank.example/{client_id}",
            "https:/ä/",
        ] {
            assert!(bad.parse::<HttpsUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_base_has_no_slash_at_its_end_and_nothing_ambiguous() {
        for (text, path) in [
            ("https://b.example", ""),
            ("https://b.example/", ""),
            ("https://b.example/a/", "/a"),
            ("https://b.example/a/b", "/a/b"),
        ] {
            assert_eq!(text.parse::<BaseUrl>().expect("a base").path, path);
        }
        for bad in
            ["https://b.example/a?b", "https://b.example/a/../b", "https://b.example//", "https://b.example/a//b"]
        {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_template_keeps_its_blank_and_only_in_the_path() {
        let template: UrlTemplate = "https://b.example/apps/{client_id}/renew".parse().expect("a template");
        assert_eq!(template.0.path_and_query, "/apps/{client_id}/renew");
        for bad in
            ["https://{client_id}/x", "https://b.example/{other}", "{client_id}", "https://b.example:{client_id}/"]
        {
            assert!(bad.parse::<UrlTemplate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_redirect_uri_is_absolute_and_told_if_exposed() {
        for (good, exposed) in [
            ("https://example.com/callback?x=1", false),
            ("http://localhost:8765/callback", false),
            ("http://[::1]/callback", false),
            ("http://example.com/callback", true),
            ("com.example.app:/callback", false),
        ] {
            assert_eq!(good.parse::<RedirectUri>().expect("a URI").is_exposed, exposed, "{good}");
        }
        for bad in [
            "",
            "callback",
            "/callback",
            "https:",
            "https://",
            "https:///x",
            "https://e.com/#x",
            "https://e.com/ x",
            "1x:y",
        ] {
            assert!(bad.parse::<RedirectUri>().is_err(), "{bad}");
        }
    }
}
