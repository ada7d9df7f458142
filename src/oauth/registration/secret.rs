//! Another secret for a registered client. The bank makes the one before it void at once.

use http::Method;

use crate::config::{HttpsUrl, Registration};
use crate::oauth::Tokens;
use crate::oauth::registration_outcome::RegistrationError;
use crate::oauth::registration_wire::said;
use crate::oauth::request::bare;
use crate::store::StoreError;
use crate::words::Timestamp;

use super::words::outline;
use super::{Tell, keep_told, with_id};

impl Tokens {
    /// Gives the client that is in use another secret, which is durable when this returns: the client id.
    pub async fn renew_secret(&self, tell: Tell<'_>) -> Result<String, RegistrationError> {
        let registration = self.registration()?;
        let (method, url) = registration.renew.as_ref().ok_or(RegistrationError::NotOffered("renew_url"))?;
        let client_id = self.client_in_use().await?.ok_or(RegistrationError::NoClient)?;
        self.probe_store().await?;
        tell(
            "warning: the bank takes the old secret no more from here on; running sidecars take up the stored one by themselves",
        );
        let url = with_id(url, &client_id);
        let mut former = self.kept_at(&client_id).await?;
        // Which of two secrets is the later one, the order of the answers does not tell: the bank is asked once more.
        while !self.replace_secret(registration, (method, &url), &client_id, former, tell).await? {
            tell(
                "another secret was stored meanwhile: the bank is asked for a newer one than both. If that fails, run this again",
            );
            former = self.kept_at(&client_id).await.map_err(RegistrationError::NotKept)?;
        }
        if self.configured_client().1 {
            tell(
                "warning: `client_secret` is configured and wins, but is void by now: take it out of the configuration",
            );
        }
        Ok(client_id)
    }

    /// Asks for a secret, and keeps it if nobody else has kept one since: whether that was so.
    async fn replace_secret(
        &self,
        registration: &Registration,
        (method, url): (&Method, &HttpsUrl),
        client_id: &str,
        former: Option<Timestamp>,
        tell: Tell<'_>,
    ) -> Result<bool, RegistrationError> {
        let mut request = bare(method.clone(), url);
        request.fields.push("Content-Length", "0");
        self.add_endpoint_headers(&mut request);
        let advice = "the old secret may be void: run this again until it works";
        let answer = self.ask(url, request, advice).await?;
        let lacking = || RegistrationError::Lacking { what: "client secret", answer: outline(&answer) };
        let secret = said(registration, &answer).client_secret.ok_or_else(lacking)?;
        let client = self.to_keep(client_id, Some(secret));
        let put = || self.parts.store.replace_client(&self.bank.name, client.clone(), former);
        keep_told(client_id, put, tell).await
    }

    /// When what stands of this client was kept.
    async fn kept_at(&self, client_id: &str) -> Result<Option<Timestamp>, StoreError> {
        let stored = self.parts.store.clients(&self.bank.name).await?;
        Ok(stored.into_iter().find(|client| client.client_id == client_id).map(|client| client.registered_at))
    }
}
