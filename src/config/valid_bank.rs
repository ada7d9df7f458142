//! From raw to valid: a bank's table after it was laid over its profile.

use std::time::Duration;

use super::bank_words::RoleName;
use super::collection::Named;
use super::raw::RawIdentity;
use super::raw_bank::{RawAccess, RawBank, RawLimits, RawRenewal, RawTimeouts, RawTls};
use super::reader::{Field, Located, Reader};
use super::valid_grants::{GrantKeys, grants};
use super::valid_headers::{header_rules, is_field_value};
use super::valid_identity::{Supply, identity};
use super::valid_registration::registration;
use super::valid_routes::routes;
use super::{Access, Bank, BankConnection, Identity, Limits, Listen, Place, Renewal, ScopeRole, Timeouts, Tls};
use crate::words::BankName;

/// How long a token endpoint is waited for where nothing else is said: callers are to be served within 10 s after one that
/// hung is well again.
const TOKEN: Duration = Duration::from_secs(8);

/// A bank, and all that is wrong with it noted. `global` is the identity of banks that bring none.
pub(super) fn bank(
    name: &str,
    table: Located<RawBank>,
    global: &Supply<Identity>,
    reader: &mut Reader<'_>,
) -> Option<Bank> {
    let Located { place, value: raw } = table;
    let name: Option<BankName> = match name.parse() {
        Ok(name) => Some(name),
        Err(why) => {
            reader.error(&place, "not a bank's name", why.to_string());
            None
        }
    };
    let listen = reader.need(raw.listen, &place, "listen", "say where apps reach this bank: \"127.0.0.1:8080\"");
    let base_url = reader.need(raw.base_url, &place, "base_url", "give the bank's URL: \"https://host/path\"");
    let access = listen.as_ref().map(|listen| access(raw.access.value, &listen.0, reader));
    let presents = raw.tls.value.client_certificate.value;
    let headers = header_rules(raw.headers.value, reader);
    let tls = tls(raw.tls, reader);
    let identity = bank_identity(raw.identity, global, presents, &place, reader);
    if let Some(tls) = &tls {
        reader.connections.push(BankConnection { tls: tls.clone(), identity: identity.clone().flatten() });
    }
    let keys = GrantKeys {
        place: &place,
        grant_type: raw.grant_type,
        client_id: raw.client_id,
        client_secret: raw.client_secret,
        redirect_uri: raw.redirect_uri,
        scopes: raw.scopes.value.into_iter().map(|scope| scope.value).collect(),
        token: raw.token,
        grants: raw.grants,
        oauth: raw.oauth,
        can_register: !raw.registration.is_absent(),
        presents_certificate: presents,
    };
    let grants = grants(keys, reader);
    let registration = registration(raw.registration, reader);
    let routes = routes(raw.routes.value, grants.as_ref(), reader);
    let listen = listen?.0.into_iter().map(|listen| listen.value).collect();
    let name = name?;
    let grants = grants?;
    Some(Bank {
        title: raw.title.take().unwrap_or_else(|| name.to_string()),
        name,
        place,
        listen,
        base_url: base_url?,
        grant_type: grants.grant_type,
        grants: grants.named,
        roles: roles(raw.roles),
        registration,
        headers,
        tls: tls?,
        identity: identity?,
        access: access?,
        routes,
        timeouts: timeouts(raw.timeouts.value),
        limits: limits(&raw.limits.value),
        renewal: renewal(&raw.renewal.value),
        consent_days: raw.consent_days.take().map(|days| days.0),
    })
}

/// `None` where something is wrong with it; `Some(None)` where none is needed, and none there.
#[expect(clippy::option_option, reason = "whether there is one, and whether it is valid, are two questions")]
fn bank_identity(
    own: Field<RawIdentity>,
    global: &Supply<Identity>,
    is_needed: bool,
    bank: &Place,
    reader: &mut Reader<'_>,
) -> Option<Option<Identity>> {
    match (identity(own, reader), global) {
        (Supply::Given(identity), _) => Some(Some(identity)),
        (Supply::Absent, Supply::Given(identity)) => Some(Some(identity.clone())),
        (Supply::Absent, Supply::Absent) if !is_needed => Some(None),
        (Supply::Absent, Supply::Absent) => {
            let remedy = "add [identity] with the QWAC, or set tls.client_certificate = false if this bank wants none";
            reader.error(&bank.child("identity"), "is missing", remedy);
            None
        }
        (Supply::Bad, _) | (_, Supply::Bad) => None,
    }
}

