//! The app's registration at the bank, by requests that the configuration declares (RFC 7591 in spirit).
//!
//! A secret is shown once, and the bank keeps a hash of it: so the store must take a row before anything is asked for,
//! and an answer is offered to the store until it takes it.

mod secret;

use std::time::Duration;

use http::Method;

use crate::config::{GrantType, HttpsUrl, Registration};
use crate::message::Request;
use crate::store::{Answer, Attempt, RegisteredClient, Standing, StoreError};
use crate::words::{GrantName, Secret, with_causes};

use super::keep::keep;
use super::registration_outcome::{RegistrationError, RegistrationReport, merged};
use super::registration_wire::{Said, applications, filled, refusal, registration_request, said};
use super::request::{add_headers, bare};
use super::{CallAnswer, Tokens};

/// How long the row lasts that shows whether the store takes one.
const PROBE_LIFE: Duration = Duration::from_secs(1);

/// Hears what a person should know while it is done: warnings, and why it takes so long.
pub type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);

impl Tokens {
    /// Registers the app under this name: the client id. Its secret is durable by then.
    pub async fn register(&self, name: &str, tell: Tell<'_>) -> Result<String, RegistrationError> {
        let registration = self.registration()?;
        let known = self.parts.store.clients(&self.bank.name).await?;
        let configured = self.configured_client().0.is_some();
        if let Some(client) = known.last().filter(|_| !configured) {
            self.refuse_if_grants_depend(&client.client_id).await?;
            tell(&format!(
                "warning: the app is registered as {}; the new registration takes its place",
                client.client_id
            ));
        }
        self.probe_store().await?;
        let fields = filled(&registration.fields, name, self.redirect_uri(), &self.wanted_scopes());
        let mut request = registration_request(&registration.url, registration.format, &fields);
        self.add_endpoint_headers(&mut request);
        let advice = "the app may be registered all the same: look with --list before trying again";
        let answer = self.ask(&registration.url, request, advice).await?;
        let Said { client_id, client_secret } = said(registration, &answer);
        let client_id = client_id.ok_or(RegistrationError::Lacking("client id"))?;
        let lacks_secret = client_secret.is_none() && self.needs_secret();
        self.keep_client(&client_id, client_secret, tell).await?;
        self.tell_of_others(&client_id, &known, tell).await;
        if configured {
            tell(
                "warning: `client_id` is configured and wins: take it, and `client_secret`, out of the configuration to use this registration",
            );
            // What can be done is done: a store that fails now costs the warning only.
            let grants = self.dependent_grants().await.unwrap_or(0);
            if grants > 0 {
                tell(&format!(
                    "warning: that ends the {grants} grants of the configured client: the bank renews them for it only, and \
                     each needs a new login then"
                ));
            }
        }
        if lacks_secret {
            return Err(RegistrationError::NoSecret {
                way_on: self.way_to_secret(registration, &client_id),
                client_id,
            });
        }
        Ok(client_id)
    }

