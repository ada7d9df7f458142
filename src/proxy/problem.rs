//! The only place where an error becomes a status: what the sidecar itself refuses or fails, told to the app.
//!
//! A body of RFC 9457 and a `Proxy-Status` of RFC 9209, so that nobody takes it for the bank's word.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::config::Bank;
use crate::inbound::Malformed;
use crate::inbound::access::AccessRefusal;
use crate::message::{Body, Response};
use crate::oauth::TokenError;
use crate::upstream::{Failure, Progress, SendError};
use crate::words::{GrantName, Kind, with_causes};

use super::hops;
use super::limits::Overloaded;
use super::routes::RouteRefusal;

/// Everything that keeps a request from a bank's answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Access(#[from] AccessRefusal),
    #[error("the target is not a path")]
    NoPath,
    #[error(transparent)]
    Route(#[from] RouteRefusal),
    #[error("the route's grant is {route}, and the request asks for another one")]
    OtherGrant { route: GrantName },
    #[error("Bankside-Grant is not a grant's name")]
    NotAGrantName,
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Send(#[from] SendError),
}

impl ProxyError {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Malformed(_) | Self::NoPath | Self::Access(AccessRefusal::BadRequest(_) | AccessRefusal::Trace) => {
                Kind::BadRequest
            }
            Self::Access(AccessRefusal::WrongHost) => Kind::WrongHost,
            Self::Access(AccessRefusal::CallerRefused(_)) => Kind::CallerRefused,
            Self::Route(_) | Self::OtherGrant { .. } => Kind::RouteRefused,
            Self::NotAGrantName | Self::Token(TokenError::UnknownGrant) => Kind::UnknownGrant,
            Self::Overloaded(_) => Kind::Overloaded,
            Self::Token(TokenError::NeedsAuthorization) => Kind::NeedsAuthorization,
            Self::Token(TokenError::Unavailable { .. }) => Kind::TokenUnavailable,
            Self::Token(TokenError::Store { .. }) => Kind::StoreUnavailable,
            Self::Send(error) => send_kind(&error.failure),
        }
    }

    /// Whether it says that the bank cannot be reached, or does not answer.
    pub(super) fn is_of_the_way_to_the_bank(&self) -> bool {
        matches!(self.kind(), Kind::BankUnreachable | Kind::BankTls | Kind::BankTimeout)
    }

    /// The answer that tells the app.
    pub(super) fn answer(&self, bank: &Bank, grant: Option<&GrantName>) -> Response {
        let kind = self.kind();
        let status = match self {
            Self::Malformed(malformed) => malformed.status,
            Self::Access(AccessRefusal::Trace) => StatusCode::METHOD_NOT_ALLOWED,
            _ => kind.status(),
        };
        let body = json!({
            "type": format!("urn:bankside:{}", kind.name()),
            "title": kind.title(),
            "status": status.as_u16(),
            "detail": self.detail(),
            "bank": bank.name.as_str(),
            "grant": grant.map(GrantName::as_str),
            "remedy": format!("{} (docs/TROUBLESHOOTING.md#{})", self.remedy(bank, grant), kind.name()),
        });
        let mut response = Response::new(status, Body::full(body.to_string()));
        response.fields.push("Content-Type", "application/problem+json");
        response.fields.push("Proxy-Status", format!("bankside; error={}", self.proxy_error()));
        response.fields.push("Cache-Control", "no-store");
        if kind == Kind::BadRequest {
            // Who sends what HTTP forbids, or what can be read in two ways, may mean something else by the next bytes, too.
            response.fields.push("Connection", "close");
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.fields.push("Allow", hops::METHODS);
        }
        if let Some(delay) = self.retry_after() {
            response.fields.push("Retry-After", whole_seconds(delay).to_string());
        }
        response
    }

    /// The error with its causes, in one line. None of our errors carries a secret.
    pub(super) fn detail(&self) -> String {
        with_causes(self)
    }

    /// The error type of RFC 9209, section 2.3.
    fn proxy_error(&self) -> &'static str {
        match self {
            Self::Malformed(_)
            | Self::NoPath
            | Self::Access(AccessRefusal::BadRequest(_) | AccessRefusal::Trace)
            | Self::NotAGrantName
            | Self::Token(TokenError::UnknownGrant) => "http_request_error",
            Self::Access(_) | Self::Route(_) | Self::OtherGrant { .. } => "http_request_denied",
            Self::Overloaded(_) => "connection_limit_reached",
            Self::Token(_) => "proxy_internal_error",
            Self::Send(error) => send_proxy_error(&error.failure),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded(_) | Self::Send(SendError { failure: Failure::Saturated(_), .. }) => {
                Some(Duration::from_secs(1))
            }
            Self::Token(TokenError::Unavailable { retry_after, .. } | TokenError::Store { retry_after }) => {
                Some(*retry_after)
            }
            _ => None,
        }
    }

    fn remedy(&self, bank: &Bank, grant: Option<&GrantName>) -> String {
        let bank = &bank.name;
        match self {
            Self::Malformed(_) | Self::NoPath | Self::Access(AccessRefusal::BadRequest(_)) => {
                "Send a request that follows RFC 9112, with one Host and a target in origin-form".into()
            }
            Self::Access(AccessRefusal::Trace) => {
                "Send another method: none that a bank answers with the request".into()
            }
            Self::Access(AccessRefusal::WrongHost) => {
                format!("Use localhost or the listen address, or name the host in hosts of [banks.{bank}.access]")
            }
            Self::Access(AccessRefusal::CallerRefused(_)) => {
                format!("Call from a program, as [banks.{bank}.access] allows; a web page cannot use this sidecar")
            }
            Self::Route(RouteRefusal::Ambiguous) => {
                "Send the path in its plain form: no dot segments, empty segments, or needless escapes".into()
            }
            Self::Route(RouteRefusal::Overridden) => {
                "Send the method and path that you mean, without fields or parameters that name others".into()
            }
            Self::Route(_) => format!("Allow it with a [[banks.{bank}.routes]] entry, or send another request"),
            Self::OtherGrant { .. } => "Leave Bankside-Grant out: this path's route names its grant".into(),
            Self::NotAGrantName => "Give Bankside-Grant the name of a grant: letters, digits and -_.:@+".into(),
            Self::Overloaded(Overloaded::InFlight(_)) => {
                format!("Try again later, or raise in_flight or queue in [banks.{bank}.limits]")
            }
            Self::Overloaded(Overloaded::Uploads(_)) => {
                format!("Send the body with the head, or raise connections or queue in [banks.{bank}.limits]")
            }
            Self::Token(TokenError::UnknownGrant) => format!("Configure the grant under [banks.{bank}.grants]"),
            Self::Token(TokenError::NeedsAuthorization) => {
                let grant = grant.filter(|grant| **grant != GrantName::default());
                let name = grant.map(|grant| format!(" {grant}")).unwrap_or_default();
                format!("Run `bankside login {bank}{name}` and let the account's owner authorize the access")
            }
            Self::Token(TokenError::Unavailable { cause: Some(cause), .. }) => cause.remedy.into(),
            Self::Token(TokenError::Unavailable { .. }) => {
                "Try again later; if it stays so, the log says how the bank's token endpoint answers".into()
            }
            Self::Token(TokenError::Store { .. }) => TokenError::STORE_REMEDY.into(),
            Self::Send(error) => send_remedy(error),
        }
    }
}

