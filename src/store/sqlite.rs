//! The embedded database: SQLite in WAL mode, one file for several processes of one host.
//!
//! Every commit is synced to the disk before it counts (`synchronous = FULL`): a refresh token that rotates exists
//! once. Work runs on blocking threads, one job at a time, since SQLite has one writer anyway.

mod grants;
mod kept;
mod keys;
mod look;
mod open;
mod renewal;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::Mutex;

use crate::config;
use crate::words::{BankName, Clock, Random, Timestamp};

use super::seal::Sealer;
use super::stored::Former;
use super::{
    Answer, Attempt, Claim, Claimant, Due, Facts, Grant, GrantKey, KeyId, KeysInUse, NewTokens, RegisteredClient,
    Resealed, Settled, Store, StoreError, Tally,
};

/// Grants in a SQLite file.
pub struct Sqlite {
    connection: Arc<Mutex<Connection>>,
    sealer: Arc<Sealer>,
    clock: Clock,
}

/// What a job works with: a transaction that has the write lock, the keys and the database's time.
struct Work<'a> {
    transaction: Transaction<'a>,
    sealer: &'a Sealer,
    now: Timestamp,
}

impl Sqlite {
    /// Opens the store that the configuration names, and makes it and its key where they are missing. It blocks.
    ///
    /// The clock is the database's: leases and waits of all processes of this host go by it.
    pub fn open(settings: &config::Store, clock: Clock, random: &Random) -> Result<Arc<Self>, StoreError> {
        let (connection, sealer) = open::open(settings, random)?;
        Ok(Arc::new(Self { connection: Arc::new(Mutex::new(connection)), sealer: Arc::new(sealer), clock }))
    }

    /// Whether the configured keys open what stands in the store, if it is there: without opening it for use, so nothing
    /// is made or changed. It blocks.
    pub fn look(settings: &config::Store) -> Result<(), StoreError> {
        look::look(settings)
    }

    /// Runs a job in a transaction of its own, which is committed if the job succeeds.
    fn run<T: Send + 'static>(
        &self,
        behavior: TransactionBehavior,
        job: impl FnOnce(&Work<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let (connection, sealer, clock) = (Arc::clone(&self.connection), Arc::clone(&self.sealer), self.clock.clone());
        Box::pin(async move {
            let mut connection = connection.lock_owned().await;
            let work = move || {
                let transaction = connection.transaction_with_behavior(behavior)?;
                // Read under the lock, so that a long wait for it does not make leases look longer than they are.
                let work = Work { transaction, sealer: &sealer, now: clock.now() };
                let answer = job(&work)?;
                work.transaction.commit()?;
                Ok(answer)
            };
            tokio::task::spawn_blocking(work).await?
        })
    }

    fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Work<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        self.run(TransactionBehavior::Deferred, job)
    }

    fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Work<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        self.run(TransactionBehavior::Immediate, job)
    }
}

impl Store for Sqlite {
    fn keys(&self) -> Vec<KeyId> {
        self.sealer.ids().collect()
    }

