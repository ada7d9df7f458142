//! How a person consents: the authorization URL, and what comes back (RFC 6749, section 4.1).

mod finish;
mod session;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::config::{AuthorizationCode, GrantType, HeaderTemplate, Session};
use crate::message::Fields;
use crate::store::{Attempt, Store, StoreError};
use crate::words::{BankName, GrantName, Random, Secret, with_causes};

use super::callback::{Callback, hash};
use super::client::{self, Client, Lack};
use super::request::{Form, add_headers, post};
use super::{BankCall, Tokens, json};

/// How long a person may take: the bank's pages, two factors, and perhaps a call to a colleague.
const ATTEMPT_LIFE: Duration = Duration::from_mins(30);

/// Where the person's browser goes.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// The address. It holds no secret but is good for one login.
    pub url: String,
    /// How long the callback is waited for.
    pub expires_in: Duration,
    /// Under which the attempt is kept.
    pub(super) state_hash: String,
}

/// Why a login did not work. No secret is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The bank's grants are not given by persons.
    #[error("grants of this bank need no login: its `grant_type` is not authorization_code")]
    NotByPersons,
    /// There is no client id.
    #[error("no client is known: set `client_id`, or run `bankside register BANK`")]
    NoClient,
    /// There is a client id, but not the secret that it needs.
    #[error("no client secret is known: set `client_secret`, or get one by `bankside register BANK --renew-secret`")]
    NoSecret,
    /// The step before the authorization failed.
    #[error("the bank gave no session for the login: {0}")]
    Session(String),
    /// What was given is no callback address.
    #[error("this is not the address that the bank sent the browser to: {0}")]
    NotACallback(&'static str),
    /// The bank, or the person, said no.
    #[error("the bank says: {error}")]
    Denied {
        /// The error code (RFC 6749, section 4.1.2.1).
        error: String,
    },
    /// The bank said no, and not to which attempt.
    #[error("the bank says: {error}")]
    DeniedWithoutState {
        /// The error code (RFC 6749, section 4.1.2.1).
        error: String,
    },
    /// The attempt is unknown, was used, or is too old.
    #[error("this login was not begun here, was finished before, or is too old; begin again")]
    UnknownState,
    /// The attempt is one for another grant.
    #[error(
        "this address belongs to a login for the grant {grant}, which is left as it is: `bankside login BANK {grant} \
         --callback-url URL` finishes it"
    )]
    OfAnotherGrant {
        /// The grant that the login is for.
        grant: GrantName,
    },
    /// The attempt was begun by another client than the one that would renew its grant.
    #[error(
        "this login was begun for the client {begun_as}, and {in_use} is in use by now; nothing was sent: begin again, or use \
         that client again to finish this one"
    )]
    OfAnotherClient {
        /// The client that the person gave access to.
        begun_as: String,
        /// The client that is configured, or was registered last.
        in_use: String,
    },
    /// The answer comes from another authorization server (RFC 9207).
    #[error("the answer comes from another issuer than the bank's")]
    WrongIssuer,
    /// The bank did not give tokens for the code.
    #[error("the bank gave no token for the authorization: {0}")]
    Exchange(String),
    /// The store failed.
    #[error("the store of grants failed")]
    Store(#[from] StoreError),
}

impl LoginError {
    /// Whether the attempt that was begun is still there for the right callback to end.
    pub fn leaves_attempt(&self) -> bool {
        matches!(
            self,
            Self::NotByPersons
                | Self::NotACallback(_)
                | Self::DeniedWithoutState { .. }
                | Self::UnknownState
                | Self::OfAnotherGrant { .. }
                | Self::OfAnotherClient { .. }
        )
    }
}

/// The bank that a callback belongs to, by its `state` alone. Nothing is used up.
pub async fn bank_of_callback(store: &dyn Store, callback: &str) -> Result<BankName, LoginError> {
    let callback = Callback::parse(callback).map_err(LoginError::NotACallback)?;
    let state = callback.state.ok_or(LoginError::UnknownState)?;
    store.bank_of_attempt(&hash(&state)).await?.ok_or(LoginError::UnknownState)
}

impl Tokens {
    /// Begins a login: the session step where the bank has one, and an attempt in the store.
    pub async fn begin_login(self: &Arc<Self>, grant: &GrantName) -> Result<Authorization, LoginError> {
        let (tokens, grant) = (Arc::clone(self), grant.clone());
        self.parts.on_control(async move { tokens.begin(grant).await }).await
    }

