//! The head as the bank shall see it: its own Host and path, our token, the profile's header rules, nothing of the hop.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use crate::config::{Bank, HeaderRules};
use crate::inbound::Departure;
use crate::message::{Body, Fields, Request};
use crate::words::{Random, Token};

use super::hop_fields::{is, is_of_the_hop, is_ours, named_by_connection, wants_trailers};
use super::overrides::is_same_name;
use super::replay::Kept;
use super::{overrides, trailers};

/// How a bank's requests are rewritten.
pub(super) struct Rewrite {
    /// The value of `Host`: the port only where it is not the scheme's own.
    authority: String,
    base_path: Vec<u8>,
    rules: HeaderRules,
    /// The names of the rules' `set` and `remove`: no trailer says them again.
    ruled: Arc<[String]>,
    random: Random,
}

/// A request that is ready but for its token and its body, and that can be sent more than once.
pub(super) struct Outgoing {
    request: Request,
    kept: Kept,
    pub(super) departure: Departure,
}

impl Outgoing {
    /// The field lines, to be changed.
    pub(super) fn fields_mut(&mut self) -> &mut Fields {
        &mut self.request.fields
    }
}

impl Rewrite {
    pub(super) fn new(bank: &Bank, random: Random) -> Self {
        Self {
            authority: bank.base_url.authority(),
            base_path: bank.base_url.path.clone().into_bytes(),
            rules: bank.headers.clone(),
            ruled: ruled(&bank.headers),
            random,
        }
    }

    /// Rewrites a request for the bank, with another target perhaps. The body, of which up to `keep` bytes are kept,
    /// comes beside it.
    pub(super) fn rewrite(
        &self,
        mut request: Request,
        target: Option<Bytes>,
        keep: usize,
        departure: &Departure,
    ) -> (Outgoing, Body) {
        let wants_trailers = wants_trailers(&request);
        let fields = &mut request.fields;
        let named = named_by_connection(fields);
        fields.retain(|name, _| !is_of_the_hop(name, &named) && !is_ours(name) && !self.is_ruled_out(name));
        for (name, value) in &self.rules.set {
            fields.set(name, value.filled(&self.random));
        }
        for (name, value) in &self.rules.default {
            if !fields.contains(name) {
                fields.push(name, value.filled(&self.random));
            }
        }
        fields.set("Host", &self.authority);
        if wants_trailers {
            fields.push("TE", "trailers");
            fields.push("Connection", "TE");
        }
        if let Some(target) = target {
            request.target = target;
        }
        if !self.base_path.is_empty() && request.target != "*" {
            request.target = [&self.base_path[..], &request.target].concat().into();
        }
        let body = trailers::clean(std::mem::take(&mut request.body), &self.ruled);
        let (body, kept) = Kept::tee(body, keep);
        (Outgoing { request, kept, departure: departure.clone() }, body)
    }

    /// Whether a rule takes a field of this name out, or sets one that the bank may take it for.
    fn is_ruled_out(&self, name: &[u8]) -> bool {
        !self.ruled.is_empty()
            && (self.rules.remove.iter().any(|removed| is_same_name(name, removed))
                || self.rules.set.iter().any(|(set, _)| is_same_name(name, set) && !is(name, set)))
    }
}

impl Outgoing {
    /// The request with this body, and with this token in place of whatever the app sent as `Authorization`.
    pub(super) fn with(&mut self, body: Body, token: &Token) -> &mut Request {
        self.request.fields.set("Authorization", token.authorization().expose());
        self.request.body = body;
        &mut self.request
    }

    /// The body once more, if all of it is at hand.
    pub(super) fn again(&self) -> Option<Body> {
        self.kept.again()
    }

    /// The method, unless the bank may take the request for one with another.
    pub(super) fn method(&self) -> Option<&Method> {
        let is_another = overrides::of_method(&self.request.fields, &self.request.target);
        (!is_another).then_some(&self.request.method)
    }

    pub(super) fn fields(&self) -> &Fields {
        &self.request.fields
    }
}

fn ruled(rules: &HeaderRules) -> Arc<[String]> {
    rules.set.iter().map(|(name, _)| name).chain(&rules.remove).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BaseUrl, HeaderTemplate};
    use crate::words::{Secret, Timestamp};

    fn rewrite(base_path: &str, rules: HeaderRules) -> Rewrite {
        let base = BaseUrl { host: "api.bank.example".into(), port: 443, path: base_path.into() };
        let (authority, ruled_names) = (base.authority(), ruled(&rules));
        Rewrite { authority, base_path: base.path.into_bytes(), rules, ruled: ruled_names, random: Random::seeded(1) }
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
        let (mut outgoing, body) = rewrite.rewrite(request, None, 0, &Departure::default());
        let token = Token::bearer(&Secret::from("token"), 1, Timestamp::default(), None);
        let request = outgoing.with(body, &token);
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
            ("Bankside_Key", "secret"),
            ("bankside.key", "secret"),
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
    fn a_rule_holds_for_whatever_a_gateway_may_take_for_its_field() {
        let rules = HeaderRules {
            set: vec![("PSU-IP-Address".into(), template("ours")), ("X_Api_Key".into(), template("k"))],
            default: vec![("X-Request-ID".into(), template("r"))],
            remove: vec!["X-Client-Certificate".into(), "a_b".into()],
        };
        let lines = [
            ("X_Client_Certificate", "evil"),
            ("x-client_CERTIFICATE", "evil"),
            ("X.Client.Certificate", "evil"),
            ("A-B", "evil"),
            ("PSU_IP_Address", "evil"),
            ("psu-ip-address", "evil"),
            ("PSU-IP_Address", "evil"),
            ("X-Api-Key", "evil"),
            ("X-Client-Certificates", "kept"),
            ("X_Request_ID", "kept"),
        ];
        let expected = ["psu-ip-address: ours", "X-Client-Certificates: kept", "X_Request_ID: kept", "X_Api_Key: k"];
        let sent = sent(&rewrite("", rules), &lines);
        assert_eq!((&sent[1..5], &*sent[5], sent.len()), (&expected.map(str::to_owned)[..], "X-Request-ID: r", 8));
    }

    #[test]
    fn the_port_stands_in_host_only_where_it_is_not_443() {
        let base = |host: &str, port| BaseUrl { host: host.into(), port, path: String::new() };
        assert_eq!(base("a.example", 443).authority(), "a.example");
        assert_eq!(base("a.example", 8443).authority(), "a.example:8443");
        assert_eq!(base("::1", 8443).authority(), "[::1]:8443");
    }
}