    fn load(&self, key: &GrantKey) -> Answer<'_, Option<Grant>> {
        let key = key.clone();
        self.read(move |work| grants::load(work, &key))
    }

    fn facts(&self, key: &GrantKey) -> Answer<'_, Option<Facts>> {
        let key = key.clone();
        self.read(move |work| grants::facts(work, &key))
    }

    fn list(&self, bank: &BankName) -> Answer<'_, Vec<Facts>> {
        let bank = bank.clone();
        self.read(move |work| grants::list(work, &bank))
    }

    fn tally(&self, bank: &BankName) -> Answer<'_, Vec<Tally>> {
        let bank = bank.clone();
        self.read(move |work| grants::tally(work, &bank))
    }

    fn claim(&self, key: &GrantKey, version: u64, claimant: &Claimant) -> Answer<'_, Claim> {
        let (key, claimant) = (key.clone(), claimant.clone());
        self.write(move |work| renewal::claim(work, &key, version, &claimant))
    }

    fn extend(&self, key: &GrantKey, version: u64, claimant: &Claimant) -> Answer<'_, bool> {
        let (key, claimant) = (key.clone(), claimant.clone());
        self.write(move |work| renewal::extend(work, &key, version, &claimant))
    }

    fn complete(
        &self,
        key: &GrantKey,
        version: u64,
        consent_at: Option<Timestamp>,
        tokens: NewTokens,
    ) -> Answer<'_, Settled> {
        let key = key.clone();
        self.write(move |work| renewal::complete(work, &key, version, consent_at, &tokens))
    }

    fn postpone(&self, key: &GrantKey, version: u64, holder: &str, wait: Duration, unanswered: bool) -> Answer<'_, ()> {
        let (key, holder) = (key.clone(), holder.to_owned());
        self.write(move |work| renewal::postpone(work, &key, version, &holder, wait, unanswered))
    }

    fn end(&self, key: &GrantKey, version: u64, consent_at: Option<Timestamp>) -> Answer<'_, Settled> {
        let key = key.clone();
        self.write(move |work| renewal::end(work, &key, version, consent_at))
    }

    fn put(&self, key: &GrantKey, tokens: NewTokens) -> Answer<'_, Grant> {
        let key = key.clone();
        self.write(move |work| grants::put(work, &key, &tokens))
    }

    fn consented_at(&self, key: &GrantKey) -> Answer<'_, Option<Timestamp>> {
        let key = key.clone();
        self.read(move |work| grants::consented_at(work, &key))
    }

    fn put_again(&self, key: &GrantKey, tokens: NewTokens, former: Option<Timestamp>) -> Answer<'_, Option<Grant>> {
        let key = key.clone();
        self.write(move |work| grants::put_again(work, &key, &tokens, Former(former)))
    }

    fn remove(&self, key: &GrantKey, version: u64) -> Answer<'_, bool> {
        let key = key.clone();
        self.write(move |work| grants::remove(work, &key, version))
    }

    fn touch(&self, uses: Vec<(GrantKey, Timestamp)>) -> Answer<'_, ()> {
        self.write(move |work| grants::touch(work, &uses))
    }

    fn due(&self, bank: &BankName, idle: Duration, limit: usize) -> Answer<'_, Due> {
        let bank = bank.clone();
        Box::pin(async move {
            let asked = bank.clone();
            let (due, idle_ones) = self.read(move |work| grants::due(work, &asked, idle, limit)).await?;
            if !idle_ones.is_empty() {
                self.write(move |work| grants::set_aside(work, &bank, idle, &idle_ones)).await?;
            }
            Ok(due)
        })
    }

    fn changes(&self, bank: &BankName, mark: Option<u64>) -> Answer<'_, (u64, Vec<GrantKey>)> {
        let bank = bank.clone();
        self.read(move |work| grants::changes(work, &bank, mark))
    }

    fn consents(&self, bank: &BankName, before: Timestamp, limit: usize) -> Answer<'_, Vec<(GrantKey, Timestamp)>> {
        let bank = bank.clone();
        self.read(move |work| grants::consents(work, &bank, before, limit))
    }

    fn reseal(&self, after: Option<&GrantKey>, limit: usize) -> Answer<'_, Resealed> {
        let after = after.cloned();
        self.write(move |work| keys::reseal(work, after.as_ref(), limit))
    }

    fn retire_keys(&self) -> Answer<'_, KeysInUse> {
        self.write(keys::retire)
    }

    fn clients(&self, bank: &BankName) -> Answer<'_, Vec<RegisteredClient>> {
        let bank = bank.clone();
        self.read(move |work| kept::clients(work, &bank))
    }

    fn put_client(&self, bank: &BankName, client: RegisteredClient) -> Answer<'_, ()> {
        let bank = bank.clone();
        self.write(move |work| kept::put_client(work, &bank, &client))
    }

    fn replace_client(&self, bank: &BankName, client: RegisteredClient, former: Option<Timestamp>) -> Answer<'_, bool> {
        let bank = bank.clone();
        self.write(move |work| kept::replace_client(work, &bank, &client, former))
    }

    fn remove_client(&self, bank: &BankName, client_id: &str) -> Answer<'_, bool> {
        let (bank, client_id) = (bank.clone(), client_id.to_owned());
        self.write(move |work| kept::remove_client(work, &bank, &client_id))
    }

    fn put_attempt(&self, attempt: Attempt, life: Duration) -> Answer<'_, ()> {
        self.write(move |work| kept::put_attempt(work, &attempt, life))
    }

    fn bank_of_attempt(&self, state_hash: &str) -> Answer<'_, Option<BankName>> {
        let state_hash = state_hash.to_owned();
        self.read(move |work| kept::bank_of_attempt(work, &state_hash))
    }

    fn attempt(&self, bank: &BankName, state_hash: &str) -> Answer<'_, Option<Attempt>> {
        let (bank, state_hash) = (bank.clone(), state_hash.to_owned());
        self.read(move |work| kept::attempt(work, &bank, &state_hash))
    }

    fn take_attempt(&self, bank: &BankName, state_hash: &str, taker: u64) -> Answer<'_, Option<Attempt>> {
        let (bank, state_hash) = (bank.clone(), state_hash.to_owned());
        self.write(move |work| kept::take_attempt(work, &bank, &state_hash, taker))
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("keys", &self.sealer).finish_non_exhaustive()
    }
}
