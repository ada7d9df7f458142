//! The head as the bank shall see it: its own Host and path, our token, the profile's header rules, nothing of the hop.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Version};
use tokio::sync::mpsc::UnboundedSender;

use crate::config::{Bank, BaseUrl, HeaderRules};
use crate::message::{Body, Fields, Interim, Request};
use crate::words::{Random, Token};

use super::replay::Kept;
use super::trailers;

/// How a bank's requests are rewritten.
pub(super) struct Rewrite {
    /// The value of `Host`: the port only where it is not the scheme's own.
    authority: String,
    base_path: Vec<u8>,
    rules: HeaderRules,
    /// The rules' `remove`, for trailers.
    removed: Arc<[String]>,
    random: Random,
}

/// A request that is ready but for its token, and that can be made more than once.
pub(super) struct Outgoing {
    pub(super) method: Method,
    target: Bytes,
    pub(super) fields: Fields,
    pub(super) kept: Kept,
    interim: Option<UnboundedSender<Interim>>,
}

impl Rewrite {
    pub(super) fn new(bank: &Bank, random: Random) -> Self {
        Self {
            authority: authority(&bank.base_url),
            base_path: bank.base_url.path.clone().into_bytes(),
            rules: bank.headers.clone(),
            removed: bank.headers.remove.clone().into(),
            random,
        }
    }

    /// Rewrites a request for the bank. The body, of which up to `keep` bytes are kept, comes beside it.
    pub(super) fn rewrite(&self, request: Request, path_and_query: &[u8], keep: usize) -> (Outgoing, Body) {
        let wants_trailers = wants_trailers(&request);
        let mut fields = request.fields;
        strip_hop_by_hop(&mut fields);
        fields.retain(|name, _| !is_ours(name) && !self.rules.remove.iter().any(|removed| is(name, removed)));
        for (name, value) in &self.rules.set {
            fields.set(name, self.fill(value.0.expose()));
        }
        for (name, value) in &self.rules.default {
            if !fields.contains(name) {
                fields.push(name, self.fill(value.0.expose()));
            }
        }
        fields.set("Host", &self.authority);
        if wants_trailers {
            fields.push("TE", "trailers");
            fields.push("Connection", "TE");
        }
        let target = self.target(path_and_query);
        let (body, kept) = Kept::tee(trailers::clean(request.body, &self.removed), keep);
        (Outgoing { method: request.method, target, fields, kept, interim: request.interim }, body)
    }

    fn target(&self, path_and_query: &[u8]) -> Bytes {
        if self.base_path.is_empty() || path_and_query == b"*" {
            return Bytes::copy_from_slice(path_and_query);
        }
        [&self.base_path, path_and_query].concat().into()
    }

    /// Fills in `{uuid}`.
    fn fill(&self, template: &[u8]) -> Vec<u8> {
        const UUID: &[u8] = b"{uuid}";
        match template.windows(UUID.len()).position(|part| part == UUID) {
            None => template.to_vec(),
            Some(at) => [&template[..at], self.random.uuid().as_bytes(), &template[at + UUID.len()..]].concat(),
        }
    }
}

impl Outgoing {
    /// The request with this token, in place of whatever the app sent as `Authorization`.
    pub(super) fn request(&self, body: Body, token: &Token) -> Request {
        let mut fields = self.fields.clone();
        fields.set("Authorization", token.authorization().expose());
        let mut request = Request::new(self.method.clone(), self.target.clone(), body);
        request.fields = fields;
        request.interim.clone_from(&self.interim);
        request
    }
}

/// Host and port as they stand in `Host`, the port left out where it is 443 (RFC 9110, section 7.2).
fn authority(base: &BaseUrl) -> String {
    let host = if base.host.contains(':') { format!("[{}]", base.host) } else { base.host.clone() };
    if base.port == 443 { host } else { format!("{host}:{}", base.port) }
}

/// Whether the app asks for trailers, which come through: then the bank is asked, too (RFC 9110, section 10.1.4). HTTP/2
/// knows no `Connection`.
fn wants_trailers(request: &Request) -> bool {
    request.fields.contains("TE")
        && request.fields.list("TE").any(|coding| is(coding, "trailers"))
        && (request.version == Version::HTTP_2 || request.fields.list("Connection").any(|option| is(option, "TE")))
}

/// Takes out the fields that are for one connection only (RFC 9110, section 7.6.1), those that `Connection` names too.
pub(super) fn strip_hop_by_hop(fields: &mut Fields) {
    let named: Vec<Vec<u8>> = fields
        .list("Connection")
        .filter(|option| !is(option, "close") && !is(option, "keep-alive"))
        .map(<[u8]>::to_vec)
        .collect();
    fields.retain(|name, _| !is_hop_by_hop(name) && !named.iter().any(|option| option.eq_ignore_ascii_case(name)));
}

