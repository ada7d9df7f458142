//! What a 401 of the bank leads to: a newer token to try once more with, or the 401 itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::words::{GrantName, Token};

use super::slot::Slot;
use super::tokens::{Aim, Errand, PATIENCE, STORE_PATIENCE, arrive, is_soon};
use super::{TokenError, Tokens};

/// How long a 401's token must have been there to be renewed although the bank never took it.
const SETTLED: Duration = Duration::from_secs(3);
/// How many renewals 401s may cause within a minute.
const FORCED_AT_MOST: usize = 3;
/// And where the token was issued under another certificate: swaps follow each other, and replicas that show different
/// ones each find the other's.
const BOUND_AT_MOST: usize = 12;
/// How often 401s may lead to a look into the store.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Tokens {
    /// After a 401 for `sent`: the token to try once more with, or `None` where there is no better one and the 401 stands.
    ///
    /// A newer token than `sent`, or one that is being made, is taken. Else `sent` is renewed if the bank had accepted
    /// it before, or it is older than 3 s, or it was issued under another certificate, and the answer did not say
    /// `insufficient_scope`; at most 3 renewals for this cause per grant and minute (12 for another certificate), since
    /// banks answer 401 for faults of their own. Never for `fixed`.
    ///
    /// Where `sent` has ended on its way, the 401 is ours: the request is like any that finds no token, errors included.
    pub async fn after_unauthorized(
        self: &Arc<Self>,
        grant: &GrantName,
        sent: &Token,
        insufficient_scope: bool,
    ) -> Result<Option<Arc<Token>>, TokenError> {
        if self.is_fixed() {
            return Ok(None);
        }
        if !insufficient_scope && self.has_ended(sent) {
            return match self.get(grant).await {
                // A reload has dropped it: the bank's word stands.
                Err(TokenError::UnknownGrant) => Ok(None),
                outcome => outcome.map(Some),
            };
        }
        Ok(self.better_than(grant, sent, insufficient_scope).await)
    }

    /// A newer token than one that the bank refuses, as far as one may be made.
    async fn better_than(
        self: &Arc<Self>,
        grant: &GrantName,
        sent: &Token,
        insufficient_scope: bool,
    ) -> Option<Arc<Token>> {
        let slot = self.slot(grant).ok()?;
        let (deadline, store_deadline) = (Instant::now() + PATIENCE, Instant::now() + STORE_PATIENCE);
        loop {
            if let Some(newer) = slot.newer(sent.version(), self.parts.clock.now()) {
                return Some(newer);
            }
            let result = match slot.flight() {
                Some(landing) => arrive(landing, deadline).await,
                None => self.renew_rejected(&slot, sent, insufficient_scope, deadline).await,
            };
            // Whatever else comes of it: what counts is whether there is a newer token then.
            match result {
                Err(TokenError::Store { retry_after }) if is_soon(retry_after, store_deadline) => {
                    sleep(retry_after).await;
                }
                _ => break,
            }
        }
        if slot.is_over() {
            slot.reject(sent.version());
        }
        slot.newer(sent.version(), self.parts.clock.now())
    }

    /// Renews a token that the bank answered 401 to, as far as that is allowed; else looks for another process' newer one.
    async fn renew_rejected(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        sent: &Token,
        insufficient_scope: bool,
        deadline: Instant,
    ) -> Result<(), TokenError> {
        let now = self.parts.clock.now();
        // A token from the future was issued before the clock was set back, or by another replica: nobody knows its age.
        let is_settled = now.since(sent.issued_at()).max(sent.issued_at().since(now)) > SETTLED;
        let was_good = sent.was_accepted() || is_settled;
        let is_bound = slot.is_of_another_certificate(sent.version(), self.parts.certificate.as_deref());
        let older_than = sent.version();
        let at_most = if is_bound { BOUND_AT_MOST } else { FORCED_AT_MOST };
        let aim = if !insufficient_scope && (was_good || is_bound) && slot.may_force(now, at_most) {
            Aim::Replace
        } else if slot.may_look(now, LOOK_EVERY) {
            Aim::Look
        } else {
            return Ok(());
        };
        self.attempt(slot, Errand { older_than, aim, paced: false }, deadline).await
    }
}
