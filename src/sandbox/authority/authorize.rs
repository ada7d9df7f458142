//! The authorization endpoint (RFC 6749, section 4.1.1): what may be asked, and the code that consent gives.

use std::time::Duration;

use serde::Deserialize;

use crate::sandbox::record::lock;

use super::Authority;
use super::clients::Client;
use super::state::{Challenge, Code, Session, State};

/// How long an `auth_id` lasts.
const SESSION_LIFETIME: Duration = Duration::from_mins(15);

/// The query of the authorization endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in crate::sandbox) struct AuthorizeRequest {
    response_type: Option<String>,
    client_id: Option<String>,
    redirect_uri: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    auth_id: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
}

/// Why an authorization does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Refusal {
    /// The customer is told; where to send them back to is not certain.
    Page(&'static str),
    /// The app is told: this is where the browser goes.
    Redirect(String),
}

/// A request that may be put before the customer.
pub(in crate::sandbox) struct Asked {
    /// The app's name.
    pub(in crate::sandbox) client_name: String,
    /// What it asks for.
    pub(in crate::sandbox) scopes: Vec<String>,
    client_id: String,
    redirect_uri: String,
    state: String,
    challenge: Option<Challenge>,
}

impl Authority {
    /// Gives out an `auth_id` for one authorization.
    pub(in crate::sandbox) fn open_session(&self, client_id: &str) -> String {
        let id = self.random.uuid();
        let expires = self.clock.now().plus(SESSION_LIFETIME);
        lock(&self.state).sessions.insert(id.clone(), Session { client_id: client_id.to_owned(), expires });
        id
    }

    /// Whether the request may be put before the customer.
    pub(in crate::sandbox) fn ask(&self, request: &AuthorizeRequest) -> Result<Asked, Refusal> {
        self.check(&lock(&self.state), request)
    }

    /// What the customer decided: where the browser goes. Uses the `auth_id` up.
    pub(in crate::sandbox) fn decide(&self, request: &AuthorizeRequest, approved: bool) -> Result<String, Refusal> {
        let code_lifetime = self.rules().code_lifetime;
        let mut state = lock(&self.state);
        let asked = self.check(&state, request)?;
        if let Some(session) = &request.auth_id {
            state.sessions.remove(session);
        }
        if !approved {
            return Ok(back(&asked.redirect_uri, &[("error", "access_denied"), ("state", &asked.state)]));
        }
        let code = self.random.token();
        let location = back(&asked.redirect_uri, &[("code", &code), ("state", &asked.state)]);
        let entry = Code {
            client_id: asked.client_id,
            redirect_uri: asked.redirect_uri,
            scopes: asked.scopes,
            challenge: asked.challenge,
            expires: self.clock.now().plus(code_lifetime),
            used: None,
        };
        state.codes.insert(code, entry);
        Ok(location)
    }

    fn check(&self, state: &State, request: &AuthorizeRequest) -> Result<Asked, Refusal> {
        let client = request.client_id.as_ref().and_then(|id| state.clients.get(id));
        let client = client.ok_or(Refusal::Page("The app that sent you here is not registered."))?;
        let redirect_uri = request.redirect_uri.as_ref().filter(|&uri| client.redirect_uris.contains(uri));
        let redirect_uri = redirect_uri.ok_or(Refusal::Page("The address to return to is not the registered one."))?;
        let given_state = request.state.as_deref().unwrap_or_default();
        let refuse = |error, description| {
            let parameters = [("error", error), ("error_description", description), ("state", given_state)];
            Refusal::Redirect(back(redirect_uri, &parameters))
        };
        if given_state.is_empty() {
            return Err(refuse("invalid_request", "state is missing"));
        }
        if request.response_type.as_deref() != Some("code") {
            return Err(refuse("unsupported_response_type", "response_type must be code"));
        }
        self.check_session(state, request, client).map_err(|description| refuse("invalid_request", description))?;
        let scopes = self.check_scopes(request, client).map_err(|description| refuse("invalid_scope", description))?;
        let challenge = challenge(request).map_err(|description| refuse("invalid_request", description))?;
        Ok(Asked {
            client_name: client.name.clone(),
            scopes,
            client_id: client.id.clone(),
            redirect_uri: redirect_uri.clone(),
            state: given_state.to_owned(),
            challenge,
        })
    }

    fn check_session(&self, state: &State, request: &AuthorizeRequest, client: &Client) -> Result<(), &'static str> {
        if !self.style.session {
            return Ok(());
        }
        let id = request.auth_id.as_ref().ok_or("auth_id is missing")?;
        let session = state.sessions.get(id).ok_or("auth_id is unknown or was used")?;
        if session.client_id != client.id {
            return Err("auth_id belongs to another client");
        }
        if session.expires <= self.clock.now() { Err("auth_id has expired") } else { Ok(()) }
    }

    fn check_scopes(&self, request: &AuthorizeRequest, client: &Client) -> Result<Vec<String>, &'static str> {
        let scopes: Vec<String> =
            request.scope.as_deref().unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
        match scopes.as_slice() {
            [] => Err("scope is missing"),
            [_, _, ..] if self.style.one_scope => Err("only one scope can be asked for at a time"),
            some if some.iter().all(|scope| client.scopes.contains(scope)) => Ok(scopes),
            _ => Err("a scope is not known or not granted to this client"),
        }
    }
}

fn challenge(request: &AuthorizeRequest) -> Result<Option<Challenge>, &'static str> {
    let Some(challenge) = &request.code_challenge else { return Ok(None) };
    let fits = (43..=128).contains(&challenge.len())
        && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    if !fits {
        return Err("code_challenge must be 43 to 128 unreserved characters");
    }
    match request.code_challenge_method.as_deref().unwrap_or("plain") {
        "plain" => Ok(Some(Challenge::Plain(challenge.clone()))),
        "S256" => Ok(Some(Challenge::S256(challenge.clone()))),
        _ => Err("code_challenge_method must be plain or S256"),
    }
}

/// The redirect URI with parameters added to its query (RFC 6749, section 4.1.2).
fn back(redirect_uri: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let mark = if redirect_uri.contains('?') { '&' } else { '?' };
    format!("{redirect_uri}{mark}{}", query.finish())
}
