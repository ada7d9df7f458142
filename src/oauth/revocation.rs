//! Telling the bank that a grant is not wanted any more.

use std::sync::Arc;

use http::{Method, StatusCode};

use crate::config::{HttpsUrl, Revocation, TokenEndpoint};
use crate::message::{Fields, Request};
use crate::store::Grant;
use crate::words::{Secret, with_causes};

use super::failure::Cause;
use super::request::{Form, add_headers, bare, post};
use super::{CallError, GrantError, TokenError, Tokens, client};

impl Tokens {
    /// Revokes the grant at the bank, where the bank can do that: up to which version.
    pub(super) async fn revoke(self: &Arc<Self>, grant: &Grant) -> Result<u64, GrantError> {
        let mut version = grant.facts.version;
        let Some(endpoint) = self.bank.grant_type.token_endpoint() else { return Ok(version) };
        match &endpoint.revocation {
            None => {}
            Some(Revocation::Rfc7009(url)) => {
                let client = client::find(endpoint, &*self.parts.store, &self.bank.name, None).await?;
                let client = client.map_err(|lack| GrantError::NotRevoked(Cause::no_client(lack).reason))?;
                let request = self.revocation_request(endpoint, url, &client, grant).await;
                let request = request.map_err(|error| GrantError::NotRevoked(with_causes(&error)))?;
                let Some(request) = request else { return Ok(version) };
                self.send_revocation(url, request, StatusCode::is_success).await?;
            }
            Some(Revocation::Delete(url)) => {
                let Some((token, living)) = &self.living_access(grant).await? else { return Ok(version) };
                version = *living;
                let mut request = bare(Method::DELETE, url);
                request.fields.push("Authorization", bearer(token).expose());
                add_headers(&mut request.fields, &endpoint.token_headers, &self.parts.random);
                // A token that the bank does not know, or no longer, needs no revoking.
                let gone = [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::GONE];
                self.send_revocation(url, request, |status| status.is_success() || gone.contains(status)).await?;
            }
        }
        Ok(version)
    }

    /// The access token that names the grant to the bank. One that has ended names nothing, while the grant lives on by
    /// its refresh token: so it is renewed for this. With the version that it is of.
    async fn living_access(self: &Arc<Self>, grant: &Grant) -> Result<Option<(Secret, u64)>, GrantError> {
        let with_version = |grant: Grant| grant.access.map(|access| (access, grant.facts.version));
        let ended = grant.facts.expires_at.is_some_and(|end| end <= self.parts.clock.now());
        if grant.access.is_some() && !(ended && grant.refresh.is_some()) {
            return Ok(with_version(grant.clone()));
        }
        match self.renew(&grant.facts.key.grant).await {
            Ok(_) => Ok(self.parts.store.load(&grant.facts.key).await?.and_then(with_version)),
            Err(GrantError::Token(TokenError::NeedsAuthorization)) => Ok(None),
            Err(error) => Err(GrantError::NotRevoked(with_causes(&error))),
        }
    }

    /// RFC 7009, section 2.1: the refresh token where there is one, since that ends the access tokens too.
    async fn revocation_request(
        &self,
        endpoint: &TokenEndpoint,
        url: &HttpsUrl,
        client: &client::Client,
        grant: &Grant,
    ) -> Result<Option<Request>, CallError> {
        let (mut form, mut fields) = (Form::default(), Fields::new());
        let (token, hint) = match (&grant.refresh, &grant.access) {
            (Some(refresh), _) => (refresh, "refresh_token"),
            (None, Some(access)) => (access, "access_token"),
            (None, None) => return Ok(None),
        };
        form.set_secret("token", token);
        form.set("token_type_hint", hint);
        client.authenticate(&endpoint.client_auth, &self.means(), &mut form, &mut fields).await?;
        add_headers(&mut fields, &endpoint.token_headers, &self.parts.random);
        Ok(Some(post(url, &form, &fields)))
    }

    async fn send_revocation(
        &self,
        url: &HttpsUrl,
        request: Request,
        is_done: impl FnOnce(&StatusCode) -> bool,
    ) -> Result<(), GrantError> {
        let answer = self.parts.call.call(url, request, self.call_limit(), &|_| ()).await;
        let answer = answer.map_err(|error| GrantError::NotRevoked(with_causes(&error)))?;
        if is_done(&answer.status) { Ok(()) } else { Err(GrantError::NotRevoked(answer.status.to_string())) }
    }
}

fn bearer(token: &Secret) -> Secret {
    let mut value = b"Bearer ".to_vec();
    value.extend_from_slice(token.expose());
    Secret::new(value)
}
