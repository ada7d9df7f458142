//! The database that many replicas share: PostgreSQL.
//!
//! Every call is one conditional statement or a few, each committed by itself: a replica that stops in the middle holds
//! no lock. Times are the server's (`bankside.now()`). Calls run in tasks of the runtime that the store was opened on and
//! end in bounded time, whatever the server does. What others change is heard on a connection of its own.

mod grants;
mod kept;
mod keys;
mod listen;
mod open;
mod pool;
mod renewal;
mod rows;
mod schema;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{self, StoreKey};
use crate::words::{BankName, Timestamp};

use super::seal::Sealer;
use super::stored::Former;
use super::stored::GRACE;
use super::{
    Answer, Attempt, Claim, Claimant, Due, Facts, Grant, GrantKey, KeyId, KeysInUse, NewTokens, News, RegisteredClient,
    Resealed, Settled, Store, StoreError, Tally,
};
use pool::{Loan, Pool};

/// How long a call may take: the wait for a connection, the way there and the answer. Who waits for a token waits longer.
const LIMIT: Duration = Duration::from_secs(4);
const _: () = assert!(GRACE.as_millis() > LIMIT.as_millis() + 500, "a call that hangs and the pause behind it fit in");

/// Grants in a PostgreSQL database.
pub struct Postgres {
    pool: Arc<Pool>,
    sealer: Arc<Sealer>,
    runtime: Handle,
    news: broadcast::Sender<Option<BankName>>,
    _listener: AbortOnDropHandle<()>,
}

/// What a call works with.
struct Desk {
    connection: Loan,
    sealer: Arc<Sealer>,
}

impl Postgres {
    /// Connects to the database, and brings its schema up to this release's. The key must be given: all replicas share it.
    pub async fn open(url: &config::Postgres, key: &StoreKey) -> Result<Arc<Self>, StoreError> {
        let StoreKey::Given(keys) = key else { return Err(StoreError::BadKey) };
        let sealer = Arc::new(Sealer::new(keys)?);
        let pool = Arc::new(Pool::new(open::settings(url), tls::Tls::new(url.tls.as_ref())?));
        open::prepare(&pool, &sealer).await?;
        let (news, _) = broadcast::channel(256);
        let listener = tokio::spawn(listen::listen(Arc::clone(&pool), news.clone()));
        let listener = AbortOnDropHandle::new(listener);
        Ok(Arc::new(Self { pool, sealer, runtime: Handle::current(), news, _listener: listener }))
    }

    /// Runs a call in a task of its own: it ends in bounded time, and a caller's hang-up does not cut it.
    fn run<T: Send + 'static, F>(&self, call: impl FnOnce(Desk) -> F + Send + 'static) -> Answer<'_, T>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (pool, sealer) = (Arc::clone(&self.pool), Arc::clone(&self.sealer));
        let work = async move {
            let connection = pool.lend().await?;
            call(Desk { connection, sealer }).await
        };
        Box::pin(async move {
            let task = self.runtime.spawn(timeout(LIMIT, work));
            task.await?.unwrap_or_else(|_| {
                // The others may lead nowhere, too: the next call shall not hang as this one did.
                self.pool.forget_idle();
                Err(StoreError::Late { limit: LIMIT })
            })
        })
    }
}

impl Store for Postgres {
    fn keys(&self) -> Vec<KeyId> {
        self.sealer.ids().collect()
    }

