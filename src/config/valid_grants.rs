//! From raw to valid: how tokens are come by.

use std::collections::BTreeMap;

use super::bank_words::RawGrantType;
use super::collection::Named;
use super::raw_bank::{RawGrant, RawOauth, RawSession};
use super::reader::{Field, Located, Reader};
use super::url::RedirectUri;
use super::valid_registration::note_unknown_blanks;
use super::valid_token::{parameters, token_endpoint};
use super::{AuthorizationCode, ClientCredentials, GrantType, HttpsUrl, Place, Session};
use crate::words::{GrantName, Secret};

/// The keys of a bank that say how tokens are come by.
pub(super) struct GrantKeys<'p> {
    pub(super) place: &'p Place,
    pub(super) grant_type: Field<RawGrantType>,
    pub(super) client_id: Field<String>,
    pub(super) client_secret: Field<Secret>,
    pub(super) redirect_uri: Field<RedirectUri>,
    pub(super) scopes: Vec<String>,
    pub(super) token: Field<Secret>,
    pub(super) grants: Field<Named<RawGrant>>,
    pub(super) oauth: Located<RawOauth>,
    pub(super) can_register: bool,
    pub(super) presents_certificate: bool,
}

/// How tokens are come by, and the scopes of named grants.
pub(super) struct Grants {
    pub(super) grant_type: GrantType,
    pub(super) named: BTreeMap<GrantName, Vec<String>>,
}

/// Makes them valid.
pub(super) fn grants(mut keys: GrantKeys<'_>, reader: &mut Reader<'_>) -> Option<Grants> {
    let remedy = "write \"authorization_code\", \"client_credentials\" or \"fixed\"";
    let grant_type = reader.need(take(&mut keys.grant_type), keys.place, "grant_type", remedy)?;
    if grant_type == RawGrantType::Fixed {
        let tokens = fixed(keys, reader)?;
        return Some(Grants { grant_type: GrantType::Fixed(tokens), named: BTreeMap::new() });
    }
    if let Some(place) = keys.token.place() {
        reader.error(place, "is for grant_type \"fixed\" only", "leave it out");
    }
    let named = named_scopes(take(&mut keys.grants), reader);
    let grant_type = if grant_type == RawGrantType::AuthorizationCode {
        authorization_code(keys, reader).map(|code| GrantType::AuthorizationCode(Box::new(code)))
    } else {
        let scopes = std::mem::take(&mut keys.scopes);
        let issuer = issuer(take(&mut keys.oauth.value.issuer), reader);
        let token = token_endpoint(keys, issuer.as_deref(), reader);
        token.map(|token| GrantType::ClientCredentials(Box::new(ClientCredentials { scopes, token })))
    };
    Some(Grants { grant_type: grant_type?, named: named? })
}

/// The field, with none left in its place.
pub(super) fn take<T>(field: &mut Field<T>) -> Field<T> {
    std::mem::replace(field, Field::Absent)
}

fn fixed(keys: GrantKeys<'_>, reader: &mut Reader<'_>) -> Option<BTreeMap<GrantName, Secret>> {
    let mut tokens = BTreeMap::new();
    let named = match keys.grants {
        Field::Bad => return None,
        named => named.take().map(|named| named.0).unwrap_or_default(),
    };
    if keys.token.is_absent() && named.is_empty() {
        let remedy = "give the token as a secret, or named ones as [grants.NAME] token";
        reader.error(&keys.place.child("token"), "is missing", remedy);
    }
    if let Field::Given(token) = keys.token {
        tokens.insert(GrantName::default(), fit_to_send(token, reader));
    }
    for (name, Located { place, value: raw }) in named {
        if let Some(place) = raw.scopes.place() {
            reader.error(place, "a fixed token has its scopes in itself", "leave it out");
        }
        if raw.token.is_absent() {
            reader.error(&place.child("token"), "is missing", "give the grant's token as a secret");
        }
        let name = grant_name(&name, &place, reader);
        if let (Some(name), Field::Given(token)) = (name, raw.token)
            && tokens.insert(name, fit_to_send(token, reader)).is_some()
        {
            reader.error(&place, "the default grant has its token already", "keep this or the bank's `token`");
        }
    }
    (!tokens.is_empty()).then_some(tokens)
}

