//! One bank's tokens, as the data path and everybody else asks for them.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::config::Bank;
use crate::store::Store;
use crate::words::{Clock, GrantName, Random, Token};

use super::{BankCall, TokenError};

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
    /// The fingerprint of the certificate that the bank is shown: kept beside the tokens issued under it.
    pub certificate: Option<String>,
}

/// One bank's tokens. Shared by all workers; a valid token is had without waiting.
pub struct Tokens {}

impl Tokens {
    /// The tokens of this bank. Nothing happens until somebody asks, or [`start`](Self::start).
    pub fn new(_bank: Arc<Bank>, _parts: Parts) -> Arc<Self> {
        todo!()
    }

    /// Starts what happens unasked, on the control thread: renewal ahead of expiry, and the taking in of what other
    /// processes changed. It ends with `stop`.
    pub fn start(self: &Arc<Self>, _stop: CancellationToken) {
        todo!()
    }

    /// The grant's token: a snapshot where a valid one is there, else what a bounded wait for a renewal brings.
    pub async fn get(self: &Arc<Self>, _grant: &GrantName) -> Result<Arc<Token>, TokenError> {
        todo!()
    }

    /// After a 401 for `sent`: the token to try once more with, or `None` where there is no better one.
    ///
    /// A newer token than `sent`, or one that is being made, is taken. Else `sent` is renewed if the bank had accepted
    /// it before or it is older than 3 s, and the answer did not say `insufficient_scope`; at most 3 renewals for this
    /// cause per grant and minute, since banks answer 401 for faults of their own. Never for `fixed`.
    pub async fn after_unauthorized(
        self: &Arc<Self>,
        _grant: &GrantName,
        _sent: &Token,
        _insufficient_scope: bool,
    ) -> Option<Arc<Token>> {
        todo!()
    }
}
