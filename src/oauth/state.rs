//! What a grant's state is called, and what listings say of a grant.

use std::fmt;

use serde_json::{Value, json};

use crate::store::{Facts, Standing, Tally};
use crate::words::{BankName, GrantName, Timestamp};

/// A grant's state, as people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantState {
    /// There is a valid token.
    Active,
    /// The token ended, and there is no way to renew it, or not yet.
    Expired,
    /// A renewal is under way.
    Renewing,
    /// A person must consent, first or again.
    NeedsAuthorization,
    /// A renewal was cut off after it had left.
    UnknownOutcome,
}

impl GrantState {
    /// Every state, in the order of the contract.
    pub const ALL: [Self; 5] =
        [Self::Active, Self::Expired, Self::Renewing, Self::NeedsAuthorization, Self::UnknownOutcome];

    /// The name in listings, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Renewing => "renewing",
            Self::NeedsAuthorization => "needs_authorization",
            Self::UnknownOutcome => "unknown_outcome",
        }
    }

    /// The state of a stored grant at `now`.
    pub(super) fn of(facts: &Facts, now: Timestamp) -> Self {
        let expired = facts.expires_at.is_some_and(|end| end <= now);
        Self::judge(facts.standing, facts.leased, facts.sent_at.is_some(), expired)
    }

    /// The state of all grants that stand so.
    pub(super) fn of_all(tally: &Tally) -> Self {
        Self::judge(tally.standing, tally.leased, tally.sent, tally.expired)
    }

    fn judge(standing: Standing, leased: bool, sent: bool, expired: bool) -> Self {
        match standing {
            Standing::Over => Self::NeedsAuthorization,
            _ if leased => Self::Renewing,
            _ if sent => Self::UnknownOutcome,
            Standing::Empty => Self::Expired,
            Standing::Active if expired => Self::Expired,
            Standing::Active => Self::Active,
        }
    }
}

impl fmt::Display for GrantState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What listings say of a grant. There is no secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantReport {
    /// The bank.
    pub bank: BankName,
    /// The grant's name there.
    pub grant: GrantName,
    /// Its state.
    pub state: GrantState,
    /// Whether there is a refresh token.
    pub refreshable: bool,
    /// What it is for.
    pub scopes: Vec<String>,
    /// When its token was issued; `None` where there is none yet, and for a token that is given.
    pub issued_at: Option<Timestamp>,
    /// When its token ends; `None` where nobody said.
    pub expires_at: Option<Timestamp>,
    /// When the consent is foretold to end: `consent_days` after the person gave it.
    pub consent_until: Option<Timestamp>,
    /// Why its last renewal by this process brought no token; `None` where it did, or none was tried.
    pub last_failure: Option<LastFailure>,
}

/// A renewal that brought no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// Why, in one line without a full stop.
    pub reason: String,
    /// What to do, without a full stop.
    pub remedy: &'static str,
    /// When it is tried again, or could have been.
    pub retry_at: Timestamp,
}

impl GrantReport {
    /// The machine's form.
    pub fn json(&self) -> Value {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        json!({
            "bank": self.bank.as_str(),
            "grant": self.grant.as_str(),
            "state": self.state.name(),
            "issued_at": time(self.issued_at),
            "expires_at": time(self.expires_at),
            "scopes": self.scopes,
            "consent_until": time(self.consent_until),
            "refreshable": self.refreshable,
            "last_failure": self.last_failure.as_ref().map(|failure| json!({
                "reason": failure.reason,
                "remedy": failure.remedy,
                "retry_at": failure.retry_at.to_string(),
            })),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::GrantKey;

    fn facts() -> Facts {
        Facts {
            key: GrantKey { bank: "examplebank".parse().unwrap(), grant: GrantName::default() },
            version: 1,
            standing: Standing::Active,
            refreshable: true,
            scopes: Vec::new(),
            issued_at: Timestamp::default(),
            expires_at: Some(Timestamp::from_millis(1000)),
            consent_at: None,
            used_at: Timestamp::default(),
            renew_at: None,
            sent_at: None,
            leased: false,
            failures: 0,
            certificate: None,
        }
    }

    fn state(change: impl FnOnce(&mut Facts), now: i64) -> &'static str {
        let mut facts = facts();
        change(&mut facts);
        GrantState::of(&facts, Timestamp::from_millis(now)).name()
    }

    #[test]
    fn a_grant_is_active_until_the_moment_its_token_ends() {
        assert_eq!(state(|_| {}, 999), "active");
        assert_eq!(state(|_| {}, 1000), "expired");
        assert_eq!(state(|facts| facts.expires_at = None, i64::MAX), "active");
    }

    #[test]
    fn an_intent_is_a_renewal_while_somebody_leads_it_and_an_unknown_outcome_after() {
        let sent = |facts: &mut Facts| facts.sent_at = Some(Timestamp::from_millis(1));
        assert_eq!(state(sent, 5), "unknown_outcome");
        let led = |facts: &mut Facts| (facts.sent_at, facts.leased) = (Some(Timestamp::from_millis(1)), true);
        assert_eq!(state(led, 5), "renewing");
    }

    #[test]
    fn a_grant_that_the_bank_ended_needs_authorization_whatever_its_token_says() {
        assert_eq!(state(|facts| facts.standing = Standing::Over, 5), "needs_authorization");
        assert_eq!(state(|facts| facts.standing = Standing::Empty, 5), "expired");
    }

    #[test]
    fn every_state_has_a_name_of_its_own() {
        for (index, one) in GrantState::ALL.iter().enumerate() {
            assert!(GrantState::ALL[..index].iter().all(|other| other.name() != one.name()));
        }
    }
}
