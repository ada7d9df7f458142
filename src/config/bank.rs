//! A bank as it is after profile and table are laid together: valid, and complete.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::words::{BankName, GrantName, Random, Secret};

use super::identity::FileContent;
use super::{BaseUrl, GrantType, Identity, Listen, Place, Registration, Route, RouteAction};

/// A bank, and the way to it.
#[derive(Clone, Debug)]
pub struct Bank {
    /// The `NAME` of `[banks.NAME]`.
    pub name: BankName,
    /// What people call it; the name where no title is given.
    pub title: String,
    /// The `[banks.NAME]` table.
    pub place: Place,
    /// Where apps reach it; at least one.
    pub listen: Vec<Listen>,
    /// Where requests go.
    pub base_url: BaseUrl,
    /// How tokens are come by.
    pub grant_type: GrantType,
    /// Named grants with scopes of their own (`[grants.NAME] scopes`). Not for `fixed`, whose tokens stand in the grant type.
    pub grants: BTreeMap<GrantName, Vec<String>>,
    /// The PSD2 roles that scopes need.
    pub roles: Vec<ScopeRole>,
    /// How the app is registered at the bank, where that can be done by a request.
    pub registration: Option<Registration>,
    /// What happens to field lines on the way to the bank.
    pub headers: HeaderRules,
    /// TLS towards the bank.
    pub tls: Tls,
    /// The bank's own identity, else the global one. `None` only where `tls.client_certificate` is false.
    pub identity: Option<Identity>,
    /// Who may call.
    pub access: Access,
    /// In order, the first match wins. Empty: everything is allowed, with the default grant.
    pub routes: Vec<Route>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How much there may be.
    pub limits: Limits,
    /// When tokens are renewed.
    pub renewal: Renewal,
    /// How many days a consent lasts.
    pub consent_days: Option<u32>,
}

impl Bank {
    /// The longest that the head of an answer is waited for on any route.
    pub fn longest_response(&self) -> Duration {
        let of_route = |route: &Route| match route.action {
            RouteAction::Allow { timeout, .. } => timeout,
            RouteAction::Deny => None,
        };
        self.routes.iter().filter_map(of_route).fold(self.timeouts.response, Duration::max)
    }

    /// Whether a request that this bank's rules let pass goes the same way, with the same head, by `other`'s.
    pub fn handles_requests_like(&self, other: &Self) -> bool {
        self.base_url == other.base_url
            && self.routes == other.routes
            && self.access.is_same(&other.access)
            && self.headers.is_same(&other.headers)
    }

    /// The grants that requests use which name none: those that must be there for the bank to be ready.
    pub fn required_grants(&self) -> BTreeSet<GrantName> {
        let by_route: BTreeSet<_> = self
            .routes
            .iter()
            .filter_map(|route| match &route.action {
                RouteAction::Deny => None,
                RouteAction::Allow { grant, .. } => Some(grant.clone().unwrap_or_default()),
            })
            .collect();
        let default = GrantName::default();
        match &self.grant_type {
            _ if !by_route.is_empty() => by_route,
            // With tokens for named grants only, every request must name one: all of them are needed, and all are there.
            GrantType::Fixed(tokens) if !tokens.contains_key(&default) => tokens.keys().cloned().collect(),
            _ => BTreeSet::from([default]),
        }
    }

    /// The roles that the scopes of any grant need.
    pub fn needed_roles(&self) -> impl Iterator<Item = &ScopeRole> {
        let grants: BTreeSet<_> = self.required_grants().into_iter().chain(self.grants.keys().cloned()).collect();
        let is_asked_for = move |scope: &String| grants.iter().any(|grant| self.scopes(grant).contains(scope));
        self.roles.iter().filter(move |needed| is_asked_for(&needed.scope))
    }

    /// How long a consent lasts, where a person gives it and the configuration says so.
    pub fn consent_life(&self) -> Option<Duration> {
        self.grant_type.authorization_code()?;
        self.consent_days.map(|days| Duration::from_hours(24) * days)
    }

    /// The scopes that a grant asks for.
    pub fn scopes(&self, grant: &GrantName) -> &[String] {
        let common: &[String] = match &self.grant_type {
            GrantType::AuthorizationCode(code) => &code.scopes,
            GrantType::ClientCredentials(credentials) => &credentials.scopes,
            GrantType::Fixed(_) => &[],
        };
        self.grants.get(grant).map_or(common, Vec::as_slice)
    }
}

