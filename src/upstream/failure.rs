//! Why there is no answer, and how far the request came.

use std::io;
use std::time::Duration;

use rustls::AlertDescription as Alert;

use crate::message::BodyError;
use crate::message::http2::StreamError;
use crate::words::printable;

/// Why there is no answer, and whether the bank may have seen the request.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub struct SendError {
    /// What happened.
    #[source]
    pub failure: Failure,
    /// Whether sending it again could do it twice.
    pub progress: Progress,
}

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The bank has processed nothing of it: no byte of it was written, or HTTP/2 says so (GOAWAY, `REFUSED_STREAM`).
    NothingSent,
    /// A byte of it may have left.
    MayHaveArrived,
}

/// What kept an answer from coming.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The name could not be resolved.
    #[error("the bank's name could not be resolved")]
    Dns(#[source] io::Error),
    /// The connection was not made: refused, unreachable.
    #[error("the connection to the bank was not made")]
    Connect(#[source] io::Error),
    /// The connection, TLS included, was not there in time.
    #[error("no connection to the bank within {} ms", .0.as_millis())]
    ConnectTimeout(Duration),
    /// We did not accept the bank's side of the handshake.
    #[error("the bank's certificate or TLS was not accepted: {}", printable(&.0.to_string()))]
    TlsRefusedByUs(#[source] rustls::Error),
    /// The bank did not accept ours: an alert, in the handshake or on the first read after it (TLS 1.3).
    #[error("the bank refused our certificate or TLS: {0}")]
    TlsRefusedByBank(#[source] rustls::Error),
    /// Our own key did not sign: it lies in an HSM, which says why.
    #[error("our own key did not sign the handshake: {0}")]
    NotSigned(#[source] rustls::OtherError),
    /// As many connections as may be are in use, and none came free in time.
    #[error("all connections to the bank were in use for {} ms", .0.as_millis())]
    Saturated(Duration),
    /// The bank closed or reset the connection before an answer.
    #[error("the connection to the bank ended before an answer")]
    Closed(#[source] io::Error),
    /// No answer's head in time.
    #[error("no answer within {} ms", .0.as_millis())]
    ResponseTimeout(Duration),
    /// The answer is not HTTP.
    #[error("the bank's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The HTTP/2 stream or connection failed.
    #[error("HTTP/2 to the bank failed: {0}")]
    Http2(#[source] StreamError),
    /// The app's body ended before its end.
    #[error("the request's body failed: {0}")]
    RequestBody(#[source] BodyError),
    /// HTTP/2, which this bank speaks, has no room for the request's target or a field of it.
    #[error("the request cannot be put into HTTP/2: {0}")]
    Unsendable(&'static str),
}

impl Failure {
    /// What to do about it, without a full stop.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Dns(_) => "Check the name in base_url and this machine's DNS",
            Self::Connect(_) => "Check that the bank's address is right and that a firewall lets the connection out",
            Self::ConnectTimeout(_) => "Check the network and firewall on the way to the bank",
            Self::TlsRefusedByUs(_) => {
                "Check tls.ca, tls.server_name and tls.min_version; `bankside check` shows what is trusted"
            }
            // RFC 8446, section 6.2: the bank found no acceptable parameters, and that may be more than the certificate.
            Self::TlsRefusedByBank(rustls::Error::AlertReceived(Alert::HandshakeFailure)) => {
                "Check with `bankside certificate` that the QWAC is valid and is the one that the bank knows; or the bank has none \
                 of our cipher suites: under TLS 1.2 those are ECDHE with AES-GCM or ChaCha20-Poly1305 only"
            }
            Self::TlsRefusedByBank(_) => {
                "Check with `bankside certificate` that the QWAC is valid and is the one that the bank knows"
            }
            Self::NotSigned(_) => "Look at the HSM: `bankside check` tries its token, PIN and key",
            Self::Saturated(_) => "Try again later, or raise limits.connections",
            Self::Closed(_) | Self::ResponseTimeout(_) | Self::Malformed(_) | Self::Http2(_) => {
                "Ask the bank, with the time and X-Request-ID of this request"
            }
            Self::RequestBody(_) => "Send the request's body whole",
            Self::Unsendable(_) => "Send a target and fields that HTTP/2 can carry, or set tls.alpn to [\"http/1.1\"]",
        }
    }

    /// This failure of a connection once more, for another of those whom it concerns.
    pub(super) fn for_another(&self) -> Self {
        match self {
            Self::Dns(error) => Self::Dns(same_error(error)),
            Self::ConnectTimeout(patience) => Self::ConnectTimeout(*patience),
            Self::TlsRefusedByUs(error) => Self::TlsRefusedByUs(error.clone()),
            Self::TlsRefusedByBank(error) => Self::TlsRefusedByBank(error.clone()),
            Self::NotSigned(error) => Self::NotSigned(error.clone()),
            Self::Saturated(patience) => Self::Saturated(*patience),
            Self::Connect(error) => Self::Connect(same_error(error)),
            Self::Closed(error) => Self::Closed(same_error(error)),
            Self::Http2(error) => Self::Http2(*error),
            Self::Malformed(reason) => Self::Malformed(reason),
            other => Self::Connect(io::Error::other(other.to_string())),
        }
    }

    /// Whether the bank says that it does not accept our certificate. Under TLS 1.3 a request may be on its way by then,
    /// but the bank looks at nothing of it before the handshake is over (RFC 8446, sections 4.4.2.4 and 6.2). What comes
    /// after that is [no such failure](super::exchange::refusal_after_handshake).
    pub(super) fn is_about_our_certificate(&self) -> bool {
        let Self::TlsRefusedByBank(rustls::Error::AlertReceived(alert)) = self else { return false };
        matches!(
            alert,
            Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::CertificateRequired
        )
    }

    /// With the word that nothing of the request has left.
    pub(super) fn before_sending(self) -> SendError {
        SendError { failure: self, progress: Progress::NothingSent }
    }
}

fn same_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_failure_may_mean_the_cipher_suites_and_other_alerts_do_not() {
        let remedy = |alert| Failure::TlsRefusedByBank(rustls::Error::AlertReceived(alert)).remedy();
        assert!(remedy(Alert::HandshakeFailure).contains("cipher suites"));
        assert!(remedy(Alert::HandshakeFailure).contains("bankside certificate"));
        assert!(!remedy(Alert::CertificateUnknown).contains("cipher suites"));
    }
}
