//! What comes of a renewal, as log and metrics say it.

/// What came of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalOutcome {
    /// There is a new token, and it is kept.
    Renewed,
    /// The bank said that the grant is over.
    Over,
    /// Another process had made a newer token meanwhile.
    Superseded,
    /// The bank did not do it this time.
    NotNow,
    /// Nobody knows whether the bank did it: its answer did not come, or could not be read.
    UnknownOutcome,
    /// The store failed.
    Store,
    /// No client is known to ask as.
    NoClient,
}

impl RenewalOutcome {
    pub(super) const ALL: [Self; 7] =
        [Self::Renewed, Self::Over, Self::Superseded, Self::NotNow, Self::UnknownOutcome, Self::Store, Self::NoClient];

    /// Its word in the log and in a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Over => "over",
            Self::Superseded => "superseded",
            Self::NotNow => "not_now",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Store => "store",
            Self::NoClient => "no_client",
        }
    }
}