    fn load(&self, key: &GrantKey) -> Answer<'_, Option<Grant>> {
        let key = key.clone();
        self.run(move |mut desk| async move { grants::load(&mut desk, &key).await })
    }

    fn facts(&self, key: &GrantKey) -> Answer<'_, Option<Facts>> {
        let key = key.clone();
        self.run(move |mut desk| async move { grants::facts(&mut desk, &key).await })
    }

    fn list(&self, bank: &BankName) -> Answer<'_, Vec<Facts>> {
        let bank = bank.clone();
        self.run(move |mut desk| async move { grants::list(&mut desk, &bank).await })
    }

    fn tally(&self, bank: &BankName) -> Answer<'_, Vec<Tally>> {
        let bank = bank.clone();
        self.run(move |mut desk| async move { grants::tally(&mut desk, &bank).await })
    }

    fn claim(&self, key: &GrantKey, version: u64, claimant: &Claimant) -> Answer<'_, Claim> {
        let (key, claimant) = (key.clone(), claimant.clone());
        self.run(move |mut desk| async move { renewal::claim(&mut desk, &key, version, &claimant).await })
    }

    fn extend(&self, key: &GrantKey, version: u64, claimant: &Claimant) -> Answer<'_, bool> {
        let (key, claimant) = (key.clone(), claimant.clone());
        self.run(move |mut desk| async move { renewal::extend(&mut desk, &key, version, &claimant).await })
    }

    fn complete(
        &self,
        key: &GrantKey,
        version: u64,
        consent_at: Option<Timestamp>,
        tokens: NewTokens,
    ) -> Answer<'_, Settled> {
        let key = key.clone();
        self.run(move |mut desk| async move { renewal::complete(&mut desk, &key, version, consent_at, tokens).await })
    }

    fn postpone(&self, key: &GrantKey, version: u64, holder: &str, wait: Duration, unanswered: bool) -> Answer<'_, ()> {
        let (key, holder) = (key.clone(), holder.to_owned());
        self.run(
            move |mut desk| async move { renewal::postpone(&mut desk, &key, version, &holder, wait, unanswered).await },
        )
    }

    fn end(&self, key: &GrantKey, version: u64, consent_at: Option<Timestamp>) -> Answer<'_, Settled> {
        let key = key.clone();
        self.run(move |mut desk| async move { renewal::end(&mut desk, &key, version, consent_at).await })
    }

    fn put(&self, key: &GrantKey, tokens: NewTokens) -> Answer<'_, Grant> {
        let key = key.clone();
        self.run(move |mut desk| async move { grants::put(&mut desk, &key, &tokens).await })
    }

    fn consented_at(&self, key: &GrantKey) -> Answer<'_, Option<Timestamp>> {
        let key = key.clone();
        self.run(move |mut desk| async move { grants::consented_at(&mut desk, &key).await })
    }

    fn put_again(&self, key: &GrantKey, tokens: NewTokens, former: Option<Timestamp>) -> Answer<'_, Option<Grant>> {
        let key = key.clone();
        self.run(move |mut desk| async move { grants::put_again(&mut desk, &key, &tokens, Former(former)).await })
    }

    fn remove(&self, key: &GrantKey, version: u64) -> Answer<'_, bool> {
        let key = key.clone();
        self.run(move |mut desk| async move { grants::remove(&mut desk, &key, version).await })
    }

    fn touch(&self, uses: Vec<(GrantKey, Timestamp)>) -> Answer<'_, ()> {
        self.run(move |mut desk| async move { grants::touch(&mut desk, &uses).await })
    }

    fn due(&self, bank: &BankName, idle: Duration, limit: usize) -> Answer<'_, Due> {
        let bank = bank.clone();
        self.run(move |mut desk| async move { grants::due(&mut desk, &bank, idle, limit).await })
    }

    fn changes(&self, bank: &BankName, mark: Option<u64>) -> Answer<'_, (u64, Vec<GrantKey>)> {
        let bank = bank.clone();
        self.run(move |mut desk| async move { grants::changes(&mut desk, &bank, mark).await })
    }

    fn consents(&self, bank: &BankName, before: Timestamp, limit: usize) -> Answer<'_, Vec<(GrantKey, Timestamp)>> {
        let bank = bank.clone();
        self.run(move |mut desk| async move { grants::consents(&mut desk, &bank, before, limit).await })
    }

    fn reseal(&self, after: Option<&GrantKey>, limit: usize) -> Answer<'_, Resealed> {
        let after = after.cloned();
        self.run(move |mut desk| async move { keys::reseal(&mut desk, after.as_ref(), limit).await })
    }

    fn retire_keys(&self) -> Answer<'_, KeysInUse> {
        self.run(move |mut desk| async move { keys::retire(&mut desk).await })
    }

    fn news(&self) -> News {
        News::from(self.news.subscribe())
    }

    fn clients(&self, bank: &BankName) -> Answer<'_, Vec<RegisteredClient>> {
        let bank = bank.clone();
        self.run(move |mut desk| async move { kept::clients(&mut desk, &bank).await })
    }

    fn put_client(&self, bank: &BankName, client: RegisteredClient) -> Answer<'_, ()> {
        let bank = bank.clone();
        self.run(move |mut desk| async move { kept::put_client(&mut desk, &bank, &client).await })
    }

    fn replace_client(&self, bank: &BankName, client: RegisteredClient, former: Option<Timestamp>) -> Answer<'_, bool> {
        let bank = bank.clone();
        self.run(move |mut desk| async move { kept::replace_client(&mut desk, &bank, &client, former).await })
    }

    fn remove_client(&self, bank: &BankName, client_id: &str) -> Answer<'_, bool> {
        let (bank, client_id) = (bank.clone(), client_id.to_owned());
        self.run(move |mut desk| async move { kept::remove_client(&mut desk, &bank, &client_id).await })
    }

    fn put_attempt(&self, attempt: Attempt, life: Duration) -> Answer<'_, ()> {
        self.run(move |mut desk| async move { kept::put_attempt(&mut desk, &attempt, life).await })
    }

    fn bank_of_attempt(&self, state_hash: &str) -> Answer<'_, Option<BankName>> {
        let state_hash = state_hash.to_owned();
        self.run(move |mut desk| async move { kept::bank_of_attempt(&mut desk, &state_hash).await })
    }

    fn attempt(&self, bank: &BankName, state_hash: &str) -> Answer<'_, Option<Attempt>> {
        let (bank, state_hash) = (bank.clone(), state_hash.to_owned());
        self.run(move |mut desk| async move { kept::attempt(&mut desk, &bank, &state_hash).await })
    }

    fn take_attempt(&self, bank: &BankName, state_hash: &str, taker: u64) -> Answer<'_, Option<Attempt>> {
        let (bank, state_hash) = (bank.clone(), state_hash.to_owned());
        self.run(move |mut desk| async move { kept::take_attempt(&mut desk, &bank, &state_hash, taker).await })
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("keys", &self.sealer).finish_non_exhaustive()
    }
}
