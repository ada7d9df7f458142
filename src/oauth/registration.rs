//! The app's registration at the bank, by requests that the configuration declares (RFC 7591 in spirit).
//!
//! A secret is shown once, and the bank keeps a hash of it: so the store must take a row before anything is asked for,
//! and an answer is offered to the store until it takes it.

mod new;
mod secret;
mod words;

use std::time::Duration;

use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::{HeaderTemplate, HttpsUrl, Registration};
use crate::message::Request;
use crate::store::{Answer, Attempt, RegisteredClient, StoreError};
use crate::words::{GrantName, Secret, with_causes};

use super::keep::keep;
use super::registration_outcome::{RegistrationError, RegistrationReport, merged};
use super::registration_wire::applications;
use super::request::{add_headers, bare};
use super::{CallAnswer, Tokens};
use words::{outline, refusal};

/// How long the row lasts that shows whether the store takes one.
const PROBE_LIFE: Duration = Duration::from_secs(1);

/// Hears what a person should know while it is done: warnings, and why it takes so long.
pub type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);

impl Tokens {
    /// The registrations that the store knows, and those that the bank lists to the holder of our certificate.
    pub async fn registrations(&self, tell: Tell<'_>) -> Result<Vec<RegistrationReport>, RegistrationError> {
        let registration = self.registration()?;
        let in_use = self.client_in_use().await?;
        let stored = self.parts.store.clients(&self.bank.name).await?;
        let listed = match &registration.list {
            None => None,
            Some(url) => {
                let mut request = bare(Method::GET, url);
                self.add_endpoint_headers(&mut request);
                let answer = self.ask(url, request, "try again later").await;
                let answer = answer.map_err(|error| error.of_address("registration.list_url"))?;
                let lacking = || RegistrationError::Lacking { what: "list", answer: outline(&answer) };
                Some(applications(registration, &answer).ok_or_else(lacking)?)
            }
        };
        let reports = merged(stored, listed, in_use.as_deref());
        self.warn_of_scopes(&reports, tell);
        Ok(reports)
    }

    /// Ends a registration at the bank (unless `local`), and forgets it.
    pub async fn unregister(&self, client_id: &str, local: bool, tell: Tell<'_>) -> Result<(), RegistrationError> {
        let registration = self.registration()?;
        if !local {
            let url = registration.delete.as_ref().ok_or(RegistrationError::NotOffered("delete_url"))?;
            let url = with_id(url, client_id);
            let mut request = bare(Method::DELETE, &url);
            self.add_endpoint_headers(&mut request);
            match self.ask(&url, request, "it may be deleted all the same: look with --list").await {
                // A wrong address is answered so, too: then the bank still has what would be forgotten here.
                Err(RegistrationError::Missing(_)) if self.may_be_stored(client_id).await => {
                    return Err(RegistrationError::NotAtBank { client_id: client_id.to_owned() });
                }
                asked => drop(asked?),
            }
        }
        let removed = self.parts.store.remove_client(&self.bank.name, client_id).await;
        let was_stored = removed.map_err(if local { RegistrationError::Store } else { RegistrationError::NotKept })?;
        if local && !was_stored {
            return Err(RegistrationError::Missing(StatusCode::NOT_FOUND));
        }
        if !local {
            tell("warning: the bank ends the grants of a client that it deletes; who used them has to authorize again");
        }
        Ok(())
    }

    async fn may_be_stored(&self, client_id: &str) -> bool {
        let stored = self.parts.store.clients(&self.bank.name).await;
        stored.map_or(true, |stored| stored.iter().any(|client| client.client_id == client_id))
    }

    fn registration(&self) -> Result<&Registration, RegistrationError> {
        self.bank.registration.as_ref().ok_or(RegistrationError::None)
    }

    /// The configured client id, and whether a secret is configured.
    fn configured_client(&self) -> (Option<&str>, bool) {
        let endpoint = self.bank.grant_type.token_endpoint();
        endpoint.map_or((None, false), |endpoint| (endpoint.client_id.as_deref(), endpoint.client_secret.is_some()))
    }

    async fn client_in_use(&self) -> Result<Option<String>, StoreError> {
        if let (Some(id), _) = self.configured_client() {
            return Ok(Some(id.to_owned()));
        }
        Ok(self.parts.store.clients(&self.bank.name).await?.pop().map(|client| client.client_id))
    }

