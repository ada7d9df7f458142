//! One bank's tokens, as the data path and everybody else asks for them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::TaskTracker;

use crate::config::{Bank, GrantType};
use crate::store::{GrantKey, Store, StoreError};
use crate::telemetry::BankMetrics;
use crate::upstream::Identity;
use crate::words::{Clock, GrantName, Random, Token};

use super::pace::Pace;
use super::slot::{Boarding, Landing, Pilot, Slot};
use super::slots::Slots;
use super::{BankCall, TokenError};

/// How long a caller without a token waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits for a store that fails: a database server's restart need not be seen.
pub(super) const STORE_PATIENCE: Duration = Duration::from_secs(5);
/// A next try that is so near is waited for: the first failure of an endpoint that is well again need not be seen.
const SOON: Duration = Duration::from_secs(2);

/// What token life is made of.
#[derive(Clone)]
pub struct Parts {
    /// Where grants live.
    pub store: Arc<dyn Store>,
    /// The way to the bank's endpoints.
    pub call: Arc<dyn BankCall>,
    /// The time.
    pub clock: Clock,
    /// Chance: states, verifiers, jitter.
    pub random: Random,
    /// The control thread, which renewals run on.
    pub control: Handle,
    /// What must not be cut: renewals, the ends of logins, removals. Whoever ends the control thread waits for it before.
    pub under_way: TaskTracker,
    /// The fingerprint of the certificate that the bank is shown: kept beside the tokens issued under it.
    pub certificate: Option<String>,
    /// Whose key signs client assertions.
    pub identity: Option<Identity>,
    /// What is counted.
    pub metrics: BankMetrics,
}

impl Parts {
    /// Runs it in a task of the control thread, which its connections belong to and no hang-up cuts.
    pub(super) async fn on_control<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.control.spawn(self.under_way.track_future(work)).await.map_err(StoreError::from)?
    }
}

/// What an attempt is for.
#[derive(Clone, Copy)]
pub(super) struct Errand {
    /// A token of a version above this one is wanted.
    pub(super) older_than: u64,
    /// What may be done for it.
    pub(super) aim: Aim,
    /// Whether the turn to ask the bank was taken already.
    pub(super) paced: bool,
}

/// What may be done to get a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// A renewal.
    Renew,
    /// A renewal, whether its time after a failure has come or not.
    RenewNow,
    /// A renewal, which counts among those that 401s may cause.
    Replace,
    /// To see what others have made, or are making.
    Look,
}

/// One bank's tokens. Shared by all workers; a valid token is had without waiting.
pub struct Tokens {
    pub(super) bank: Arc<Bank>,
    pub(super) parts: Parts,
    /// Our name as a leader.
    pub(super) holder: String,
    /// Tells the scheduler that something is due at another time than it thought.
    pub(super) wake: Arc<Notify>,
    /// How fast the bank is asked.
    pub(super) pace: Arc<Pace>,
    /// The grants that are in memory.
    pub(super) slots: Arc<Slots>,
    /// Whether a stored token that does not say what it was asked for, as those of former releases, is taken for ours.
    pub(super) takes_unmarked: bool,
}

impl Tokens {
    /// The tokens of this bank. Nothing happens until somebody asks, or [`start`](Self::start).
    pub fn new(bank: Arc<Bank>, parts: Parts) -> Arc<Self> {
        let (holder, wake) = (parts.random.uuid(), Arc::default());
        let pace = Arc::new(Pace::new(bank.renewal.rate));
        Self { bank, parts, holder, wake, pace, slots: Arc::default(), takes_unmarked: true }.with_given()
    }

    /// The tokens of the same bank as it is configured from here on. The snapshots stay, unless they would be asked for
    /// otherwise, and an attempt that is under way ends as it began: whoever asks here joins it. Who has the former ones
    /// may go on to use them.
    pub fn succeed(&self, bank: Arc<Bank>, parts: Parts) -> Arc<Self> {
        // A lease of the former ones is not ours: of a slot that is not carried over, an attempt may be under way.
        let (holder, wake) = (parts.random.uuid(), Arc::clone(&self.wake));
        // A token that is given is no snapshot of the store.
        let is_given = |bank: &Bank| matches!(bank.grant_type, GrantType::Fixed(_));
        // One that was asked for otherwise is not used any more; the store may have one that fits.
        let asks_alike = self.asks_like(&bank);
        self.tell_of_a_move(&bank);
        let is_carried_over = asks_alike && !is_given(&self.bank) && !is_given(&bank);
        let slots = if is_carried_over { Arc::clone(&self.slots) } else { Arc::default() };
        let same_pace = self.bank.renewal.rate == bank.renewal.rate;
        let pace = if same_pace { Arc::clone(&self.pace) } else { Arc::new(Pace::new(bank.renewal.rate)) };
        let takes_unmarked = self.takes_unmarked && asks_alike;
        let tokens = Self { bank, parts, holder, wake, pace, slots, takes_unmarked };
        tokens.slots.retain(|grant| tokens.is_known(grant));
        tokens.slots.all().iter().for_each(|slot| slot.try_anew());
        tokens.with_given()
    }