    /// Tells of clients that others have registered since these were known: of two who register at once, both work.
    async fn tell_of_others(&self, client_id: &str, known: &[RegisteredClient], tell: Tell<'_>) {
        // Ours is kept: a store that fails now costs the warning only.
        let stored = self.parts.store.clients(&self.bank.name).await.unwrap_or_default();
        let is_known = |id: &str| id == client_id || known.iter().any(|client| client.client_id == id);
        for other in stored.iter().map(|client| &client.client_id).filter(|id| !is_known(id)) {
            tell(&format!(
                "warning: the app was registered as {other} meanwhile, too; --list says which is in use, and --delete \
                 {other} ends that one"
            ));
        }
    }

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
                let answer = self.ask(url, request, "try again later").await?;
                Some(applications(registration, &answer).ok_or(RegistrationError::Lacking("list"))?)
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
                Err(RegistrationError::Missing) if self.may_be_stored(client_id).await => {
                    return Err(RegistrationError::NotAtBank { client_id: client_id.to_owned() });
                }
                asked => drop(asked?),
            }
        }
        let removed = self.parts.store.remove_client(&self.bank.name, client_id).await;
        let was_stored = removed.map_err(if local { RegistrationError::Store } else { RegistrationError::NotKept })?;
        if local && !was_stored {
            return Err(RegistrationError::Missing);
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

    /// Whether a client that is registered now is of no use without a secret of the bank's. Beside a configured id, the
    /// configured secret is that client's.
    fn needs_secret(&self) -> bool {
        let endpoint = self.bank.grant_type.token_endpoint();
        endpoint.is_some_and(|endpoint| endpoint.client_auth.needs_secret())
            && !matches!(self.configured_client(), (None, true))
    }

    /// What can be done about a client that was registered without a secret.
    fn way_to_secret(&self, registration: &Registration, client_id: &str) -> String {
        let register = format!("bankside register {}", self.bank.name);
        let renewed = (registration.renew.is_some() && self.configured_client().0.is_none())
            .then(|| format!("mend that and run `{register} --renew-secret`"));
        let deleted = match registration.delete {
            Some(_) => format!("end this registration by `{register} --delete {client_id}`"),
            None => format!(
                "have the bank end this registration, and forget it by `{register} --delete {client_id} --local`"
            ),
        };
        renewed.into_iter().chain([deleted]).collect::<Vec<_>>().join("; or ")
    }

    async fn client_in_use(&self) -> Result<Option<String>, StoreError> {
        if let (Some(id), _) = self.configured_client() {
            return Ok(Some(id.to_owned()));
        }
        Ok(self.parts.store.clients(&self.bank.name).await?.pop().map(|client| client.client_id))
    }

    async fn refuse_if_grants_depend(&self, client_id: &str) -> Result<(), RegistrationError> {
        let (client_id, grants) = (client_id.to_owned(), self.dependent_grants().await?);
        if grants == 0 { Ok(()) } else { Err(RegistrationError::GrantsDepend { client_id, grants }) }
    }

    /// How many grants the bank renews for the present client only.
    async fn dependent_grants(&self) -> Result<usize, StoreError> {
        let grants = self.parts.store.list(&self.bank.name).await?;
        Ok(grants.iter().filter(|facts| facts.standing == Standing::Active && facts.refreshable).count())
    }

    fn redirect_uri(&self) -> &str {
        match &self.bank.grant_type {
            GrantType::AuthorizationCode(code) => &code.redirect_uri,
            GrantType::ClientCredentials(_) | GrantType::Fixed(_) => "",
        }
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
        if let Some(endpoint) = self.bank.grant_type.token_endpoint() {
            add_headers(&mut request.fields, &endpoint.token_headers, &self.parts.random);
        }
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
            404 | 410 => Err(RegistrationError::Missing),
            _ => Err(RegistrationError::Refused(refusal(&answer))),
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

    /// Keeps a client, however long the store takes.
    async fn keep_client(
        &self,
        client_id: &str,
        secret: Option<Secret>,
        tell: Tell<'_>,
    ) -> Result<(), RegistrationError> {
        let client = self.to_keep(client_id, secret);
        keep_told(client_id, || self.parts.store.put_client(&self.bank.name, client.clone()), tell).await
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

/// The URL with its `{client_id}` filled in; the id may hold anything.
fn with_id(url: &HttpsUrl, client_id: &str) -> HttpsUrl {
    let id = percent_encoding::utf8_percent_encode(client_id, percent_encoding::NON_ALPHANUMERIC).to_string();
    // What RFC 3986 never escapes stays readable: ids are often UUIDs.
    let id = id.replace("%2D", "-").replace("%2E", ".").replace("%5F", "_").replace("%7E", "~");
    HttpsUrl { path_and_query: url.path_and_query.replace("{client_id}", &id), ..url.clone() }
}