fn is_hop_by_hop(name: &[u8]) -> bool {
    const NAMES: [&str; 8] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "te",
        "upgrade",
        "proxy-authorization",
        "proxy-authenticate",
    ];
    NAMES.iter().any(|hop| is(name, hop))
}

/// The app's words to the sidecar, which are no business of the bank's.
pub(super) fn is_ours(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"bankside-";
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn is(name: &[u8], other: &str) -> bool {
    name.eq_ignore_ascii_case(other.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HeaderTemplate;
    use crate::words::{Secret, Timestamp};

    fn rewrite(base_path: &str, rules: HeaderRules) -> Rewrite {
        let base = BaseUrl { host: "api.bank.example".into(), port: 443, path: base_path.into() };
        let (authority, removed) = (authority(&base), rules.remove.clone().into());
        Rewrite { authority, base_path: base.path.into_bytes(), rules, removed, random: Random::seeded(1) }
    }

    fn template(text: &str) -> HeaderTemplate {
        HeaderTemplate(Secret::from(text))
    }

    /// What the bank gets for a GET with these field lines.
    fn sent(rewrite: &Rewrite, lines: &[(&str, &str)]) -> Vec<String> {
        let mut request = Request::new(Method::GET, "/v1/x?y", Body::absent());
        for (name, value) in lines {
            request.fields.push(name, value);
        }
        let (outgoing, body) = rewrite.rewrite(request, b"/v1/x?y", 0);
        let token = Token::bearer(&Secret::from("token"), 1, Timestamp::default(), None);
        let request = outgoing.request(body, &token);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let head = std::iter::once(text(&request.target));
        head.chain(request.fields.iter().map(|(name, value)| format!("{}: {}", text(name), text(value)))).collect()
    }

    #[test]
    fn host_and_authorization_change_in_place_and_all_else_stays() {
        let rewrite = rewrite("/psd2", HeaderRules::default());
        let lines = [("X-B", "1"), ("host", "localhost"), ("x-a", "2"), ("AUTHORIZATION", "Basic x"), ("X-b", "3")];
        let expected =
            ["/psd2/v1/x?y", "X-B: 1", "host: api.bank.example", "x-a: 2", "AUTHORIZATION: Bearer token", "X-b: 3"];
        assert_eq!(sent(&rewrite, &lines), expected);
    }

    #[test]
    fn trailers_are_asked_for_where_the_app_asks() {
        let rewrite = rewrite("", HeaderRules::default());
        let asked = ["TE: trailers", "Connection: TE"];
        for (te, connection) in [("trailers", "TE"), ("gzip;q=0.5, Trailers", "close, te")] {
            let sent = sent(&rewrite, &[("TE", te), ("Connection", connection), ("A", "b")]);
            assert!(asked.iter().all(|line| sent.iter().any(|sent| sent == line)), "{sent:?}");
        }
        for lines in [&[("TE", "trailers")][..], &[("TE", "gzip"), ("Connection", "TE")], &[("Connection", "TE")]] {
            let sent = sent(&rewrite, lines);
            assert!(!sent.iter().any(|line| line.starts_with("TE") || line.starts_with("Connection")), "{sent:?}");
        }
    }

    #[test]
    fn what_is_for_one_hop_or_for_us_does_not_leave() {
        let lines = [
            ("Connection", "X-Hop, close"),
            ("X-Hop", "1"),
            ("Keep-Alive", "1"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("Proxy-Connection", "x"),
            ("Bankside-Grant", "x"),
            ("bankside-KEY", "secret"),
            ("Digest", "kept"),
        ];
        let expected = ["/v1/x?y", "Digest: kept", "Host: api.bank.example", "Authorization: Bearer token"];
        assert_eq!(sent(&rewrite("", HeaderRules::default()), &lines), expected);
    }

    #[test]
    fn header_rules_set_add_and_remove() {
        let rules = HeaderRules {
            set: vec![("api-key".into(), template("k"))],
            default: vec![("x-request-id".into(), template("{uuid}")), ("accept".into(), template("a"))],
            remove: vec!["x-client-certificate".into()],
        };
        let lines = [("API-key", "other"), ("Accept", "b"), ("X-Client-Certificate", "c")];
        let sent = sent(&rewrite("", rules), &lines);
        assert_eq!(sent[1..3], ["API-key: k", "Accept: b"]);
        assert_eq!(sent[3].len(), "x-request-id: ".len() + 36);
        assert_eq!(sent.len(), 6, "{sent:?}");
    }

    #[test]
    fn the_port_stands_in_host_only_where_it_is_not_443() {
        let base = |host: &str, port| BaseUrl { host: host.into(), port, path: String::new() };
        assert_eq!(authority(&base("a.example", 443)), "a.example");
        assert_eq!(authority(&base("a.example", 8443)), "a.example:8443");
        assert_eq!(authority(&base("::1", 8443)), "[::1]:8443");
    }
}
