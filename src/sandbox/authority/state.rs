//! What an authorization server remembers.

use std::collections::{BTreeMap, HashMap};

use crate::sandbox::peer::HolderKey;
use crate::words::Timestamp;

use super::clients::Client;

#[derive(Default)]
pub(super) struct State {
    pub(super) clients: BTreeMap<String, Client>,
    pub(super) sessions: HashMap<String, Session>,
    pub(super) codes: HashMap<String, Code>,
    pub(super) grants: BTreeMap<u64, Grant>,
    /// Which grant a token is, or was, of.
    pub(super) access_tokens: HashMap<String, u64>,
    pub(super) refresh_tokens: HashMap<String, u64>,
    /// Keys that clients sign with, by client id, where it is not that of the connection's certificate.
    pub(super) keys: HashMap<String, HolderKey>,
    /// Each `jti` of a client that was seen, until its assertion has ended.
    pub(super) assertions: HashMap<(String, String), Timestamp>,
    /// Clients' secrets and assertions, and code verifiers, for testers who look for them where they do not belong.
    pub(super) seen: Vec<(&'static str, String)>,
}

/// An `auth_id` that was given out.
pub(super) struct Session {
    pub(super) client_id: String,
    pub(super) expires: Timestamp,
}

/// A code that was given out; it stays after its use, so that a second use is told apart.
pub(super) struct Code {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) scopes: Vec<String>,
    pub(super) challenge: Option<Challenge>,
    pub(super) expires: Timestamp,
    /// The grant that it was exchanged for.
    pub(super) used: Option<u64>,
}

/// What a code verifier must fit (RFC 7636, section 4.2).
pub(super) enum Challenge {
    Plain(String),
    S256(String),
}

/// What a customer consented to, with its tokens that count at present.
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) scopes: Vec<String>,
    pub(super) access: Option<AccessToken>,
    pub(super) refresh: Option<String>,
    pub(super) refreshes: u64,
    pub(super) revoked: bool,
}

#[derive(Clone)]
pub(super) struct AccessToken {
    pub(super) value: String,
    pub(super) expires: Timestamp,
    /// The serial number of the certificate with which it was fetched.
    pub(super) certificate: Option<String>,
}
