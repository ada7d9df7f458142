//! A new registration of the app. Where another one is in use, it takes that one's place.

use crate::config::{GrantType, Registration};
use crate::oauth::Tokens;
use crate::oauth::registration_outcome::RegistrationError;
use crate::oauth::registration_wire::{Said, filled, registration_request, said};
use crate::store::{RegisteredClient, Standing, StoreError};
use crate::words::Secret;

use super::words::outline;
use super::{Tell, keep_told};

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
        let answer = self.ask(&registration.url, request, advice).await;
        let answer = answer.map_err(|error| error.of_address("registration.url"))?;
        let Said { client_id, client_secret } = said(registration, &answer);
        let lacking = || RegistrationError::Lacking { what: "client id", answer: outline(&answer) };
        let client_id = client_id.ok_or_else(lacking)?;
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
                answer: outline(&answer),
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
}
