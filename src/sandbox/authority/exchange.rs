//! The token endpoint (RFC 6749, sections 4.1.3 and 6): a code or a refresh token for an access token.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::sandbox::peer::Peer;
use crate::sandbox::record::{hex, lock};
use crate::words::Timestamp;

use super::clients::Client;
use super::state::{AccessToken, Challenge, Grant, State};
use super::{Authority, OAuthError, RefreshTokens, Rules, UsedRefreshToken};

/// A call of the token endpoint.
pub(in crate::sandbox) struct TokenCall<'a> {
    /// The form; no field more than once.
    pub(in crate::sandbox) form: &'a BTreeMap<String, String>,
    /// What follows `Basic` in the Authorization field.
    pub(in crate::sandbox) basic: Option<&'a str>,
    /// Who calls.
    pub(in crate::sandbox) peer: &'a Peer,
}

impl TokenCall<'_> {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.form.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.field(name).ok_or_else(|| OAuthError::bad("invalid_request", format!("{name} is missing")))
    }
}

/// The answer of the token endpoint (RFC 6749, section 5.1).
#[derive(Debug, Serialize)]
pub(in crate::sandbox) struct TokenAnswer {
    token_type: &'static str,
    expires_in: u64,
    access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

impl Authority {
    /// Handles a call of the token endpoint.
    pub(in crate::sandbox) fn token(&self, call: &TokenCall<'_>) -> Result<TokenAnswer, OAuthError> {
        let grant_type = call.required("grant_type")?;
        *lock(&self.counters).token_calls.entry(grant_type.to_owned()).or_default() += 1;
        let rules = self.rules();
        let mut state = lock(&self.state);
        let client = self.authenticate(&mut state, &rules, call)?;
        match grant_type {
            "authorization_code" => self.exchange_code(&mut state, &rules, &client, call),
            "refresh_token" => self.refresh(&mut state, &rules, &client, call),
            "client_credentials" if rules.client_credentials => {
                let scopes = self.credentials_scopes(&client, call)?;
                let number = open_grant(&mut state, &client, scopes);
                Ok(self.issue(&mut state, &rules, number, call, false))
            }
            _ => Err(OAuthError::bad("unsupported_grant_type", "The grant type is not supported")),
        }
    }

    fn exchange_code(
        &self,
        state: &mut State,
        rules: &Rules,
        client: &Client,
        call: &TokenCall<'_>,
    ) -> Result<TokenAnswer, OAuthError> {
        let presented = call.required("code")?;
        if let Some(verifier) = call.field("code_verifier") {
            state.seen.push(("code verifier", verifier.to_owned()));
        }
        let redirect_uri = call.required("redirect_uri")?;
        let invalid = |description: &str| OAuthError::bad("invalid_grant", description);
        let code = state.codes.get(presented).ok_or_else(|| invalid("The code is not known"))?;
        if let Some(number) = code.used {
            // RFC 6749, section 4.1.2: what was issued for a code that comes again should be revoked.
            if let Some(grant) = state.grants.get_mut(&number) {
                grant.revoked = true;
            }
            return Err(invalid("The code was used"));
        }
        if code.expires <= self.clock.now() {
            return Err(invalid("The code has expired"));
        }
        if code.client_id != client.id {
            return Err(invalid("The code was issued to another client"));
        }
        if code.redirect_uri != redirect_uri {
            return Err(invalid("redirect_uri is not that of the authorization"));
        }
        check_verifier(code.challenge.as_ref(), call.field("code_verifier"))?;
        let scopes = code.scopes.clone();
        let number = match self.living_grant(state, rules, client, &scopes) {
            Some(number) => number,
            None => open_grant(state, client, scopes),
        };
        if let Some(code) = state.codes.get_mut(presented) {
            code.used = Some(number);
        }
        Ok(self.issue(state, rules, number, call, true))
    }

    /// The grant whose token is given once more, where the bank does that.
    fn living_grant(&self, state: &State, rules: &Rules, client: &Client, scopes: &[String]) -> Option<u64> {
        let now = self.clock.now();
        let lives = |grant: &Grant| {
            !grant.revoked
                && grant.client_id == client.id
                && grant.scopes == scopes
                && grant.access.as_ref().is_some_and(|token| token.expires > now)
        };
        let mut living = state.grants.iter().filter(|(_, grant)| lives(grant));
        rules.same_token_while_valid.then(|| living.next_back().map(|(number, _)| *number)).flatten()
    }

    fn refresh(
        &self,
        state: &mut State,
        rules: &Rules,
        client: &Client,
        call: &TokenCall<'_>,
    ) -> Result<TokenAnswer, OAuthError> {
        let presented = call.required("refresh_token")?;
        let invalid = || used_refresh_token(rules);
        let number = *state.refresh_tokens.get(presented).ok_or_else(invalid)?;
        let grant = state.grants.get_mut(&number).ok_or_else(invalid)?;
        if grant.client_id != client.id {
            return Err(invalid());
        }
        if grant.refresh.as_deref() != Some(presented) {
            lock(&self.counters).refresh_reuse += 1;
            grant.revoked |= rules.reuse_ends_grant;
            return Err(invalid());
        }
        if grant.revoked {
            return Err(invalid());
        }
        grant.refreshes += 1;
        // The old access token is void from this moment, also for requests that are on their way with it.
        if rules.refresh_tokens == RefreshTokens::Rotate {
            grant.access = None;
        }
        let repeat = rules.refresh_tokens == RefreshTokens::Rotate;
        Ok(self.issue(state, rules, number, call, repeat))
    }

