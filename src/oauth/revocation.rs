//! Telling the bank that a grant is not wanted any more.

use std::sync::Arc;

use http::{Method, StatusCode};

use crate::config::{HttpsUrl, Revocation, TokenEndpoint};
use crate::message::{Fields, Request};
use crate::store::{Facts, Grant, Standing};
use crate::words::{Secret, with_causes};

use super::failure::Cause;
use super::request::{Form, add_headers, bare, post};
use super::{CallError, GrantError, TokenError, Tokens, client};

/// What became of a grant that was removed: here it is forgotten in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The bank revoked it, or had ended it.
    Ended,
    /// The bank was not asked, as was wished.
    Local,
    /// The bank has no revocation that is configured.
    NoRevocation,
    /// Its token was asked for otherwise than is configured, perhaps of another bank: it was not shown to this one.
    AskedOtherwise,
}

impl Tokens {
    /// What becomes of a grant that is not only forgotten. What the bank has ended needs no revoking, and what another bank
    /// may have given is not shown to this one.
    pub(super) fn removal(&self, facts: &Facts) -> Removal {
        match () {
            () if facts.standing != Standing::Active => Removal::Ended,
            () if !self.is_asked_alike(facts) => Removal::AskedOtherwise,
            () if !self.bank.grant_type.is_revocable() => Removal::NoRevocation,
            () => Removal::Ended,
        }
    }

    /// Revokes the grant at the bank, where the bank can do that: up to which version.
    pub(super) async fn revoke(self: &Arc<Self>, grant: &Grant) -> Result<u64, GrantError> {
        let version = grant.facts.version;
        let Some(endpoint) = self.bank.grant_type.token_endpoint() else { return Ok(version) };
        match &endpoint.revocation {
            None => Ok(version),
            Some(Revocation::Rfc7009(url)) => {
                let client = client::find(endpoint, &*self.parts.store, &self.bank.name).await?;
                let client = client.map_err(|lack| GrantError::NotRevoked(Cause::no_client(lack).reason))?;
                let request = self.revocation_request(endpoint, url, &client, grant).await;
                let request = request.map_err(|error| GrantError::NotRevoked(with_causes(&error)))?;
                let Some(request) = request else { return Ok(version) };
                accepted(self.send_revocation(url, request).await?).map(|()| version)
            }
            Some(Revocation::Delete(url)) => self.delete(endpoint, url, grant).await,
        }
    }

    /// By the access token, which names the grant to the bank. One that has ended there names nothing, while the grant
    /// lives on by its refresh token: so it is renewed for this, once. Up to which version it is revoked.
    async fn delete(
        self: &Arc<Self>,
        endpoint: &TokenEndpoint,
        url: &HttpsUrl,
        grant: &Grant,
    ) -> Result<u64, GrantError> {
        let version = grant.facts.version;
        let has_ended = grant.facts.expires_at.is_some_and(|end| end <= self.parts.clock.now());
        if let Some(access) = grant.access.as_ref().filter(|_| !(has_ended && grant.refresh.is_some())) {
            // Without a refresh token, a grant ends with its access token.
            match self.delete_by(endpoint, url, access).await? {
                Some(status) if !has_ended && grant.refresh.is_none() => return Err(not_taken(status)),
                Some(_) if !has_ended => {}
                _ => return Ok(version),
            }
        }
        let Some((access, version)) = self.renewed_access(grant).await? else { return Ok(version) };
        self.delete_by(endpoint, url, &access).await?.map_or(Ok(version), |status| Err(not_taken(status)))
    }

    /// The status with which the bank does not take the access token, if so. A wrong address says "not found" of every
    /// token, as does one that a bank's next release has no more: the consent may live on.
    async fn delete_by(
        &self,
        endpoint: &TokenEndpoint,
        url: &HttpsUrl,
        access: &Secret,
    ) -> Result<Option<StatusCode>, GrantError> {
        let mut request = bare(Method::DELETE, url);
        request.fields.push("Authorization", bearer(access).expose());
        add_headers(&mut request.fields, &endpoint.token_headers, &self.parts.random);
        match self.send_revocation(url, request).await? {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND | StatusCode::GONE) => Ok(Some(status)),
            status => accepted(status).map(|()| None),
        }
    }

    /// A fresh access token of this very consent, with its version; `None` where the bank says that the grant is over.
    async fn renewed_access(self: &Arc<Self>, grant: &Grant) -> Result<Option<(Secret, u64)>, GrantError> {
        match self.renew(&grant.facts.key.grant).await {
            Ok(_) => {}
            Err(GrantError::Token(TokenError::NeedsAuthorization)) => return Ok(None),
            Err(error) => return Err(GrantError::NotRevoked(with_causes(&error))),
        }
        let renewed = self.parts.store.load(&grant.facts.key).await?;
        if renewed.as_ref().is_some_and(|renewed| renewed.facts.consent_at != grant.facts.consent_at) {
            return Err(GrantError::GivenAnew);
        }
        Ok(renewed.and_then(|renewed| renewed.access.map(|access| (access, renewed.facts.version))))
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

    async fn send_revocation(&self, url: &HttpsUrl, request: Request) -> Result<StatusCode, GrantError> {
        let answer = self.parts.call.call(url, request, self.call_limit(), &|_| ()).await;
        answer.map(|answer| answer.status).map_err(|error| GrantError::NotRevoked(with_causes(&error)))
    }
}

fn accepted(status: StatusCode) -> Result<(), GrantError> {
    if status.is_success() { Ok(()) } else { Err(GrantError::NotRevoked(status.to_string())) }
}

/// The consent may live on, and there is nothing to end it with.
fn not_taken(status: StatusCode) -> GrantError {
    let what = match status {
        StatusCode::UNAUTHORIZED => {
            "it takes no token that is known here, so only the account's owner or the bank can end the consent"
        }
        _ => "it finds nothing there by a token that is known here; check `oauth.revocation` and `oauth.revoke_url`",
    };
    GrantError::NotRevoked(format!("{status}: {what}"))
}

fn bearer(token: &Secret) -> Secret {
    let mut value = b"Bearer ".to_vec();
    value.extend_from_slice(token.expose());
    Secret::new(value)
}
