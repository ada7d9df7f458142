//! The authorization server that both simulated banks share: clients, codes, grants and tokens, under each bank's rules.

mod assertion;
mod authorize;
mod clients;
mod exchange;
mod grants;
mod rules;
mod state;

use std::sync::{Arc, Mutex};

use http::StatusCode;

use crate::words::{Clock, Random};

use super::record::{Counters, lock};

pub(super) use authorize::{AuthorizeRequest, Refusal};
pub(super) use clients::{Application, NewClient};
pub(super) use exchange::TokenCall;
pub use grants::GrantView;
pub(super) use grants::{Access, AccessError};
pub(super) use rules::Style;
pub use rules::{BasicForm, RefreshTokens, Rules, SecretAt, UsedRefreshToken};
use state::State;

/// A bank's authorization server.
pub(super) struct Authority {
    style: Style,
    clock: Clock,
    random: Random,
    /// What a client may address it by: its issuer and its token endpoint.
    audiences: Vec<String>,
    rules: Mutex<Rules>,
    state: Mutex<State>,
    counters: Arc<Mutex<Counters>>,
}

impl Authority {
    pub(super) fn new(
        style: Style,
        rules: Rules,
        clock: Clock,
        random: Random,
        audiences: Vec<String>,
        counters: Arc<Mutex<Counters>>,
    ) -> Self {
        Self { style, clock, random, audiences, rules: Mutex::new(rules), state: Mutex::default(), counters }
    }

    pub(super) fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut lock(&self.rules));
    }

    /// Every secret that was given out or shown here, by what it is.
    pub(super) fn secrets(&self) -> Vec<(&'static str, String)> {
        let state = lock(&self.state);
        let codes = state.codes.keys().map(|value| ("code", value));
        let access = state.access_tokens.keys().map(|value| ("access token", value));
        let refresh = state.refresh_tokens.keys().map(|value| ("refresh token", value));
        let issued = codes.chain(access).chain(refresh).map(|(what, value)| (what, value.clone()));
        state.seen.iter().cloned().chain(issued).collect()
    }

    fn rules(&self) -> Rules {
        lock(&self.rules).clone()
    }
}

/// An error of the token endpoint (RFC 6749, section 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OAuthError {
    pub(super) status: StatusCode,
    pub(super) error: &'static str,
    pub(super) description: String,
}

impl OAuthError {
    pub(super) fn bad(error: &'static str, description: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, description: description.into() }
    }

    fn unauthorized(error: &'static str, description: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, error, description: description.into() }
    }
}
