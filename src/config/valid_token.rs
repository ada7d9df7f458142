//! From raw to valid: the token endpoint.

use std::collections::BTreeMap;

use super::bank_words::{RawClientAuth, RawRevocation};
use super::collection::Named;
use super::leaf::Parameter;
use super::raw_bank::RawOauth;
use super::reader::{Field, Located, Reader};
use super::valid_grants::{GrantKeys, take};
use super::valid_headers::token_headers;
use super::{ClientAssertion, ClientAuth, HttpsUrl, Place, Revocation, SigningAlgorithm, TokenEndpoint};

/// Parameters by name; those that bankside itself sends are not to be set.
pub(super) fn parameters(
    raw: Field<Named<Parameter>>,
    reserved: &[&str],
    reader: &mut Reader<'_>,
) -> BTreeMap<String, String> {
    let named = raw.take().map(|named| named.0).unwrap_or_default();
    for (_, parameter) in named.iter().filter(|(name, _)| reserved.contains(&name.as_str())) {
        reader.error(&parameter.place, "bankside itself sends this parameter", "leave it out");
    }
    named.into_iter().map(|(name, parameter)| (name, parameter.value.0)).collect()
}

/// The token endpoint, and how to speak to it.
pub(super) fn token_endpoint(
    mut keys: GrantKeys<'_>,
    issuer: Option<&str>,
    reader: &mut Reader<'_>,
) -> Option<TokenEndpoint> {
    let assertion = AssertionKeys::take(&mut keys.oauth.value);
    let Located { place, value: oauth } = keys.oauth;
    let url = reader.need(oauth.token_url, keys.place, "oauth.token_url", "give the bank's token endpoint");
    let remedy = "give the one that the bank registered";
    let client_id = registered(keys.client_id, keys.can_register, keys.place, "client_id", remedy, reader);
    let how = &oauth.client_auth;
    if how.value != RawClientAuth::PrivateKeyJwt {
        assertion.warn_of_no_use(reader);
    }
    let client_auth = match how.value {
        RawClientAuth::Post => Some(ClientAuth::ClientSecretPost),
        RawClientAuth::Basic => Some(ClientAuth::ClientSecretBasic(oauth.basic_encoding.value)),
        RawClientAuth::Tls => Some(ClientAuth::TlsClientAuth),
        RawClientAuth::None => Some(ClientAuth::None),
        RawClientAuth::PrivateKeyJwt => assertion.valid(&how.place, issuer, url.as_ref()),
    };
    note_missing_identity(how, keys.presents_certificate, reader);
    let may_lack = keys.can_register || !matches!(how.value, RawClientAuth::Post | RawClientAuth::Basic);
    let remedy = "give it as a secret, or choose another oauth.client_auth";
    let client_secret = registered(keys.client_secret, may_lack, keys.place, "client_secret", remedy, reader);
    let own = ["grant_type", "code", "code_verifier", "refresh_token", "client_id", "client_secret"];
    let own = [&own[..], &["client_assertion", "client_assertion_type"]].concat();
    let more = [&own[..], &["redirect_uri", "scope"]].concat();
    let token_params = parameters(oauth.token_params, &more, reader);
    let refresh_params = parameters(oauth.refresh_params, &own, reader);
    let token_headers = token_headers(oauth.token_headers, reader);
    let revocation = revocation(&oauth.revocation, &oauth.revoke_url, url.as_ref(), keys.place, reader);
    Some(TokenEndpoint {
        place,
        url: url?,
        client_id: client_id?,
        client_secret: client_secret?,
        client_auth: client_auth?,
        token_params,
        refresh_params,
        token_headers,
        revocation,
    })
}

/// What is proved with the identity cannot be where there is none.
fn note_missing_identity(how: &Located<RawClientAuth>, presents_certificate: bool, reader: &mut Reader<'_>) {
    let lacks = match how.value {
        _ if presents_certificate => return,
        RawClientAuth::Tls => "the client authenticates by a certificate that is not sent",
        RawClientAuth::PrivateKeyJwt => {
            "the client authenticates by the identity's key, and tls.client_certificate = false leaves the identity out"
        }
        RawClientAuth::Post | RawClientAuth::Basic | RawClientAuth::None => return,
    };
    reader.error(&how.place, lacks, "leave tls.client_certificate out, or choose another one");
}

/// The keys that are about client assertions only.
struct AssertionKeys {
    algorithm: Field<SigningAlgorithm>,
    key_id: Field<String>,
}

impl AssertionKeys {
    fn take(oauth: &mut RawOauth) -> Self {
        Self { algorithm: take(&mut oauth.token_endpoint_auth_signing_alg), key_id: take(&mut oauth.kid) }
    }

    fn warn_of_no_use(&self, reader: &mut Reader<'_>) {
        for place in [self.algorithm.place(), self.key_id.place()].into_iter().flatten() {
            let remedy = "set oauth.client_auth = \"private_key_jwt\", or leave it out";
            reader.warn(place, "is of no use: the client authenticates without an assertion", remedy);
        }
    }

    fn valid(self, asked_at: &Place, issuer: Option<&str>, token_url: Option<&HttpsUrl>) -> Option<ClientAuth> {
        if matches!(self.algorithm, Field::Bad) || matches!(self.key_id, Field::Bad) {
            return None;
        }
        Some(ClientAuth::PrivateKeyJwt(Box::new(ClientAssertion {
            place: self.algorithm.place().unwrap_or(asked_at).clone(),
            audience: issuer.map_or_else(|| token_url.map(ToString::to_string), |issuer| Some(issuer.to_owned()))?,
            algorithm: self.algorithm.take(),
            key_id: self.key_id.take(),
        })))
    }
}

/// A credential that may be absent where the store may have it. The outer `None`: it is wrong, or lacks.
#[expect(clippy::option_option, reason = "whether there is one, and whether that is fine, are two questions")]
fn registered<T>(
    field: Field<T>,
    may_lack: bool,
    bank: &Place,
    key: &str,
    remedy: &str,
    reader: &mut Reader<'_>,
) -> Option<Option<T>> {
    if field.is_absent() && may_lack {
        return Some(None);
    }
    reader.need(field, bank, key, remedy).map(Some)
}

fn revocation(
    style: &Field<RawRevocation>,
    revoke_url: &Field<HttpsUrl>,
    token_url: Option<&HttpsUrl>,
    bank: &Place,
    reader: &mut Reader<'_>,
) -> Option<Revocation> {
    match (style.get(), revoke_url.get()) {
        (None, None) => None,
        (Some(RawRevocation::Rfc7009) | None, Some(url)) => Some(Revocation::Rfc7009(url.clone())),
        (Some(RawRevocation::Delete), Some(url)) => Some(Revocation::Delete(url.clone())),
        (Some(RawRevocation::Delete), None) => token_url.cloned().map(Revocation::Delete),
        (Some(RawRevocation::Rfc7009), None) => {
            if revoke_url.is_absent() {
                reader.error(&bank.below("oauth.revoke_url"), "is missing", "give the bank's revocation endpoint");
            }
            None
        }
    }
}
