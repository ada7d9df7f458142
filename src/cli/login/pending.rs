//! A login that was begun here and that others may end: the running sidecar, or a second call.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep};

use crate::oauth::{Authorization, Tokens};
use crate::words::{GrantName, Timestamp};

/// How often it is looked whether somebody else has ended it.
const LOOK: Duration = Duration::from_secs(1);
/// How long the grant of a login that has ended is waited for: longer than a bank takes for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Pending<'a> {
    pub(super) tokens: &'a Arc<Tokens>,
    pub(super) grant: &'a GrantName,
    authorization: &'a Authorization,
    begun: Instant,
    /// The grant's consent as long as this login was open.
    consent: Option<Timestamp>,
}

impl<'a> Pending<'a> {
    /// A login that has just begun; with the consent that there was before.
    pub(super) fn new(
        tokens: &'a Arc<Tokens>,
        grant: &'a GrantName,
        authorization: &'a Authorization,
        consent: Option<Timestamp>,
    ) -> Self {
        Self { tokens, grant, authorization, begun: Instant::now(), consent }
    }

    /// Returns once nobody can end it any more.
    pub(super) async fn ended_elsewhere(&mut self) {
        loop {
            sleep(LOOK).await;
            // In this order: the consent of a login that is open after that look is an earlier one's.
            let consent = self.tokens.consented_at(self.grant).await;
            if !self.is_open().await {
                return;
            }
            self.consent = consent.unwrap_or(self.consent);
        }
    }

    /// Whether somebody can still end it. A store that fails for now does not say otherwise.
    pub(super) async fn is_open(&self) -> bool {
        self.tokens.is_open(self.authorization).await.unwrap_or(true)
    }

    /// The grant that came of it, once nobody can end it any more.
    pub(super) async fn grant(&self) -> anyhow::Result<GrantName> {
        let is_late = self.begun.elapsed() + LOOK >= self.authorization.expires_in;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Ok(Some(consent)) = self.tokens.consented_at(self.grant).await
                && self.consent != Some(consent)
            {
                return Ok(self.grant.clone());
            }
            sleep(LOOK).await;
        }
        Err(if is_late {
            anyhow!("nobody came back from the bank in time")
        } else {
            anyhow!(
                "the login was ended elsewhere, by the running sidecar or another call, and no grant has come of it: the page \
                 in the browser, or that one's log, says why"
            )
        })
    }
}
