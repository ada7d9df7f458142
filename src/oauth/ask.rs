//! One call to the token endpoint.

use std::time::Duration;

use crate::config::TokenEndpoint;

use super::client::Client;
use super::request::{Exchange, Means, token_request};
use super::{CallAnswer, CallError, Departs, Parts, Tokens};

impl Tokens {
    /// Asks once, by a request that is made for this call.
    pub(super) async fn ask_for_token(
        &self,
        endpoint: &TokenEndpoint,
        client: &Client,
        exchange: &Exchange<'_>,
        departs: Departs<'_>,
    ) -> Result<CallAnswer, CallError> {
        let request = token_request(endpoint, client, exchange, &self.means()).await?;
        let called = self.parts.call.call(&endpoint.url, request, self.call_limit(), departs).await;
        if let Ok(answer) = &called {
            self.compare_clocks(answer);
        }
        called
    }

    /// What its requests are made with.
    pub(super) fn means(&self) -> Means<'_> {
        let Parts { clock, random, identity, .. } = &self.parts;
        // A handshake, which is signed too, is waited for as long.
        Means { clock, random, identity: identity.as_ref(), patience: self.bank.timeouts.connect }
    }

    /// How long an endpoint may take for its answer.
    pub(super) fn call_limit(&self) -> Duration {
        self.bank.timeouts.token
    }
}
