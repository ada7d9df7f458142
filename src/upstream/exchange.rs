//! What an exchange is given and what it leaves, in either version of HTTP.

use std::io;
use std::time::Duration;

use rustls::ProtocolVersion;

use super::connect::refusal;
use super::tls_stream::TlsStream;
use super::{Failure, Progress, SendError};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the request's end to the answer's head.
    pub(super) response: Duration,
    /// Between two moves of a body.
    pub(super) idle: Duration,
}

/// The bank's refusal of our certificate or TLS, if that is what `error` says. Only under TLS 1.3 does it come after the
/// handshake, and then before all else that the bank says, session tickets included: an alert that comes later may well
/// come after it has done what was asked.
pub(super) fn refusal_after_handshake(stream: &TlsStream, error: &io::Error) -> Option<Failure> {
    refusal_under(stream.session().protocol_version(), stream.has_spoken(), error)
}

fn refusal_under(tls: Option<ProtocolVersion>, has_spoken: bool, error: &io::Error) -> Option<Failure> {
    refusal(error).filter(|_| tls == Some(ProtocolVersion::TLSv1_3) && !has_spoken)
}

/// An exchange without an answer.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) failure: Failure,
    pub(super) progress: Progress,
    /// Whether the request is whole, and another connection can carry it as if nothing had been.
    pub(super) is_whole: bool,
}

impl From<Broken> for SendError {
    fn from(broken: Broken) -> Self {
        Self { failure: broken.failure, progress: broken.progress }
    }
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn an_alert_refuses_our_certificate_only_under_tls_1_3_and_before_the_bank_has_said_anything() {
        let (tls12, tls13) = (Some(ProtocolVersion::TLSv1_2), Some(ProtocolVersion::TLSv1_3));
        for (tls, has_spoken, is_refusal) in
            [(tls13, false, true), (tls13, true, false), (tls12, false, false), (tls12, true, false)]
        {
            let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRevoked);
            let error = io::Error::new(io::ErrorKind::InvalidData, alert);
            let refusal = refusal_under(tls, has_spoken, &error);
            let says_so = refusal.is_some_and(|failure| failure.is_about_our_certificate());
            assert_eq!(says_so, is_refusal, "{tls:?}, {has_spoken}");
        }
    }
}