/// What the QWAC must name for a scope to be had.
#[derive(Clone, Debug)]
pub struct ScopeRole {
    /// The key of `[roles]`.
    pub place: Place,
    /// The scope, as the bank writes it.
    pub scope: String,
    /// The role's name in ETSI TS 119 495, section 5.1: `PSP_AI`.
    pub role: &'static str,
}

/// What happens to field lines on the way to the bank. Names are valid tokens, spelt as they will be sent.
#[derive(Clone, Debug, Default)]
pub struct HeaderRules {
    /// Put in place of whatever the app sent.
    pub set: Vec<(String, HeaderTemplate)>,
    /// Added where the app sent none.
    pub default: Vec<(String, HeaderTemplate)>,
    /// Taken out.
    pub remove: Vec<String>,
}

impl HeaderRules {
    fn is_same(&self, other: &Self) -> bool {
        let same = |lines: &[(String, HeaderTemplate)], others: &[(String, HeaderTemplate)]| {
            lines.iter().map(HeaderTemplate::line).eq(others.iter().map(HeaderTemplate::line))
        };
        same(&self.set, &other.set) && same(&self.default, &other.default) && self.remove == other.remove
    }
}

/// A field's value, perhaps with `{uuid}` in it. It may be an API key: `Debug` hides it.
#[derive(Clone)]
pub struct HeaderTemplate(pub Secret);

impl HeaderTemplate {
    /// The value for one message: with a new UUID wherever it asks for one, the same in all places.
    pub fn filled(&self, random: &Random) -> Zeroizing<Vec<u8>> {
        match self.0.expose_str().filter(|text| text.contains("{uuid}")) {
            Some(text) => text.replace("{uuid}", &random.uuid()).into_bytes().into(),
            None => self.0.expose().to_vec().into(),
        }
    }

    fn line((name, value): &(String, Self)) -> (&str, &[u8]) {
        (name, value.0.expose())
    }
}

impl fmt::Debug for HeaderTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderTemplate")
    }
}

/// TLS towards the bank.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The `[tls]` table, or the bank's where it has none.
    pub place: Place,
    /// PEM files with the roots that the bank's certificate may lead to.
    pub ca: Vec<FileContent>,
    /// Whether the system's roots count too.
    pub system_roots: bool,
    /// The oldest version that is spoken: TLS 1.2, or 1.3.
    pub min_version: TlsVersion,
    /// The protocols that are offered, in order of preference; never empty.
    pub alpn: Vec<Alpn>,
    /// The name that the bank's certificate must have, instead of the URL's host.
    pub server_name: Option<String>,
    /// Whether we present the QWAC.
    pub client_certificate: bool,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// A protocol by its ALPN name (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `h2`.
    H2,
    /// `http/1.1`.
    Http11,
}

/// Who may call.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// More names for the Host field, in lower case, without port.
    pub hosts: Vec<String>,
    /// What callers must send as `Bankside-Key`.
    pub key: Option<Secret>,
    /// Whether listening beyond loopback is meant.
    pub allow_remote: bool,
    /// Who may connect to a unix socket, by user id.
    pub uids: Option<Vec<u32>>,
}

impl Access {
    fn is_same(&self, other: &Self) -> bool {
        let same_key = match (&self.key, &other.key) {
            (None, None) => true,
            (Some(key), Some(other)) => key.matches(other.expose()),
            _ => false,
        };
        same_key && (&self.hosts, &self.uids) == (&other.hosts, &other.uids)
    }
}

/// How long things may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// To connect, TLS included.
    pub connect: Duration,
    /// From the request's end to the answer's head.
    pub response: Duration,
    /// Between bytes of a body.
    pub idle: Duration,
    /// For the app's head.
    pub request: Duration,
    /// For an answer of the token endpoint. A bank that rotates refresh tokens and takes longer costs the grant.
    pub token: Duration,
}

/// How much there may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests under way at once.
    pub in_flight: usize,
    /// Connections to the bank at once. Requests whose body is still to come take half of them at most.
    pub connections: usize,
    /// How long a request may wait for its turn.
    pub queue: Duration,
    /// Bytes of a request's body that are kept for sending it once more.
    pub replay_body: usize,
}

/// When tokens are renewed.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The fraction of a token's life after which it is renewed ahead.
    pub at: f64,
    /// Grants unused so long are renewed on use only.
    pub idle: Duration,
    /// How many calls a second the token endpoint gets at most, all grants together.
    pub rate: u32,
}
