//! Consents that end: foretold from the day of consent, so that a person is asked before the bank refuses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::store::StoreError;
use crate::words::{GrantName, Timestamp};

use super::Tokens;

/// How long before its end a consent is spoken of.
const AHEAD: Duration = Duration::from_hours(14 * 24);
/// How often it is looked.
const LOOK: Duration = Duration::from_hours(1);
/// How many consents one look tells of; the others' turn comes when these are renewed.
const MOST: usize = 100;
/// A day.
const DAY: Duration = Duration::from_hours(24);

/// A consent that ends soon, or should have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingConsent {
    /// The grant.
    pub grant: GrantName,
    /// When it is foretold to end.
    pub until: Timestamp,
    /// Whole days until then; 0 on the last day and after.
    pub days_left: u64,
}

impl Tokens {
    /// At most `most` consents that end within 14 days, the one that ends first at the beginning. None where the
    /// configuration does not say how long consents last.
    pub async fn ending_consents(&self, most: usize) -> Result<Vec<EndingConsent>, StoreError> {
        let Some(life) = self.bank.consent_life() else { return Ok(Vec::new()) };
        let now = self.parts.clock.now();
        let margin = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp::from_millis(now.plus(AHEAD).millis().saturating_sub(margin));
        let consents = self.parts.store.consents(&self.bank.name, before, most).await?;
        let ending = consents.into_iter().map(|(key, consent_at)| {
            let until = consent_at.plus(life);
            EndingConsent { grant: key.grant, until, days_left: until.since(now).as_secs() / DAY.as_secs() }
        });
        Ok(ending.collect())
    }

    /// Tells the log of consents that end, once a day each, until `stop`.
    pub(super) fn foretell(self: &Arc<Self>, stop: CancellationToken) {
        if self.bank.consent_days.is_none() {
            return;
        }
        let tokens = Arc::clone(self);
        self.parts.control.spawn(async move {
            let mut told = HashMap::new();
            loop {
                // A store that fails is told of by those who need it.
                if let Ok(ending) = tokens.ending_consents(MOST).await {
                    tokens.tell(&ending, &mut told);
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(LOOK) => {}
                }
            }
        });
    }

    fn tell(&self, ending: &[EndingConsent], told: &mut HashMap<GrantName, u64>) {
        told.retain(|grant, _| ending.iter().any(|consent| consent.grant == *grant));
        for EndingConsent { grant, until, days_left } in ending {
            if told.insert(grant.clone(), *days_left) != Some(*days_left) {
                let bank = &self.bank.name;
                let remedy = format!("bankside login {bank} {grant}");
                warn!(%bank, %grant, outcome = "consent_ends", consent_until = %until, days_left, remedy, "token");
            }
        }
    }
}
