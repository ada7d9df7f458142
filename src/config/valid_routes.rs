//! From raw to valid: routes.

use super::GrantType;
use super::raw_bank::RawRoute;
use super::reader::{Located, Reader};
use super::valid_grants::Grants;
use super::{Place, Route, RouteAction};
use crate::words::GrantName;

/// The routes, in their order. `grants` is `None` where these are not valid themselves.
pub(super) fn routes(raw: Vec<Located<RawRoute>>, grants: Option<&Grants>, reader: &mut Reader<'_>) -> Vec<Route> {
    let routes: Vec<Route> = raw.into_iter().filter_map(|route| one(route, grants, reader)).collect();
    for (index, route) in routes.iter().enumerate() {
        if let Some(earlier) = routes[..index].iter().find(|earlier| earlier.covers(route)) {
            let reason =
                format!("nothing is left to it: the route in line {} decides it all before", earlier.place.line);
            reader.warn(
                &route.place,
                reason,
                "put it before that one, or leave it out: the first that matches decides",
            );
        }
    }
    routes
}

fn one(table: Located<RawRoute>, grants: Option<&Grants>, reader: &mut Reader<'_>) -> Option<Route> {
    let Located { place, value: raw } = table;
    if let Some(methods) = raw.methods.located().filter(|methods| methods.value.is_empty()) {
        reader.error(&methods.place, "the list is empty", "name at least one method, or leave it out for all");
    }
    if raw.deny.value {
        let replay = raw.replay.value.then_some(&raw.replay.place);
        for place in [raw.grant.place(), raw.timeout.place(), replay].into_iter().flatten() {
            reader.error(place, "has no meaning beside `deny`", "leave it out, or leave `deny` out");
        }
    }
    if let (Some(grant), Some(grants)) = (raw.grant.located(), grants) {
        note_unknown(&grant.value.0, &grant.place, grants, reader);
    }
    let path = reader.need(raw.path, &place, "path", "say which paths the route is for: \"/accounts/**\"");
    let action = if raw.deny.value {
        RouteAction::Deny
    } else {
        RouteAction::Allow {
            grant: raw.grant.take().map(|grant| grant.0),
            timeout: raw.timeout.take().map(|timeout| timeout.0),
            replay: raw.replay.value,
        }
    };
    let methods = raw.methods.take().map(|methods| methods.into_iter().map(|method| method.value.0).collect());
    Some(Route { place, path: path?, methods, action })
}

/// Grants of a person come into being by `login`; all others are in the configuration or nowhere.
fn note_unknown(grant: &GrantName, place: &Place, grants: &Grants, reader: &mut Reader<'_>) {
    let is_known = match &grants.grant_type {
        GrantType::AuthorizationCode(_) => true,
        GrantType::ClientCredentials(_) => *grant == GrantName::default() || grants.named.contains_key(grant),
        GrantType::Fixed(tokens) => tokens.contains_key(grant),
    };
    if !is_known {
        reader.error(place, "no such grant is configured", format!("add [grants.{grant}], or name another one"));
    }
}
