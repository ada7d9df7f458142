//! Floor 3, grants at rest: sealed rows in a database.
//!
//! [`Store`] is the port; behind it are [`Sqlite`], embedded, and PostgreSQL, for many replicas. What must never be lost is a refresh token that
//! rotates, so the rules of its life are rules of this room: a renewal is claimed by one conditional update that sets
//! the lease and the intent together ([`Store::claim`]), its answer is durable before it is given out
//! ([`Store::complete`]), and versions decide between processes. Lease times are durations: the clock is the database's.

pub mod grant;
mod kept;
pub mod key;
mod news;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod seal;
pub mod sqlite;
mod stored;

pub use grant::{
    Attempt, Claim, Claimant, Due, Facts, Grant, GrantKey, KeysInUse, NewTokens, RegisteredClient, Resealed, Settled,
    Standing, Tally,
};
pub use news::News;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use seal::KeyId;
pub use sqlite::Sqlite;

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;

use crate::config::{self, StoreUrl};
use crate::words::{BankName, Clock, Random, Timestamp};

/// How many changes are told at once: memory must not grow with what others import.
const CHANGES: usize = 10_000;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a store answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A database of grants, registered clients and login attempts, for several processes at once.
///
/// A call whose future is dropped may still take effect. What a call has answered `Ok` to is durable.
pub trait Store: Send + Sync {
    /// The ids of the keys that it was opened with, that of the sealing one first.
    fn keys(&self) -> Vec<KeyId>;

    /// The grant as it stands, with its tokens. A removed one is `None`.
    fn load(&self, key: &GrantKey) -> Answer<'_, Option<Grant>>;

    /// The grant as it stands, without its tokens: these need not open.
    fn facts(&self, key: &GrantKey) -> Answer<'_, Option<Facts>>;

    /// The grants of a bank in the order of their names, without tokens.
    fn list(&self, bank: &BankName) -> Answer<'_, Vec<Facts>>;

    /// How many grants of a bank there are of each kind: what a scrape needs of very many.
    fn tally(&self, bank: &BankName) -> Answer<'_, Vec<Tally>>;

    /// Makes the claimant the leader of a renewal of exactly this version, in one conditional update: the lease is
    /// taken and the intent (`sent_at`) durable, or neither. Version 0 is that of a grant which has no row yet.
    ///
    /// Where no person is needed for a grant, and none consented to it, one that does not open is as good as empty.
    ///
    /// Where another leader let its lease run out and what became of its request is not known, the first claim finds it
    /// [`Held`](Claim::Held) for some seconds more: the leader may have its answer at hand, and store it now.
    fn claim(&self, key: &GrantKey, version: u64, claimant: &Claimant) -> Answer<'_, Claim>;

    /// Holds the lease for so much longer; whether it was still this claimant's, or nobody had taken it yet.
    fn extend(&self, key: &GrantKey, version: u64, claimant: &Claimant) -> Answer<'_, bool>;

    /// Keeps the answer to a renewal of `version`, as `version + 1`; lease, intent and failures end. Whether the lease
    /// is still held does not matter: as long as nobody has stored anything newer, these tokens are the good ones.
    /// Tokens without a refresh token keep the old one.
    ///
    /// A lower version than `version` is that of a database that was set back, and not newer, unless it is of another
    /// consent than the one that was renewed (`consent_at`). What is newer makes way where it is of the same consent and
    /// its refresh token opens for nobody: then this one is the last.
    fn complete(
        &self,
        key: &GrantKey,
        version: u64,
        consent_at: Option<Timestamp>,
        tokens: NewTokens,
    ) -> Answer<'_, Settled>;

    /// A renewal of `version` failed for now: the lease ends and nobody claims it for `wait`. The intent stays where
    /// the bank may have acted on the request (`unanswered`).
    fn postpone(&self, key: &GrantKey, version: u64, holder: &str, wait: Duration, unanswered: bool) -> Answer<'_, ()>;

