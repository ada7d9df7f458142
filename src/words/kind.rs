//! The kinds of problems that the sidecar itself answers with: names, statuses and titles of the contract with users.

use http::StatusCode;

/// What went wrong, as an app is told: the `KIND` in `"type": "urn:bankside:KIND"` (RFC 9457).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// What HTTP forbids; CONNECT; a foreign absolute target.
    BadRequest,
    /// Not a grant's name, or a grant that only the configuration could make.
    UnknownGrant,
    /// The caller has no right: key, uid, origin.
    CallerRefused,
    /// No route, or a route that denies, or another grant than the route's.
    RouteRefused,
    /// A `Host` that is none of ours.
    WrongHost,
    /// Too many requests under way.
    Overloaded,
    /// A person must consent, first or again.
    NeedsAuthorization,
    /// The token endpoint fails for now.
    TokenUnavailable,
    /// The store fails, and no valid token is at hand.
    StoreUnavailable,
    /// DNS, refused, reset, closed early.
    BankUnreachable,
    /// The TLS handshake failed on either side.
    BankTls,
    /// The bank did not connect or answer in time.
    BankTimeout,
}

impl Kind {
    /// Every kind, in the order of the contract.
    pub const ALL: [Self; 12] = [
        Self::BadRequest,
        Self::UnknownGrant,
        Self::CallerRefused,
        Self::RouteRefused,
        Self::WrongHost,
        Self::Overloaded,
        Self::NeedsAuthorization,
        Self::TokenUnavailable,
        Self::StoreUnavailable,
        Self::BankUnreachable,
        Self::BankTls,
        Self::BankTimeout,
    ];

    /// The name in the problem's type, in logs and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::UnknownGrant => "unknown-grant",
            Self::CallerRefused => "caller-refused",
            Self::RouteRefused => "route-refused",
            Self::WrongHost => "wrong-host",
            Self::Overloaded => "overloaded",
            Self::NeedsAuthorization => "needs-authorization",
            Self::TokenUnavailable => "token-unavailable",
            Self::StoreUnavailable => "store-unavailable",
            Self::BankUnreachable => "bank-unreachable",
            Self::BankTls => "bank-tls",
            Self::BankTimeout => "bank-timeout",
        }
    }

    /// The status that this kind is answered with.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::UnknownGrant => StatusCode::BAD_REQUEST,
            Self::CallerRefused | Self::RouteRefused => StatusCode::FORBIDDEN,
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Overloaded | Self::NeedsAuthorization | Self::TokenUnavailable | Self::StoreUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::BankUnreachable | Self::BankTls => StatusCode::BAD_GATEWAY,
            Self::BankTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The problem's title: the same sentence for every problem of this kind (RFC 9457, section 3.1.3).
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not valid HTTP for this sidecar",
            Self::UnknownGrant => "There is no such grant",
            Self::CallerRefused => "This caller may not use the bank",
            Self::RouteRefused => "This request is not among the routes that are allowed",
            Self::WrongHost => "The Host is not one of this sidecar's",
            Self::Overloaded => "Too many requests are under way",
            Self::NeedsAuthorization => "A person has to authorize the access first",
            Self::TokenUnavailable => "The bank's token endpoint does not give a token for now",
            Self::StoreUnavailable => "The store of grants does not answer for now",
            Self::BankUnreachable => "The bank cannot be reached",
            Self::BankTls => "The TLS handshake with the bank failed",
            Self::BankTimeout => "The bank did not answer in time",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_an_error_status() {
        for (i, kind) in Kind::ALL.iter().enumerate() {
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
            assert!(Kind::ALL[..i].iter().all(|earlier| earlier.name() != kind.name()));
        }
    }
}
