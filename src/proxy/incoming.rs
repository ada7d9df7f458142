//! The answer as the app shall see it: nothing of the hop, and `Location` back to the address that the app used.

use crate::config::BaseUrl;
use crate::message::Response;

use super::hop_fields::strip_hop_by_hop;

/// Rewrites an answer. `host` is the `Host` that the app sent, if it sent one.
pub(super) fn rewrite(answer: &mut Response, base: &BaseUrl, host: Option<&[u8]>) {
    strip_hop_by_hop(&mut answer.fields);
    let Some(location) = answer.fields.get("Location").and_then(|value| back(value, base, host)) else {
        return;
    };
    answer.fields.set("Location", location);
}

/// A `Location` that points into the base URL, as the app reaches it; `None` for any other.
fn back(location: &[u8], base: &BaseUrl, host: Option<&[u8]>) -> Option<Vec<u8>> {
    let (was_absolute, path) = match after_authority(location, base) {
        Some(path) => (true, path),
        // A reference that begins with one slash counts from the bank's root.
        None if location.starts_with(b"/") && !location.starts_with(b"//") && !base.path.is_empty() => {
            (false, location)
        }
        None => return None,
    };
    let rest = path.strip_prefix(base.path.as_bytes())?;
    if !matches!(rest.first(), None | Some(b'/' | b'?' | b'#')) {
        return None;
    }
    let origin: &[&[u8]] = match host {
        Some(host) if was_absolute => &[b"http://", host],
        _ => &[],
    };
    let slash: &[u8] = if rest.starts_with(b"/") { b"" } else { b"/" };
    Some([&origin.concat(), slash, rest].concat())
}

/// What follows `https://HOST[:PORT]` of the base.
fn after_authority<'a>(location: &'a [u8], base: &BaseUrl) -> Option<&'a [u8]> {
    let start = |text: &'a [u8], prefix: &str| {
        let (head, rest) = text.split_at_checked(prefix.len())?;
        head.eq_ignore_ascii_case(prefix.as_bytes()).then_some(rest)
    };
    let rest = start(location, "https://").or_else(|| start(location, "//"))?;
    let host = if base.host.contains(':') { format!("[{}]", base.host) } else { base.host.clone() };
    let rest = start(rest, &host)?;
    let with_port = start(rest, &format!(":{}", base.port));
    let ends = |rest: &&[u8]| matches!(rest.first(), None | Some(b'/' | b'?' | b'#'));
    with_port.filter(ends).or_else(|| Some(rest).filter(|_| base.port == 443).filter(ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(location: &str, path: &str, port: u16) -> Option<String> {
        let base = BaseUrl { host: "api.bank.example".into(), port, path: path.into() };
        back(location.as_bytes(), &base, Some(b"localhost:8080")).map(|bytes| String::from_utf8(bytes).expect("ASCII"))
    }

    #[test]
    fn a_location_under_the_base_comes_back_to_the_app() {
        for (location, path, port, expected) in [
            ("https://api.bank.example/v1/x?y#z", "", 443, "http://localhost:8080/v1/x?y#z"),
            ("HTTPS://API.bank.example:443/v1", "", 443, "http://localhost:8080/v1"),
            ("https://api.bank.example", "", 443, "http://localhost:8080/"),
            ("https://api.bank.example:8443/psd2/v1", "/psd2", 8443, "http://localhost:8080/v1"),
            ("//api.bank.example/psd2?a", "/psd2", 443, "http://localhost:8080/?a"),
            ("/psd2/v1/x", "/psd2", 443, "/v1/x"),
        ] {
            assert_eq!(moved(location, path, port).as_deref(), Some(expected), "{location}");
        }
    }

    #[test]
    fn any_other_location_stays_as_it_is() {
        for (location, path, port) in [
            ("https://login.bank.example/v1", "", 443),
            ("https://api.bank.example.evil.example/v1", "", 443),
            ("https://api.bank.example:8443/v1", "", 443),
            ("https://api.bank.example/v1", "", 8443),
            ("https://api.bank.example/psd2x/v1", "/psd2", 443),
            ("http://api.bank.example/v1", "", 443),
            ("/other", "/psd2", 443),
            ("/v1/x", "", 443),
            ("v1/x", "", 443),
            ("", "", 443),
        ] {
            assert_eq!(moved(location, path, port), None, "{location}");
        }
    }
}