    /// With the tokens that the configuration gives.
    fn with_given(self) -> Arc<Self> {
        let tokens = self;
        if let GrantType::Fixed(given) = &tokens.bank.grant_type {
            for (grant, token) in given {
                let now = tokens.parts.clock.now();
                tokens.slots.of(tokens.key(grant)).fix(Token::bearer(token, 1, now, None));
            }
        }
        Arc::new(tokens)
    }

    /// The grant's token: a snapshot where a valid one is there, else what a bounded wait for a renewal brings.
    pub async fn get(self: &Arc<Self>, grant: &GrantName) -> Result<Arc<Token>, TokenError> {
        if let Some(token) = self.at_hand(grant) {
            return Ok(token);
        }
        self.wait_for(grant).await
    }

    /// Whether the token has ended by the clock.
    pub fn has_ended(&self, token: &Token) -> bool {
        !token.is_valid(self.parts.clock.now())
    }

    /// The fast way: a lookup and an atomic load.
    fn at_hand(&self, grant: &GrantName) -> Option<Arc<Token>> {
        // A caller from before a reload may have brought back a slot that the reload removed.
        if !self.is_known(grant) {
            return None;
        }
        let now = self.parts.clock.now();
        self.slots.ask(grant, |slot| {
            let token = slot.token(now)?;
            slot.note_use(now);
            Some(token)
        })
    }

    async fn wait_for(self: &Arc<Self>, grant: &GrantName) -> Result<Arc<Token>, TokenError> {
        let slot = self.slot(grant)?;
        slot.note_use(self.parts.clock.now());
        let (deadline, store_deadline) = (Instant::now() + PATIENCE, Instant::now() + STORE_PATIENCE);
        loop {
            let result = self.attempt(&slot, Errand { older_than: 0, aim: Aim::Renew, paced: false }, deadline).await;
            if let Some(token) = slot.token(self.parts.clock.now()) {
                return Ok(token);
            }
            match result.err().unwrap_or(TokenError::unavailable(Duration::from_secs(1))) {
                TokenError::Unavailable { retry_after, .. } if is_soon(retry_after, deadline) => {
                    sleep(retry_after).await;
                }
                TokenError::Store { retry_after } if is_soon(retry_after, store_deadline) => sleep(retry_after).await,
                error => return Err(error),
            }
        }
    }

    /// Takes part in an attempt to get a token, and waits for its end.
    pub(super) async fn attempt(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        errand: Errand,
        deadline: Instant,
    ) -> Result<(), TokenError> {
        match slot.board(self.parts.clock.now(), errand.aim == Aim::RenewNow) {
            Boarding::Blocked(error) => Err(error),
            Boarding::Join(landing) => arrive(landing, deadline).await,
            Boarding::Lead(pilot, landing) => {
                self.fly(slot, pilot, errand);
                arrive(landing, deadline).await
            }
        }
    }

    /// Runs an attempt in a task of its own, on the control thread: no caller's hang-up can cut it.
    pub(super) fn fly(self: &Arc<Self>, slot: &Arc<Slot>, pilot: Pilot, mut errand: Errand) {
        let (tokens, slot) = (Arc::clone(self), Arc::clone(slot));
        if errand.aim != Aim::Look && slot.take_urgency() {
            errand.aim = Aim::RenewNow;
        }
        let flight = async move {
            let result = tokens.obtain(&slot, errand).await;
            slot.land(&pilot, result, tokens.parts.clock.now());
            tokens.wake.notify_one();
        };
        self.parts.control.spawn(self.parts.under_way.track_future(flight));
    }

    pub(super) fn is_fixed(&self) -> bool {
        matches!(self.bank.grant_type, GrantType::Fixed(_))
    }

    /// Whether a grant of this name may be: by a person's consent any may, else those that are configured.
    pub(super) fn is_known(&self, grant: &GrantName) -> bool {
        match &self.bank.grant_type {
            GrantType::AuthorizationCode(_) => true,
            GrantType::ClientCredentials(_) => *grant == GrantName::default() || self.bank.grants.contains_key(grant),
            GrantType::Fixed(tokens) => tokens.contains_key(grant),
        }
    }

    pub(super) fn key(&self, grant: &GrantName) -> GrantKey {
        GrantKey { bank: self.bank.name.clone(), grant: grant.clone() }
    }

    /// The grant's slot, made if need be.
    pub(super) fn slot(&self, grant: &GrantName) -> Result<Arc<Slot>, TokenError> {
        if !self.is_known(grant) {
            return Err(TokenError::UnknownGrant);
        }
        Ok(self.slots.get(grant).unwrap_or_else(|| self.slots.of(self.key(grant))))
    }
}

/// Whether the next try is near enough for a caller to wait for.
pub(super) fn is_soon(retry_after: Duration, deadline: Instant) -> bool {
    retry_after <= SOON && Instant::now() + retry_after < deadline
}

/// The end of an attempt.
pub(super) async fn arrive(mut landing: Landing, deadline: Instant) -> Result<(), TokenError> {
    let unknown = TokenError::unavailable(Duration::from_secs(1));
    match timeout_at(deadline, landing.wait_for(Option::is_some)).await {
        Ok(Ok(result)) => result.clone().unwrap_or(Err(unknown)),
        Ok(Err(_)) | Err(_) => Err(unknown),
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("bank", &self.bank.name).finish_non_exhaustive()
    }
}