    /// The bank said that the grant is over. The version stays, so that the answer to an earlier renewal, if it is
    /// still on its way to another process, can revive the grant. Another consent (`consent_at`) stays as it is.
    fn end(&self, key: &GrantKey, version: u64, consent_at: Option<Timestamp>) -> Answer<'_, Settled>;

    /// Puts a grant that a person gave in the place of whatever was there; its consent starts now.
    fn put(&self, key: &GrantKey, tokens: NewTokens) -> Answer<'_, Grant>;

    /// When a person consented to what stands there, if anybody did. Nothing is opened for it.
    fn consented_at(&self, key: &GrantKey) -> Answer<'_, Option<Timestamp>>;

    /// As [`put`](Self::put), for tokens that were offered before, and it is not known what became of it: where another
    /// consent stands than the one before that (`former`), it is theirs, or newer, and stays, unless it is damaged. What
    /// stands then; `None` where that cannot be read, since it is sealed under a key that only others have.
    fn put_again(&self, key: &GrantKey, tokens: NewTokens, former: Option<Timestamp>) -> Answer<'_, Option<Grant>>;

    /// Takes the tokens of this version away; whether it stood there. The name's versions go on from there.
    fn remove(&self, key: &GrantKey, version: u64) -> Answer<'_, bool>;

    /// Remembers when grants were last used.
    fn touch(&self, uses: Vec<(GrantKey, Timestamp)>) -> Answer<'_, ()>;

    /// At most `limit` grants of the bank whose renewal is due, that nobody leads or waits with, and that were used
    /// within `idle`; and how long it is until the next one.
    fn due(&self, bank: &BankName, idle: Duration, limit: usize) -> Answer<'_, Due>;

    /// The names of the bank's grants that changed after `mark`, with a new mark. `None` asks for the mark alone. Of very
    /// many the first are told, and their mark.
    fn changes(&self, bank: &BankName, mark: Option<u64>) -> Answer<'_, (u64, Vec<GrantKey>)>;

    /// Word of what other processes change, as it happens. Without it, [`changes`](Self::changes) tells all the same.
    fn news(&self) -> News {
        News::default()
    }

    /// At most `limit` living grants of the bank whose person consented before that moment, and when; the earliest
    /// first.
    fn consents(&self, bank: &BankName, before: Timestamp, limit: usize) -> Answer<'_, Vec<(GrantKey, Timestamp)>>;

    /// One step of sealing anew under the first key what stands under another: the next `limit` grants of all banks
    /// after `after`, in the order of bank and name; at the beginning (`None`) also all that is kept beside grants.
    fn reseal(&self, after: Option<&GrantKey>, limit: usize) -> Answer<'_, Resealed>;

    /// Forgets the keys under which nothing is sealed any more: the store opens without them from here on.
    fn retire_keys(&self) -> Answer<'_, KeysInUse>;

    /// The bank's registered clients, the one registered last at the end.
    fn clients(&self, bank: &BankName) -> Answer<'_, Vec<RegisteredClient>>;

    /// Keeps a registered client, which is the last one then, whatever the clock of who registered it says.
    fn put_client(&self, bank: &BankName, client: RegisteredClient) -> Answer<'_, ()>;

    /// As [`put_client`](Self::put_client), if what stands of this client was kept at that moment (`None`: nothing
    /// stands); whether it was. Each time that one is kept is another moment.
    fn replace_client(&self, bank: &BankName, client: RegisteredClient, former: Option<Timestamp>) -> Answer<'_, bool>;

    /// Forgets a registered client; whether there was one.
    fn remove_client(&self, bank: &BankName, client_id: &str) -> Answer<'_, bool>;

    /// Keeps a login attempt for so long.
    fn put_attempt(&self, attempt: Attempt, life: Duration) -> Answer<'_, ()>;

    /// The bank that the login attempt with this hash of its `state` is for, if it can still be used.
    fn bank_of_attempt(&self, state_hash: &str) -> Answer<'_, Option<BankName>>;