    /// Ends a login with the address that the browser came back to, or its query alone: the grant's name.
    ///
    /// Once the attempt is taken, the code is exchanged whether or not the caller still waits.
    pub async fn finish_login(self: &Arc<Self>, callback: &str) -> Result<GrantName, LoginError> {
        let callback = Callback::parse(callback).map_err(LoginError::NotACallback)?;
        let tokens = Arc::clone(self);
        self.parts.on_control(async move { tokens.finish(callback).await }).await
    }

    /// The bank of the login that a callback belongs to, whichever of the store's banks that is. Nothing is used up.
    pub async fn bank_of_callback(&self, callback: &str) -> Result<BankName, LoginError> {
        bank_of_callback(&*self.parts.store, callback).await
    }

    fn by_code(&self) -> Result<&AuthorizationCode, LoginError> {
        match &self.bank.grant_type {
            GrantType::AuthorizationCode(code) => Ok(code),
            _ => Err(LoginError::NotByPersons),
        }
    }

    async fn client(&self, code: &AuthorizationCode) -> Result<Client, LoginError> {
        client::find(&code.token, &*self.parts.store, &self.bank.name).await?.map_err(|lack| match lack {
            Lack::Id => LoginError::NoClient,
            Lack::Secret => LoginError::NoSecret,
        })
    }

    async fn begin(&self, grant: GrantName) -> Result<Authorization, LoginError> {
        let code = self.by_code()?;
        let client = self.client(code).await?;
        let session = match &code.session {
            Some(step) => {
                let (headers, random) = (&code.token.token_headers, &self.parts.random);
                Some(session(step, &client, headers, random, &*self.parts.call, self.call_limit()).await?)
            }
            None => None,
        };
        let state = self.parts.random.token();
        let attempt = Attempt {
            bank: self.bank.name.clone(),
            state_hash: hash(&state),
            verifier: code.pkce.then(|| Secret::from(self.parts.random.token())),
            session,
            client_id: client.id,
            redirect_uri: code.redirect_uri.clone(),
            scopes: self.bank.scopes(&grant).to_vec(),
            grant,
        };
        let (url, state_hash) = (authorization_url(code, &attempt, &state), attempt.state_hash.clone());
        self.parts.store.put_attempt(attempt, ATTEMPT_LIFE).await?;
        Ok(Authorization { url, expires_in: ATTEMPT_LIFE, state_hash })
    }
}

/// The step before the authorization: a value that is good for this attempt only.
pub(super) async fn session(
    step: &Session,
    client: &Client,
    headers: &[(String, HeaderTemplate)],
    random: &Random,
    call: &dyn BankCall,
    limit: Duration,
) -> Result<Secret, LoginError> {
    let (mut form, mut fields) = (Form::default(), Fields::new());
    add_headers(&mut fields, headers, random);
    step.params.iter().for_each(|(name, value)| form.set(name, &value.replace("{client_id}", &client.id)));
    let answer = call.call(&step.url, post(&step.url, &form, &fields), limit, &|_| ()).await;
    let answer = answer.map_err(|error| LoginError::Session(with_causes(&error)))?;
    if !answer.status.is_success() {
        return Err(LoginError::Session(session::refusal(&answer, step, headers)));
    }
    let object: Map<String, Value> =
        json::first(&answer.body).ok_or_else(|| LoginError::Session("its answer is not a JSON object".into()))?;
    let value = json::first_text(&object, &step.field).filter(|value| json::is_whole(value, &answer.body));
    value
        .map(Secret::from)
        .ok_or_else(|| LoginError::Session(format!("its answer has no field {}", step.field.join(" or "))))
}

/// The address with all its parameters; what the configuration adds wins over what is sent anyway.
pub(super) fn authorization_url(code: &AuthorizationCode, attempt: &Attempt, state: &str) -> String {
    let mut query = Form::default();
    query.set("response_type", "code");
    query.set("client_id", &attempt.client_id);
    query.set("redirect_uri", &attempt.redirect_uri);
    if !attempt.scopes.is_empty() {
        query.set("scope", &attempt.scopes.join(" "));
    }
    query.set("state", state);
    if let Some(verifier) = &attempt.verifier {
        let hash = digest::digest(&digest::SHA256, verifier.expose());
        query.set("code_challenge", &URL_SAFE_NO_PAD.encode(hash));
        query.set("code_challenge_method", "S256");
    }
    code.authorize_params.iter().for_each(|(name, value)| query.set(name, value));
    if let (Some(step), Some(session)) = (&code.session, &attempt.session) {
        query.set_secret(&step.send_as, session);
    }
    let (url, joint) = (&code.authorize_url, if code.authorize_url.path_and_query.contains('?') { '&' } else { '?' });
    format!("https://{}{}{joint}{}", url.authority(), url.path_and_query, query.encode())
}