fn send_kind(failure: &Failure) -> Kind {
    match failure {
        Failure::TlsRefusedByUs(_) | Failure::TlsRefusedByBank(_) | Failure::NotSigned(_) => Kind::BankTls,
        Failure::ConnectTimeout(_) | Failure::ResponseTimeout(_) => Kind::BankTimeout,
        Failure::Saturated(_) => Kind::Overloaded,
        Failure::RequestBody(_) | Failure::Unsendable(_) => Kind::BadRequest,
        Failure::Dns(_) | Failure::Connect(_) | Failure::Closed(_) | Failure::Malformed(_) | Failure::Http2(_) => {
            Kind::BankUnreachable
        }
    }
}

/// The error types of RFC 9209, section 2.3.
fn send_proxy_error(failure: &Failure) -> &'static str {
    match failure {
        Failure::Dns(_) => "dns_error",
        Failure::Connect(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => "connection_refused",
        Failure::Connect(_) => "destination_unavailable",
        Failure::ConnectTimeout(_) => "connection_timeout",
        Failure::TlsRefusedByUs(rustls::Error::InvalidCertificate(_)) => "tls_certificate_error",
        Failure::TlsRefusedByUs(_) => "tls_protocol_error",
        Failure::TlsRefusedByBank(_) => "tls_alert_received",
        Failure::NotSigned(_) => "proxy_internal_error",
        Failure::Saturated(_) => "connection_limit_reached",
        Failure::Closed(_) => "connection_terminated",
        Failure::ResponseTimeout(_) => "http_response_timeout",
        Failure::Malformed(_) | Failure::Http2(_) => "http_protocol_error",
        Failure::RequestBody(_) | Failure::Unsendable(_) => "http_request_error",
    }
}

fn send_remedy(error: &SendError) -> String {
    let advice = error.failure.remedy();
    match error.progress {
        Progress::NothingSent => format!("{advice}. The bank has not received this request"),
        Progress::MayHaveArrived => {
            format!("{advice}. The bank may have received this request: look before you send it again")
        }
    }
}

/// Whole seconds, rounded up, at least one.
fn whole_seconds(delay: Duration) -> u64 {
    (delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).max(1)
}
