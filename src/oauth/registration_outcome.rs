//! What comes of a registration: the report of one, and why one did not work.

use crate::store::{RegisteredClient, StoreError};
use crate::words::Timestamp;

/// A registration, as the store and the bank know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationReport {
    /// The client id.
    pub client_id: String,
    /// What the bank calls the app.
    pub name: Option<String>,
    /// What the bank lets it ask for.
    pub scopes: Option<Vec<String>>,
    /// Whether the bank lists it; `None` where the bank has no list.
    pub at_bank: Option<bool>,
    /// When it was stored here, if it was.
    pub registered_at: Option<Timestamp>,
    /// Whether its secret is stored here.
    pub has_secret: bool,
    /// Whether it is the one that tokens are asked for with.
    pub in_use: bool,
}

/// Why a registration did not work. No secret is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// The configuration has no `[registration]` for this bank.
    #[error("the configuration has no `registration` for this bank")]
    None,
    /// The configuration has no request for it.
    #[error("the configuration has no `registration.{0}` for this bank")]
    NotOffered(&'static str),
    /// There is no registration that this could be about.
    #[error("no registration is known here: run `bankside register BANK` first")]
    NoClient,
    /// Neither the bank nor the store knows it; the status that says so.
    #[error("there is no registration with this id")]
    Missing(http::StatusCode),
    /// The bank says that it does not know what was to be deleted, and the store does.
    #[error(
        "the bank says that there is no registration {client_id}, so what is stored of it was kept: look with --list, \
         and whether `registration.delete_url` is right. If it is not there any more, `--delete {client_id} --local` \
         forgets it"
    )]
    NotAtBank {
        /// The client that is stored.
        client_id: String,
    },
    /// A second client would take the place of the one that grants belong to.
    #[error(
        "the app is registered as {client_id}, and {grants} grants belong to it: the bank renews them for that client \
         only, so a second registration in its place would end them. For another secret use --renew-secret; to begin \
         anew, remove the grants first"
    )]
    GrantsDepend {
        /// The client that is there.
        client_id: String,
        /// How many grants.
        grants: usize,
    },
    /// The bank did not answer.
    #[error("the bank did not answer ({reason}); {advice}")]
    Unanswered {
        /// What happened.
        reason: String,
        /// What that means.
        advice: &'static str,
    },
    /// The bank said no.
    #[error("the bank refused: {0}")]
    Refused(String),
    /// The bank knows nothing at an address that has no id in it.
    #[error("the bank answers {status}: look whether `{key}` is right")]
    NoSuchAddress {
        /// The address' key in the configuration.
        key: &'static str,
        /// 404 or 410.
        status: http::StatusCode,
    },
    /// The bank's answer lacks what it must have.
    #[error("the bank's answer has no {what}, where `registration.take` says that it is looked for. It is {answer}")]
    Lacking {
        /// What was looked for.
        what: &'static str,
        /// What came instead: its status and its fields' names.
        answer: String,
    },
    /// The app is registered, but cannot prove that it is: the id is in the store.
    #[error(
        "the app is registered as {client_id}, which is in the store, but no client secret was found in the bank's \
         answer, and `oauth.client_auth` needs one: `registration.take` says by `client_secret` in which field it is \
         looked for. The answer is {answer}. {way_on}"
    )]
    NoSecret {
        /// The client that is there.
        client_id: String,
        /// What came instead of a secret: its status and its fields' names.
        answer: String,
        /// What can be done about it.
        way_on: String,
    },
    /// The store failed; the bank was not asked.
    #[error("the store of grants failed, so the bank was not asked")]
    Store(#[from] StoreError),
    /// The store failed after the bank had answered.
    #[error("the bank has done it, but the store of grants failed")]
    NotKept(#[source] StoreError),
}

impl RegistrationError {
    /// As it is where the request had no id in it.
    pub(super) fn of_address(self, key: &'static str) -> Self {
        match self {
            Self::Missing(status) => Self::NoSuchAddress { key, status },
            other => other,
        }
    }
}

/// What the bank lists, with what the store knows.
pub(super) fn merged(
    stored: Vec<RegisteredClient>,
    listed: Option<Vec<RegistrationReport>>,
    in_use: Option<&str>,
) -> Vec<RegistrationReport> {
    let has_list = listed.is_some();
    let mut reports = listed.unwrap_or_default();
    for client in stored {
        let (registered_at, has_secret) = (Some(client.registered_at), client.client_secret.is_some());
        match reports.iter_mut().find(|report| report.client_id == client.client_id) {
            Some(report) => (report.registered_at, report.has_secret) = (registered_at, has_secret),
            None => reports.push(RegistrationReport {
                client_id: client.client_id,
                name: None,
                scopes: None,
                at_bank: has_list.then_some(false),
                registered_at,
                has_secret,
                in_use: false,
            }),
        }
    }
    for report in &mut reports {
        report.in_use = in_use == Some(report.client_id.as_str());
    }
    reports
}