    fn credentials_scopes(&self, client: &Client, call: &TokenCall<'_>) -> Result<Vec<String>, OAuthError> {
        let asked: Vec<String> =
            call.field("scope").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
        if asked.iter().any(|scope| !client.scopes.contains(scope)) || (self.style.one_scope && asked.len() > 1) {
            return Err(OAuthError::bad("invalid_scope", "A scope is not known or not granted to this client"));
        }
        Ok(if asked.is_empty() { client.scopes.clone() } else { asked })
    }

    /// Gives the grant an access token, and a refresh token where the rules want one and `refreshable` says so.
    fn issue(
        &self,
        state: &mut State,
        rules: &Rules,
        number: u64,
        call: &TokenCall<'_>,
        refreshable: bool,
    ) -> TokenAnswer {
        let now = self.clock.now();
        let fresh = refreshable && rules.refresh_tokens != RefreshTokens::None;
        let refresh = fresh.then(|| self.refresh_token());
        // The grant was looked up or made under the same lock; an entry of nothing is never seen.
        let Some(grant) = state.grants.get_mut(&number) else { return TokenAnswer::nothing() };
        let kept = grant.access.clone().filter(|token| rules.same_token_while_valid && token.expires > now);
        let token = kept.unwrap_or_else(|| AccessToken {
            value: self.access_token(grant, now),
            expires: now.plus(rules.access_lifetime),
            certificate: call.peer.serial().map(str::to_owned),
        });
        grant.access = Some(token.clone());
        if let Some(refresh) = &refresh {
            grant.refresh = Some(refresh.clone());
            state.refresh_tokens.insert(refresh.clone(), number);
        }
        let scope = (!self.style.php_league).then(|| grant.scopes.join(" "));
        state.access_tokens.insert(token.value.clone(), number);
        lock(&self.counters).tokens_issued += 1;
        TokenAnswer {
            token_type: "Bearer",
            expires_in: token.expires.since(now).as_secs(),
            access_token: token.value,
            refresh_token: refresh,
            scope,
        }
    }

    fn access_token(&self, grant: &Grant, now: Timestamp) -> String {
        if !self.style.php_league {
            return self.random.token();
        }
        let claims = serde_json::json!({
            "aud": grant.client_id,
            "jti": hex(&self.random.bytes::<40>()),
            "iat": now.seconds(),
            "sub": "100200300",
            "scopes": grant.scopes,
        });
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"RS256"}"#);
        let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(self.random.bytes::<256>()))
    }

    fn refresh_token(&self) -> String {
        // The prefix is the version mark of the encryption that the PHP library uses.
        if self.style.php_league {
            format!("def50200{}", hex(&self.random.bytes::<300>()))
        } else {
            self.random.token()
        }
    }
}

impl TokenAnswer {
    fn nothing() -> Self {
        Self { token_type: "Bearer", expires_in: 0, access_token: String::new(), refresh_token: None, scope: None }
    }
}

fn open_grant(state: &mut State, client: &Client, scopes: Vec<String>) -> u64 {
    let number = state.grants.last_key_value().map_or(1, |(last, _)| last + 1);
    let grant =
        Grant { client_id: client.id.clone(), scopes, access: None, refresh: None, refreshes: 0, revoked: false };
    state.grants.insert(number, grant);
    number
}

fn used_refresh_token(rules: &Rules) -> OAuthError {
    match rules.used_refresh_token {
        UsedRefreshToken::InvalidGrant => OAuthError::bad("invalid_grant", "The refresh token is invalid."),
        UsedRefreshToken::InvalidRequest => {
            OAuthError::unauthorized("invalid_request", "The refresh token is invalid.")
        }
    }
}

fn check_verifier(challenge: Option<&Challenge>, verifier: Option<&str>) -> Result<(), OAuthError> {
    let fits = match (challenge, verifier) {
        (None, None) => true,
        (None, Some(_)) => {
            return Err(OAuthError::bad("invalid_request", "code_verifier came without an earlier code_challenge"));
        }
        (Some(_), None) => return Err(OAuthError::bad("invalid_request", "code_verifier is missing")),
        (Some(Challenge::Plain(challenge)), Some(verifier)) => challenge == verifier,
        (Some(Challenge::S256(challenge)), Some(verifier)) => {
            let digest = digest::digest(&digest::SHA256, verifier.as_bytes());
            *challenge == URL_SAFE_NO_PAD.encode(digest.as_ref())
        }
    };
    if fits { Ok(()) } else { Err(OAuthError::bad("invalid_grant", "code_verifier does not fit code_challenge")) }
}