    /// The scopes of the bank and of its named grants, each once.
    fn wanted_scopes(&self) -> Vec<String> {
        let default = GrantName::default();
        let grants = std::iter::once(&default).chain(self.bank.grants.keys());
        let mut wanted: Vec<String> = Vec::new();
        for scope in grants.flat_map(|grant| self.bank.scopes(grant)) {
            if !wanted.contains(scope) {
                wanted.push(scope.clone());
            }
        }
        wanted
    }

    fn warn_of_scopes(&self, reports: &[RegistrationReport], tell: Tell<'_>) {
        let registered = reports.iter().find(|report| report.in_use).and_then(|report| report.scopes.as_ref());
        let Some(registered) = registered.filter(|scopes| !scopes.is_empty()) else { return };
        let missing: Vec<String> =
            self.wanted_scopes().into_iter().filter(|scope| !registered.contains(scope)).collect();
        if !missing.is_empty() {
            tell(&format!(
                "warning: the registration in use lacks the scopes that the configuration asks for: {}. To change a \
                 registration's scopes ends its grants at the bank",
                missing.join(" ")
            ));
        }
    }

    fn add_endpoint_headers(&self, request: &mut Request) {
        add_headers(&mut request.fields, self.endpoint_headers(), &self.parts.random);
    }

    fn endpoint_headers(&self) -> &[(String, HeaderTemplate)] {
        self.bank.grant_type.token_endpoint().map_or(&[], |endpoint| &endpoint.token_headers)
    }

    async fn ask(
        &self,
        url: &HttpsUrl,
        request: Request,
        advice: &'static str,
    ) -> Result<CallAnswer, RegistrationError> {
        let answer = self.parts.call.call(url, request, self.call_limit(), &|_| ()).await;
        let answer = answer.map_err(|error| RegistrationError::Unanswered {
            reason: with_causes(&error),
            advice: if error.sent { advice } else { "nothing was sent: try again" },
        })?;
        match answer.status.as_u16() {
            200..=299 => Ok(answer),
            404 | 410 => Err(RegistrationError::Missing(answer.status)),
            _ => Err(RegistrationError::Refused(refusal(&answer, self.registration()?, self.endpoint_headers()))),
        }
    }

    /// Whether the store takes a row: the bank tells a secret once.
    async fn probe_store(&self) -> Result<(), StoreError> {
        let probe = Attempt {
            bank: self.bank.name.clone(),
            grant: GrantName::default(),
            state_hash: self.parts.random.token(),
            verifier: None,
            session: None,
            client_id: String::new(),
            redirect_uri: String::new(),
            scopes: Vec::new(),
        };
        let name = probe.state_hash.clone();
        self.parts.store.put_attempt(probe, PROBE_LIFE).await?;
        self.parts.store.take_attempt(&self.bank.name, &name, 0).await.map(drop)
    }

    fn to_keep(&self, client_id: &str, client_secret: Option<Secret>) -> RegisteredClient {
        RegisteredClient { client_id: client_id.to_owned(), client_secret, registered_at: self.parts.clock.now() }
    }
}

/// Offers a client to the store until that takes it, and says so: its secret exists nowhere else.
async fn keep_told<'a, T>(
    client_id: &str,
    put: impl Fn() -> Answer<'a, T>,
    tell: Tell<'_>,
) -> Result<T, RegistrationError> {
    let mut told = false;
    let kept = keep(put, |error| {
        if !std::mem::replace(&mut told, true) {
            tell(&format!(
                "the store does not take the credentials of {client_id} ({}). They are lost if this is interrupted: \
                 mend the store, it is tried again until it works",
                with_causes(error)
            ));
        }
    });
    kept.await.map_err(RegistrationError::NotKept)
}

/// All but the unreserved characters (RFC 3986, section 2.3): ids are often UUIDs, and stay readable.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URL with its `{client_id}` filled in; the id may hold anything.
fn with_id(url: &HttpsUrl, client_id: &str) -> HttpsUrl {
    let id = utf8_percent_encode(client_id, RESERVED).to_string();
    HttpsUrl { path_and_query: url.path_and_query.replace("{client_id}", &id), ..url.clone() }
}