    /// The bank's login attempt with this hash of its `state`, if it can still be used. It stays for who takes it.
    fn attempt(&self, bank: &BankName, state_hash: &str) -> Answer<'_, Option<Attempt>>;

    /// Takes the bank's login attempt with this hash of its `state`: of all who ask, one gets it. Who did not hear the answer
    /// may ask again, by the same number (`taker`), which each draws for itself.
    fn take_attempt(&self, bank: &BankName, state_hash: &str, taker: u64) -> Answer<'_, Option<Attempt>>;
}

/// Opens the store that the configuration names. What it does beside its calls runs on the runtime that this is called on.
///
/// Where the database is one file, the clock is its clock; a database server has its own.
pub async fn open(settings: &config::Store, clock: Clock, random: &Random) -> Result<Arc<dyn Store>, StoreError> {
    match &settings.url {
        StoreUrl::Sqlite(_) => {
            let (settings, random) = (settings.clone(), random.clone());
            let opening = tokio::task::spawn_blocking(move || Sqlite::open(&settings, clock, &random));
            Ok(opening.await??)
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Ok(Postgres::open(url, &settings.key).await?),
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => Err(StoreError::NoSuchStore),
    }
}

/// Why the store did not do it. Nothing in it is a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file could not be made, read or written.
    #[error("{what} {} failed", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The database failed: locked for too long, full, read-only, damaged.
    #[error("the database failed")]
    Database(#[from] rusqlite::Error),
    /// The database server refused, or could not be reached.
    #[cfg(feature = "postgres")]
    #[error("the database server failed")]
    Server(#[from] tokio_postgres::Error),
    /// The database server did not answer in time.
    #[error("the database server did not answer within {} s", limit.as_secs())]
    Late {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The database server is not the one that takes writes.
    #[cfg(feature = "postgres")]
    #[error("the database server takes no writes: it is a standby, or set to read-only")]
    ReadOnly,
    /// TLS towards the database server cannot be set up.
    #[error("TLS towards the database server cannot be set up: {0}")]
    Tls(String),
    /// Others changed the same row again and again.
    #[error("others changed the row again and again")]
    Crowded,
    /// This build has not the kind of store that is asked for.
    #[error("this program was built without the kind of store that `store.url` names")]
    NoSuchStore,
    /// The database belongs to a later release.
    #[error("the database has schema version {found}, and this program knows up to {known}; use the newer bankside")]
    NewerSchema {
        /// What it says.
        found: i64,
        /// The latest that this program knows.
        known: i64,
    },
    /// A key is not 32 bytes, nor 32 bytes in base64.
    #[error("a store key is not 32 bytes in base64")]
    BadKey,
    /// What is stored was sealed under a key that was not given.
    #[error("the store was sealed under the key with id {id}, which `store.key` does not hold; give that key back")]
    WrongKey {
        /// The first bytes of the key's SHA-256, in hex.
        id: String,
    },
    /// A value does not open: it was changed, or moved from another row.
    #[error("a stored {what} does not open: it was damaged, or belongs to another row")]
    Damaged {
        /// Which column.
        what: &'static str,
    },
    /// A fault of this program.
    #[error("what the store was asked for panicked")]
    Panicked,
    /// The program is ending.
    #[error("the store is closing")]
    Closing,
}

impl StoreError {
    /// Whether the file that is to be the store is something else, whoever opens it.
    pub fn is_no_database(&self) -> bool {
        matches!(self, Self::Database(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase))
    }

    /// Whether the store works, and what stands in one row is of no use.
    pub fn is_of_one_row(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::WrongKey { .. })
    }
}

impl From<JoinError> for StoreError {
    fn from(error: JoinError) -> Self {
        // What is kept on trying until the end must not take a panic for it.
        if error.is_panic() { Self::Panicked } else { Self::Closing }
    }
}
