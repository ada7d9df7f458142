//! Registered applications, and how they prove at the token endpoint who they are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::sandbox::record::{lock, sha256};

use super::state::State;
use super::{Authority, BasicForm, OAuthError, Rules, SecretAt, TokenCall};

/// A registered application. The bank keeps a hash of the secret only.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) name: String,
    secret: [u8; 32],
    pub(super) redirect_uris: Vec<String>,
    /// The scopes that it may ask for.
    pub(super) scopes: Vec<String>,
    /// The subject of the certificate with which it was registered.
    owner: String,
}

/// What is said of an application when it is registered or changed.
#[derive(Clone, Debug, Default)]
pub(in crate::sandbox) struct NewClient {
    pub(in crate::sandbox) name: String,
    pub(in crate::sandbox) redirect_uris: Vec<String>,
    pub(in crate::sandbox) scopes: Vec<String>,
}

/// An application as its owner sees it: all but the secret.
#[derive(Clone, Debug, Serialize)]
pub(in crate::sandbox) struct Application {
    pub(in crate::sandbox) client_id: String,
    pub(in crate::sandbox) client_name: String,
    pub(in crate::sandbox) redirect_uris: Vec<String>,
    pub(in crate::sandbox) scopes: Vec<String>,
}

impl Client {
    pub(super) fn application(&self) -> Application {
        Application {
            client_id: self.id.clone(),
            client_name: self.name.clone(),
            redirect_uris: self.redirect_uris.clone(),
            scopes: self.scopes.clone(),
        }
    }
}

/// The registration of applications; `owner` is the subject of the certificate that asks.
impl Authority {
    /// Registers an application; the secret is told this once.
    pub(in crate::sandbox) fn register(&self, owner: &str, new: NewClient) -> (Application, String) {
        let (id, secret) = (self.random.uuid(), self.random.token());
        let application = self.insert(id, &secret, owner, new);
        (application, secret)
    }

    /// Adds a client that no registration made, for every scope that there is.
    pub(in crate::sandbox) fn add_client(&self, id: &str, secret: &str, redirect_uri: &str) {
        let new =
            NewClient { name: "Example TPP".to_owned(), redirect_uris: vec![redirect_uri.to_owned()], scopes: vec![] };
        self.insert(id.to_owned(), secret, "", new);
    }

    fn insert(&self, id: String, secret: &str, owner: &str, new: NewClient) -> Application {
        let client = Client {
            id: id.clone(),
            name: new.name,
            secret: sha256(secret.as_bytes()),
            redirect_uris: new.redirect_uris,
            scopes: self.known_or_all(new.scopes),
            owner: owner.to_owned(),
        };
        let application = client.application();
        let mut state = lock(&self.state);
        state.clients.insert(id, client);
        state.seen.push(("client secret", secret.to_owned()));
        application
    }

    fn known_or_all(&self, scopes: Vec<String>) -> Vec<String> {
        if scopes.is_empty() { self.style.scopes.iter().map(|&scope| scope.to_owned()).collect() } else { scopes }
    }

    /// Whether there is such a scope.
    pub(in crate::sandbox) fn knows_scope(&self, scope: &str) -> bool {
        self.style.scopes.contains(&scope)
    }

    pub(in crate::sandbox) fn add_redirect_uri(&self, client_id: &str, redirect_uri: &str) {
        if let Some(client) = lock(&self.state).clients.get_mut(client_id) {
            client.redirect_uris.push(redirect_uri.to_owned());
        }
    }

    /// The applications that `owner` registered.
    pub(in crate::sandbox) fn applications(&self, owner: &str) -> Vec<Application> {
        lock(&self.state).clients.values().filter(|client| client.owner == owner).map(Client::application).collect()
    }

    /// One of them.
    pub(in crate::sandbox) fn application(&self, owner: &str, id: &str) -> Option<Application> {
        owned(&mut lock(&self.state), owner, id).map(|client| client.application())
    }