fn roles(raw: Field<Named<RoleName>>) -> Vec<ScopeRole> {
    let named = raw.take().map(|named| named.0).unwrap_or_default();
    named.into_iter().map(|(scope, Located { place, value })| ScopeRole { place, scope, role: value.0 }).collect()
}

fn access(raw: RawAccess, listen: &[Located<Listen>], reader: &mut Reader<'_>) -> Access {
    let is_guarded = !raw.key.is_absent() || raw.allow_remote.value;
    for listen in listen.iter().filter(|listen| !listen.value.is_local() && !is_guarded) {
        let remedy = "set access.key, or listen on loopback or a unix socket, or set access.allow_remote = true";
        reader.error(&listen.place, "listens beyond this machine, and keeps nobody out", remedy);
    }
    if let Some(key) = raw.key.located()
        && !is_field_value(key.value.expose())
    {
        let remedy = "take one without line ends, other control characters, and spaces around it";
        reader.error(&key.place, "the secret cannot be sent in a field", remedy);
    }
    let is_socket = |listen: &Located<Listen>| matches!(listen.value, Listen::Unix(_));
    if let Some(place) = raw.uids.place() {
        if !listen.iter().any(is_socket) {
            let remedy = "listen on a unix socket, or leave it out";
            reader.warn(place, "keeps nobody out: it is for unix sockets, and there is none", remedy);
        } else if raw.key.is_absent() && !listen.iter().all(is_socket) {
            let remedy = "listen on unix sockets only, or set access.key";
            reader.warn(place, "keeps nobody out who comes over TCP: it is for unix sockets", remedy);
        }
    }
    Access {
        hosts: raw.hosts.value.into_iter().map(|host| host.value.0).collect(),
        key: raw.key.take(),
        allow_remote: raw.allow_remote.value,
        uids: raw.uids.take().map(|uids| uids.into_iter().map(|uid| uid.value.0).collect()),
    }
}

fn tls(table: Located<RawTls>, reader: &mut Reader<'_>) -> Option<Tls> {
    let Located { place, value: raw } = table;
    let nobody = raw.ca.is_absent() || raw.ca.get().is_some_and(Vec::is_empty);
    let trusts_nobody = nobody && !raw.system_roots.value;
    if trusts_nobody {
        let remedy = "name the bank's roots in tls.ca, or leave system_roots out";
        reader.error(&raw.system_roots.place, "without roots, no bank is trusted", remedy);
    }
    let mut alpn = Vec::new();
    for Located { place, value } in raw.alpn.value {
        if alpn.contains(&value) {
            reader.error(&place, "the protocol is there already", "name each once");
        }
        alpn.push(value);
    }
    if alpn.is_empty() {
        reader.error(&raw.alpn.place, "the list is empty", "name \"h2\", \"http/1.1\", or both");
    }
    let ca = match raw.ca {
        Field::Absent => Vec::new(),
        Field::Bad => return None,
        Field::Given(roots) => roots.value.into_iter().map(|roots| roots.value.0).collect(),
    };
    // It is told: nobody need find it out again.
    (!trusts_nobody).then_some(Tls {
        place,
        ca,
        system_roots: raw.system_roots.value,
        min_version: raw.min_version.value,
        alpn,
        server_name: raw.server_name.take().map(|name| name.0),
        client_certificate: raw.client_certificate.value,
    })
}

fn timeouts(raw: RawTimeouts) -> Timeouts {
    let response = raw.response.value.0;
    Timeouts {
        connect: raw.connect.value.0,
        response,
        idle: raw.idle.value.0,
        request: raw.request.value.0,
        token: raw.token.take().map_or(response.min(TOKEN), |token| token.0),
    }
}

fn limits(raw: &RawLimits) -> Limits {
    Limits {
        in_flight: raw.in_flight.value.0 as usize,
        connections: raw.connections.value.0 as usize,
        queue: raw.queue.value.0,
        replay_body: raw.replay_body.value.0,
    }
}

fn renewal(raw: &RawRenewal) -> Renewal {
    Renewal { at: raw.at.value.0, idle: raw.idle.value.0, rate: raw.rate.value.0 }
}