/// A token must be able to stand in a field line behind `Bearer`.
fn fit_to_send(token: Located<Secret>, reader: &mut Reader<'_>) -> Secret {
    if !token.value.expose().iter().all(u8::is_ascii_graphic) {
        let remedy = "give the token alone, without `Bearer`, spaces and line ends";
        reader.error(&token.place, "the secret cannot be a Bearer token (RFC 6750, section 2.1)", remedy);
    }
    token.value
}

fn named_scopes(raw: Field<Named<RawGrant>>, reader: &mut Reader<'_>) -> Option<BTreeMap<GrantName, Vec<String>>> {
    if matches!(raw, Field::Bad) {
        return None;
    }
    let mut named = BTreeMap::new();
    for (name, Located { place, value: raw }) in raw.take().map(|named| named.0).unwrap_or_default() {
        if let Some(place) = raw.token.place() {
            reader.error(place, "is for grant_type \"fixed\" only", "give its `scopes` instead");
            continue;
        }
        let scopes = reader.need(raw.scopes, &place, "scopes", "say what the grant asks for: [\"…\"]");
        if let (Some(name), Some(scopes)) = (grant_name(&name, &place, reader), scopes) {
            named.insert(name, scopes.into_iter().map(|scope| scope.value).collect());
        }
    }
    Some(named)
}

fn grant_name(name: &str, place: &Place, reader: &mut Reader<'_>) -> Option<GrantName> {
    match name.parse() {
        Ok(name) => Some(name),
        Err(why) => {
            let why: crate::words::InvalidName = why;
            reader.error(place, "not a grant's name", why.to_string());
            None
        }
    }
}

fn authorization_code(mut keys: GrantKeys<'_>, reader: &mut Reader<'_>) -> Option<AuthorizationCode> {
    let remedy = "give the address that is registered at the bank";
    let redirect_place = keys.redirect_uri.place().cloned();
    let redirect_uri = reader.need(take(&mut keys.redirect_uri), keys.place, "redirect_uri", remedy);
    if let (Some(uri), Some(place)) = (&redirect_uri, redirect_place)
        && uri.is_exposed
    {
        let remedy = "use https, or a loopback address";
        reader.warn(&place, "codes come back over plain HTTP, open to whoever listens", remedy);
    }
    let scopes = std::mem::take(&mut keys.scopes);
    let oauth = &mut keys.oauth.value;
    let remedy = "give the bank's authorization endpoint";
    let authorize_url = reader.need(take(&mut oauth.authorize_url), keys.place, "oauth.authorize_url", remedy);
    let pkce = oauth.pkce.value;
    let issuer = issuer(take(&mut oauth.issuer), reader);
    let raw_params = take(&mut oauth.authorize_params);
    let session = match take(&mut oauth.session) {
        Field::Absent => Some(None),
        Field::Bad => None,
        Field::Given(table) => session(table, reader).map(Some),
    };
    let mut reserved = vec!["response_type", "client_id", "redirect_uri", "scope", "state"];
    reserved.extend(["code_challenge", "code_challenge_method"]);
    reserved.extend(session.iter().flatten().map(|session| session.send_as.as_str()));
    let authorize_params = parameters(raw_params, &reserved, reader);
    let token = token_endpoint(keys, issuer.as_deref(), reader);
    Some(AuthorizationCode {
        authorize_url: authorize_url?,
        redirect_uri: redirect_uri?.text,
        scopes,
        pkce,
        issuer,
        authorize_params,
        session: session?,
        token: token?,
    })
}

fn issuer(raw: Field<String>, reader: &mut Reader<'_>) -> Option<String> {
    let Field::Given(Located { place, value }) = raw else { return None };
    if let Err(why) = value.parse::<HttpsUrl>() {
        reader.invalid(&place, &why);
    }
    Some(value)
}

fn session(table: Located<RawSession>, reader: &mut Reader<'_>) -> Option<Session> {
    let Located { place, value: raw } = table;
    let url = reader.need(raw.url, &place, "url", "say where the session is made");
    let field = reader.need(raw.field, &place, "field", "name the answer's field with the value");
    let send_as = reader.need(raw.send_as, &place, "send_as", "name the authorization URL's parameter");
    for (_, parameter) in raw.params.get().into_iter().flat_map(|named| &named.0) {
        note_unknown_blanks(&parameter.value.0, &["client_id"], &parameter.place, reader);
    }
    Some(Session {
        url: url?,
        params: parameters(raw.params, &[], reader),
        field: field?.0.into_iter().map(|name| name.value).collect(),
        send_as: send_as?,
    })
}