    /// Changes one of them. Other scopes than before end the grants that were made for it.
    pub(in crate::sandbox) fn change_application(&self, owner: &str, id: &str, new: NewClient) -> Option<Application> {
        let mut state = lock(&self.state);
        let scopes = self.known_or_all(new.scopes);
        let client = owned(&mut state, owner, id)?;
        let others = scopes != client.scopes;
        (client.name, client.redirect_uris, client.scopes) = (new.name, new.redirect_uris, scopes);
        let application = client.application();
        if others {
            end_grants_of(&mut state, id);
        }
        Some(application)
    }

    /// Deletes one of them with its grants.
    pub(in crate::sandbox) fn delete_application(&self, owner: &str, id: &str) -> bool {
        let mut state = lock(&self.state);
        let there = owned(&mut state, owner, id).is_some();
        if there {
            state.clients.remove(id);
            end_grants_of(&mut state, id);
        }
        there
    }

    /// A secret in place of the old one, which is void at once.
    pub(in crate::sandbox) fn renew_secret(&self, owner: &str, id: &str) -> Option<(Application, String)> {
        let mut state = lock(&self.state);
        let client = owned(&mut state, owner, id)?;
        let secret = self.random.token();
        client.secret = sha256(secret.as_bytes());
        let application = client.application();
        state.seen.push(("client secret", secret.clone()));
        Some((application, secret))
    }

    /// Whether a call comes from one of the clients.
    pub(in crate::sandbox) fn check_client(&self, call: &TokenCall<'_>) -> Result<(), OAuthError> {
        self.authenticate(&mut lock(&self.state), &self.rules(), call).map(|_| ())
    }

    /// The client that a token call comes from.
    pub(super) fn authenticate(
        &self,
        state: &mut State,
        rules: &Rules,
        call: &TokenCall<'_>,
    ) -> Result<Client, OAuthError> {
        let failed = || OAuthError::unauthorized("invalid_client", "Client authentication failed");
        if rules.private_key_jwt {
            let id = self.check_assertion(state, call);
            let id = id.map_err(|reason| OAuthError::unauthorized("invalid_client", reason))?;
            return state.clients.get(&id).cloned().ok_or_else(failed);
        }
        let in_form = (call.field("client_id"), call.field("client_secret"));
        if let ((Some(id), Some(secret)), SecretAt::FormThenBasic) = (in_form, rules.secret_at) {
            return proven(state, id, secret).ok_or_else(failed);
        }
        if let Some(basic) = call.basic {
            return from_basic(state, rules, basic).ok_or_else(failed);
        }
        if let ((Some(id), None), true, Some(_)) = (in_form, rules.tls_client_auth, call.peer.serial()) {
            return state.clients.get(id).cloned().ok_or_else(failed);
        }
        Err(failed())
    }

    /// Whether there is such a client.
    pub(in crate::sandbox) fn has_client(&self, id: &str) -> bool {
        lock(&self.state).clients.contains_key(id)
    }
}

fn owned<'a>(state: &'a mut State, owner: &str, id: &str) -> Option<&'a mut Client> {
    state.clients.get_mut(id).filter(|client| client.owner == owner)
}

fn end_grants_of(state: &mut State, client_id: &str) {
    for grant in state.grants.values_mut().filter(|grant| grant.client_id == client_id) {
        grant.revoked = true;
    }
}

fn proven(state: &State, id: &str, secret: &str) -> Option<Client> {
    state.clients.get(id).filter(|client| client.secret == sha256(secret.as_bytes())).cloned()
}

fn from_basic(state: &State, rules: &Rules, basic: &str) -> Option<Client> {
    let decoded = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let raw = || proven(state, id, secret);
    let encoded = || proven(state, &form_decoded(id), &form_decoded(secret));
    match rules.basic_form {
        BasicForm::Raw => raw(),
        BasicForm::Encoded => encoded(),
        BasicForm::Either => raw().or_else(encoded),
    }
}

/// A single value as `application/x-www-form-urlencoded` writes it, read back.
fn form_decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
