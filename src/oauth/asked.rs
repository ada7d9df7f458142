//! What a token was asked for, where no person consents: one that was asked for otherwise is not used, and another is made.
//!
//! It is kept in the column of the certificate, behind that. A former release takes the whole for another certificate,
//! which after a 401 costs a renewal at most, and writes its own without it.

use std::collections::BTreeSet;

use serde_json::Value;
use tracing::warn;

use crate::config::{Bank, GrantType, HeaderTemplate};
use crate::store::{Facts, Grant, NewTokens};
use crate::words::GrantName;

use super::Tokens;
use super::callback::hash;
use super::slot::Slot;

/// What to do where a bank is at another host.
const IF_ANOTHER: &str = "Nothing, if the same bank has moved; if this is another one, forget its grants with `bankside grant \
                          remove BANK GRANT --local`, and log in";

impl Tokens {
    /// Publishes what the store says, unless something newer is known, or it was asked for otherwise.
    pub(super) fn adopt(&self, slot: &Slot, grant: &Grant) {
        if self.is_asked_alike(&grant.facts) {
            slot.adopt(grant);
        }
    }

    /// Whether the stored token was asked for as this configuration asks.
    pub(super) fn is_asked_alike(&self, facts: &Facts) -> bool {
        match (asked(facts), asks(&self.bank, &facts.key.grant)) {
            (None, Some(_)) => self.takes_unmarked,
            (former, ours) => former == ours.as_deref(),
        }
    }

    /// The tokens with the mark of what they were asked for.
    pub(super) fn marked(&self, grant: &GrantName, mut tokens: NewTokens) -> NewTokens {
        if let Some(asked) = asks(&self.bank, grant) {
            tokens.certificate = Some(format!("{} {asked}", tokens.certificate.unwrap_or_default()));
        }
        tokens
    }

    /// Whether each grant that is known here is asked for by this bank as by ours.
    pub(super) fn asks_like(&self, bank: &Bank) -> bool {
        let named = bank.grants.keys().filter(|grant| self.is_known(grant)).cloned();
        named.chain([GrantName::default()]).all(|grant| asks(&self.bank, &grant) == asks(bank, &grant))
    }

    /// Warns where this bank is at another host than ours, and persons gave the grants: those stay, and go there.
    pub(super) fn tell_of_a_move(&self, bank: &Bank) {
        if hosts(&self.bank).zip(hosts(bank)).is_some_and(|(former, hosts)| former != hosts) {
            warn!(bank = %bank.name, outcome = "moved", remedy = IF_ANOTHER, "token");
        }
    }
}

/// The origins of a bank and of its token endpoint, where persons give its grants.
fn hosts(bank: &Bank) -> Option<[(&str, u16); 2]> {
    let GrantType::AuthorizationCode(code) = &bank.grant_type else { return None };
    Some([(&bank.base_url.host, bank.base_url.port), (&code.token.url.host, code.token.url.port)])
}

/// The fingerprint of the certificate under which a token was issued.
pub(super) fn certificate(facts: &Facts) -> Option<&str> {
    let kept = facts.certificate.as_deref()?;
    Some(kept.split_once(' ').map_or(kept, |(certificate, _)| certificate))
        .filter(|certificate| !certificate.is_empty())
}

/// The mark of what a token was asked for.
fn asked(facts: &Facts) -> Option<&str> {
    Some(facts.certificate.as_deref()?.split_once(' ')?.1)
}

/// The mark of what this bank's tokens are asked for: by whom, where, for what, and for which host. A grant that a person
/// gave has none: no change of the configuration may cost a consent. The client's secret is not part of it, since another one
/// is the same client's; of field lines, which may hold secrets, hashes are: it is not sealed.
fn asks(bank: &Bank, grant: &GrantName) -> Option<String> {
    let GrantType::ClientCredentials(credentials) = &bank.grant_type else { return None };
    let (endpoint, base, url) = (&credentials.token, &bank.base_url, &credentials.token.url);
    let mut parts = vec![base.host.clone(), base.port.to_string()];
    parts.extend([url.host.clone(), url.port.to_string(), url.path_and_query.clone()]);
    parts.push(endpoint.client_id.clone().unwrap_or_default());
    let scopes: BTreeSet<_> = bank.scopes(grant).iter().cloned().collect();
    parts.push(scopes.len().to_string());
    parts.extend(scopes);
    parts.extend(endpoint.token_params.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
    let mut parts: Vec<Value> = parts.into_iter().map(Value::from).collect();
    let line = |(name, HeaderTemplate(value)): &(String, HeaderTemplate)| vec![name.clone(), hash(value.expose())];
    parts.extend(endpoint.token_headers.iter().map(line).map(Value::from));
    // As JSON no two lists of them read the same.
    Some(hash(Value::from(parts).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClientCredentials, TokenEndpoint};
    use crate::oauth::tests::support::{bank, by_code, by_credentials, endpoint, url};

    fn mark(bank: &Bank) -> String {
        asks(bank, &GrantName::default()).unwrap()
    }

    fn asking(scopes: &[&str], token: TokenEndpoint) -> Bank {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        bank(GrantType::ClientCredentials(Box::new(ClientCredentials { scopes, token })))
    }

    #[test]
    fn whoever_asks_elsewhere_for_more_or_as_another_client_asks_otherwise() {
        let given = |change: fn(&mut TokenEndpoint)| {
            let mut token = endpoint();
            change(&mut token);
            asking(&["ais", "pis"], token)
        };
        let mut moved = given(|_| ());
        moved.base_url.port = 8443;
        let mut elsewhere = given(|_| ());
        elsewhere.base_url.host = "bank2.example".into();
        let all = vec![
            given(|_| ()),
            moved,
            elsewhere,
            given(|token| token.url = url("/token2")),
            given(|token| token.url.host = "bank2.example".into()),
            given(|token| token.client_id = Some("other".into())),
            given(|token| token.client_id = None),
            given(|token| drop(token.token_params.insert("audience".into(), "a".into()))),
            given(|token| drop(token.token_params.insert("audience".into(), "b".into()))),
            given(|token| token.token_headers.push(("X-Tenant".into(), HeaderTemplate("a".into())))),
            given(|token| token.token_headers.push(("X-Tenant".into(), HeaderTemplate("b".into())))),
            given(|token| token.token_headers.push(("X-Other".into(), HeaderTemplate("a".into())))),
            asking(&["ais"], endpoint()),
            asking(&["ais pis"], endpoint()),
            asking(&[], endpoint()),
        ];
        assert_eq!(all.iter().map(mark).collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn another_order_of_the_scopes_another_secret_or_path_is_the_same() {
        let mut token = endpoint();
        token.client_secret = Some("another".into());
        let mut other = asking(&["pis", "ais", "pis"], token);
        other.base_url.path = "/v2".into();
        assert_eq!(mark(&other), mark(&asking(&["ais", "pis"], endpoint())));
    }

    #[test]
    fn each_grant_is_asked_for_with_its_own_scopes() {
        let pay: GrantName = "pay".parse().unwrap();
        let mut bank = bank(by_credentials());
        bank.grants.insert(pay.clone(), vec!["pisp".into()]);
        assert_ne!(asks(&bank, &pay).unwrap(), mark(&bank));
    }

    #[test]
    fn what_a_person_gave_has_no_mark() {
        let bank = bank(GrantType::AuthorizationCode(Box::new(by_code())));
        assert_eq!(asks(&bank, &GrantName::default()), None);
    }
}
