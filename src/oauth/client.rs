//! Who we are to the token endpoint, and how we prove it (RFC 6749, section 2.3; RFC 7523).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::config::{BasicEncoding, ClientAuth, TokenEndpoint};
use crate::message::Fields;
use crate::store::{RegisteredClient, Store, StoreError};
use crate::words::{BankName, Secret};

use super::request::{Form, Means};
use super::{CallError, assertion};

/// A client's credentials.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: Option<Secret>,
}

/// What keeps a client from being one that tokens can be asked for as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// Nobody is known.
    Id,
    /// It proves itself with a secret, and none is known: an empty one proves nothing, and banks count wrong ones.
    Secret,
}

/// The client of this endpoint: what the configuration says, else what was registered last.
pub(super) async fn find(
    endpoint: &TokenEndpoint,
    store: &dyn Store,
    bank: &BankName,
) -> Result<Result<Client, Lack>, StoreError> {
    let has_secret = endpoint.client_secret.is_some() || !endpoint.client_auth.needs_secret();
    let complete = endpoint.client_id.is_some() && has_secret;
    let registered = if complete { Vec::new() } else { store.clients(bank).await? };
    Ok(usable(endpoint, choose(endpoint, registered)))
}

/// The client that the configuration names, where there is no store to look into.
pub(super) fn configured(endpoint: &TokenEndpoint) -> Result<Client, Lack> {
    usable(endpoint, choose(endpoint, Vec::new()))
}

fn usable(endpoint: &TokenEndpoint, found: Option<Client>) -> Result<Client, Lack> {
    let client = found.ok_or(Lack::Id)?;
    if client.secret.is_none() && endpoint.client_auth.needs_secret() { Err(Lack::Secret) } else { Ok(client) }
}

fn choose(endpoint: &TokenEndpoint, registered: Vec<RegisteredClient>) -> Option<Client> {
    let wanted = endpoint.client_id.as_deref();
    let stored = registered.into_iter().rfind(|client| wanted.is_none_or(|id| client.client_id == id));
    let (stored_id, stored_secret) =
        stored.map_or((None, None), |client| (Some(client.client_id), client.client_secret));
    Some(Client {
        id: endpoint.client_id.clone().or(stored_id)?,
        secret: endpoint.client_secret.clone().or(stored_secret),
    })
}

impl Client {
    /// Adds what authenticates this client to a form or its field lines. It fails where the client cannot prove itself:
    /// then nothing was sent.
    pub(super) async fn authenticate(
        &self,
        how: &ClientAuth,
        means: &Means<'_>,
        form: &mut Form,
        fields: &mut Fields,
    ) -> Result<(), CallError> {
        let secret = self.secret.as_ref().map_or(&b""[..], Secret::expose);
        match how {
            ClientAuth::ClientSecretPost => {
                form.set("client_id", &self.id);
                form.set("client_secret", &Zeroizing::new(String::from_utf8_lossy(secret).into_owned()));
            }
            ClientAuth::ClientSecretBasic(encoding) => fields.set("Authorization", basic(&self.id, secret, *encoding)),
            ClientAuth::TlsClientAuth | ClientAuth::None => form.set("client_id", &self.id),
            ClientAuth::PrivateKeyJwt(what) => {
                let assertion = assertion::make(what, &self.id, means).await.map_err(CallError::unsent)?;
                // RFC 7521, section 4.2: the id is optional beside an assertion, and some servers look for it first.
                form.set("client_id", &self.id);
                form.set("client_assertion_type", assertion::TYPE);
                form.set_secret("client_assertion", &assertion);
            }
        }
        Ok(())
    }
}

fn basic(id: &str, secret: &[u8], encoding: BasicEncoding) -> String {
    let mut pair = Zeroizing::new(Vec::new());
    match encoding {
        BasicEncoding::Form => {
            byte_serialize(id.as_bytes()).for_each(|part| pair.extend_from_slice(part.as_bytes()));
            pair.push(b':');
            byte_serialize(secret).for_each(|part| pair.extend_from_slice(part.as_bytes()));
        }
        BasicEncoding::Raw => {
            pair.extend_from_slice(id.as_bytes());
            pair.push(b':');
            pair.extend_from_slice(secret);
        }
    }
    format!("Basic {}", STANDARD.encode(&*pair))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::support::endpoint;
    use crate::words::Timestamp;

    fn registered(id: &str, secret: &str) -> RegisteredClient {
        RegisteredClient {
            client_id: id.into(),
            client_secret: Some(secret.into()),
            registered_at: Timestamp::default(),
        }
    }

    #[test]
    fn basic_credentials_are_encoded_as_the_bank_expects() {
        let decode = |text: String| String::from_utf8(STANDARD.decode(text.trim_start_matches("Basic ")).unwrap());
        assert_eq!(decode(basic("a b", b"s:c+ret%", BasicEncoding::Form)).unwrap(), "a+b:s%3Ac%2Bret%25");
        assert_eq!(decode(basic("a b", b"s:c+ret%", BasicEncoding::Raw)).unwrap(), "a b:s:c+ret%");
    }

    #[test]
    fn a_configured_client_wins_over_stored_ones() {
        let mut endpoint = endpoint();
        endpoint.client_id = Some("configured".into());
        endpoint.client_secret = Some("own".into());
        let client = choose(&endpoint, vec![registered("stored", "other")]).unwrap();
        assert_eq!(client.id, "configured");
        assert!(client.secret.unwrap().matches(b"own"));
    }

    #[test]
    fn without_a_configured_one_the_last_registered_client_is_used() {
        let mut endpoint = endpoint();
        (endpoint.client_id, endpoint.client_secret) = (None, None);
        let both = || vec![registered("first", "1"), registered("last", "2")];
        assert_eq!(choose(&endpoint, both()).unwrap().id, "last");
        assert!(choose(&endpoint, Vec::new()).is_none());
    }

    #[test]
    fn a_configured_id_without_a_secret_takes_its_own_stored_secret_only() {
        let mut endpoint = endpoint();
        (endpoint.client_id, endpoint.client_secret) = (Some("first".into()), None);
        let both = || vec![registered("first", "1"), registered("last", "2")];
        assert!(choose(&endpoint, both()).unwrap().secret.unwrap().matches(b"1"));
        endpoint.client_id = Some("unknown".into());
        assert!(choose(&endpoint, both()).unwrap().secret.is_none());
    }

    #[test]
    fn a_client_without_the_secret_that_it_needs_is_none() {
        let mut endpoint = endpoint();
        endpoint.client_secret = None;
        for auth in [ClientAuth::ClientSecretPost, ClientAuth::ClientSecretBasic(BasicEncoding::Form)] {
            endpoint.client_auth = auth;
            assert_eq!(configured(&endpoint).unwrap_err(), Lack::Secret);
        }
        for auth in [ClientAuth::TlsClientAuth, ClientAuth::None] {
            endpoint.client_auth = auth;
            assert_eq!(configured(&endpoint).unwrap().id, "xxxx1234");
        }
        endpoint.client_id = None;
        assert_eq!(configured(&endpoint).unwrap_err(), Lack::Id);
    }
}
