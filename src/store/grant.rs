//! What the store keeps, and what it answers.

use std::fmt;
use std::time::Duration;

use crate::words::{BankName, GrantName, Secret, Timestamp};

/// Which grant: the key of its row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrantKey {
    /// The bank.
    pub bank: BankName,
    /// The grant's name there.
    pub grant: GrantName,
}

impl fmt::Display for GrantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bank, self.grant)
    }
}

/// Whether a grant lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The row is there, and no token was ever in it.
    Empty,
    /// There are tokens.
    Active,
    /// The bank said that it is over.
    Over,
}

/// Grants of a bank that stand alike at the store's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Whether they live.
    pub standing: Standing,
    /// Whether somebody leads a renewal of them.
    pub leased: bool,
    /// Whether a renewal of them had left without an answer.
    pub sent: bool,
    /// Whether their tokens have ended.
    pub expired: bool,
    /// How many there are.
    pub count: u64,
    /// The earliest consent to one of them.
    pub first_consent: Option<Timestamp>,
}

/// A grant without its tokens: what listings show.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Which grant.
    pub key: GrantKey,
    /// Grows with every set of tokens.
    pub version: u64,
    /// Whether it lives.
    pub standing: Standing,
    /// Whether there is a refresh token.
    pub refreshable: bool,
    /// What it is for.
    pub scopes: Vec<String>,
    /// When the tokens were issued.
    pub issued_at: Timestamp,
    /// When the access token ends; `None` where the bank did not say.
    pub expires_at: Option<Timestamp>,
    /// When the person consented; `None` where no person had to.
    pub consent_at: Option<Timestamp>,
    /// When it was last used, to the minute or so.
    pub used_at: Timestamp,
    /// When a renewal is due; `None` where none can or need be made ahead.
    pub renew_at: Option<Timestamp>,
    /// Since when a renewal has been under way whose answer is not known.
    pub sent_at: Option<Timestamp>,
    /// Whether somebody leads a renewal.
    pub leased: bool,
    /// How many renewals failed in a row.
    pub failures: u32,
    /// The fingerprint of the certificate under which the tokens were issued, and behind a space what they were asked
    /// for: kept as it is given.
    pub certificate: Option<String>,
}

/// A grant with its tokens.
#[derive(Clone, Debug)]
pub struct Grant {
    /// All but the tokens.
    pub facts: Facts,
    /// The access token; absent while there is none yet.
    pub access: Option<Secret>,
    /// The refresh token.
    pub refresh: Option<Secret>,
}

/// Tokens to be kept.
#[derive(Clone, Debug)]
pub struct NewTokens {
    /// The access token; absent where only a refresh token is imported.
    pub access: Option<Secret>,
    /// The refresh token.
    pub refresh: Option<Secret>,
    /// What they are for; `None` leaves what was known.
    pub scopes: Option<Vec<String>>,
    /// When they were issued.
    pub issued_at: Timestamp,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// When a renewal is due. A database with a clock of its own counts it from there, as long after the issue.
    pub renew_at: Option<Timestamp>,
    /// The fingerprint of the certificate that was shown, and behind a space what the tokens were asked for.
    pub certificate: Option<String>,
}

/// Who wants to lead a renewal.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// A name of its own for each process (and each keeper in it).
    pub holder: String,
    /// How long the lease lasts without being extended.
    pub hold: Duration,
    /// Whether a missing row is made: for grants that need no person.
    pub create: bool,
    /// Whether the wait after a failure is ignored, and that the grant is over: for a person's explicit wish.
    pub despite_wait: bool,
}

/// What came of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The claimant leads. `sent_at` in the facts is that of an earlier renewal without a known answer.
    Led(Box<Grant>),
    /// The row has another version than the one claimed.
    Newer(Box<Grant>),
    /// Somebody else leads.
    Held {
        /// How long the lease still lasts.
        remaining: Duration,
    },
    /// The last renewal failed not long ago.
    Waiting {
        /// How long it is until the next one.
        remaining: Duration,
    },
    /// The bank said that it is over.
    Over,
    /// There is no such grant.
    Missing,
}

/// What came of the end of a renewal.
#[derive(Debug)]
pub enum Settled {
    /// The row says so.
    Stored(Box<Grant>),
    /// Somebody has stored a newer version before, or another consent; this is it.
    Newer(Box<Grant>),
    /// The same, and it does not open here.
    Unopened,
    /// The grant was removed meanwhile.
    Missing,
}

/// Renewals to be made.
#[derive(Debug, Default)]
pub struct Due {
    /// Which grants, and which versions of them; the one due longest first.
    pub grants: Vec<(GrantKey, u64)>,
    /// How long it is until the next one that is not among them; `None` where there is none.
    pub next: Option<Duration>,
}

/// What one step of sealing anew did.
#[derive(Clone, Debug, Default)]
pub struct Resealed {
    /// How many grants it looked at.
    pub looked_at: usize,
    /// How many values it sealed anew.
    pub resealed: usize,
    /// Where the next step goes on; `None` at the end.
    pub last: Option<GrantKey>,
}

/// Under which keys values stand.
#[derive(Clone, Debug)]
pub struct KeysInUse {
    /// The id of the sealing key.
    pub sealing: String,
    /// How many values stand under it.
    pub values: usize,
    /// The ids of other keys, and how many values stand under each.
    pub others: Vec<(String, usize)>,
}

/// A client that was registered at the bank.
#[derive(Clone, Debug)]
pub struct RegisteredClient {
    /// Its id.
    pub client_id: String,
    /// Its secret, if it has one.
    pub client_secret: Option<Secret>,
    /// When it was registered, or its secret renewed.
    pub registered_at: Timestamp,
}

/// A login that was begun.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The bank.
    pub bank: BankName,
    /// The grant that it is for.
    pub grant: GrantName,
    /// The SHA-256 of `state`, in hex. The state itself is not kept.
    pub state_hash: String,
    /// The PKCE verifier (RFC 7636).
    pub verifier: Option<Secret>,
    /// What the session step answered.
    pub session: Option<Secret>,
    /// The client that asked.
    pub client_id: String,
    /// The redirect URI that was sent.
    pub redirect_uri: String,
    /// The scopes that were asked for.
    pub scopes: Vec<String>,
}
