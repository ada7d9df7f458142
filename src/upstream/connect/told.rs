//! What is told of several addresses when none of them could be connected to: the failure that says most.

use std::io;
use std::time::Duration;

use crate::upstream::Failure;

/// The most telling failure so far.
#[derive(Debug, Default)]
pub(super) struct Told(Option<Failure>);

impl Told {
    /// Takes a failure in; whether another address could do better. Where our own key does not sign, none can.
    pub(super) fn add(&mut self, failure: Failure) -> bool {
        let is_ours = matches!(failure, Failure::NotSigned(_));
        if self.0.as_ref().is_none_or(|told| weight(told) <= weight(&failure)) {
            self.0 = Some(failure);
        }
        !is_ours
    }

    /// When all have failed.
    pub(super) fn of_all(self) -> Failure {
        let none = || Failure::Connect(io::Error::new(io::ErrorKind::NotFound, "there is no address"));
        self.0.unwrap_or_else(none)
    }

    /// When some have not answered within `timeout`. That says more than that others were not there.
    pub(super) fn with_a_timeout(self, timeout: Duration) -> Failure {
        let late = Failure::ConnectTimeout(timeout);
        self.0.filter(|told| weight(told) > weight(&late)).unwrap_or(late)
    }
}

fn weight(failure: &Failure) -> u8 {
    match failure {
        Failure::NotSigned(_) => 5,
        Failure::TlsRefusedByBank(_) => 4,
        Failure::TlsRefusedByUs(_) => 3,
        Failure::Dns(_) => 2,
        Failure::ConnectTimeout(_) => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused() -> Failure {
        Failure::Connect(io::ErrorKind::ConnectionRefused.into())
    }

    fn told(failures: impl IntoIterator<Item = Failure>) -> Told {
        let mut told = Told::default();
        for failure in failures {
            told.add(failure);
        }
        told
    }

    #[test]
    fn what_tls_says_comes_before_a_failure_to_connect_or_a_timeout() {
        let stranger = || Failure::TlsRefusedByUs(rustls::Error::DecryptError);
        for failures in [[stranger(), refused()], [refused(), stranger()]] {
            assert!(matches!(told(failures).of_all(), Failure::TlsRefusedByUs(_)));
        }
        assert!(matches!(told([refused(), stranger()]).with_a_timeout(SECOND), Failure::TlsRefusedByUs(_)));
        assert!(matches!(told([refused()]).with_a_timeout(SECOND), Failure::ConnectTimeout(SECOND)));
        assert!(matches!(told([]).of_all(), Failure::Connect(_)));
    }

    #[test]
    fn a_refusal_of_our_certificate_is_hidden_by_nothing() {
        let refusal = || Failure::TlsRefusedByBank(rustls::Error::AlertReceived(AlertDescription::UnknownCA));
        let others = || [refused(), Failure::TlsRefusedByUs(rustls::Error::DecryptError)];
        let told_last = told(others().into_iter().chain([refusal()]));
        assert!(matches!(told_last.with_a_timeout(SECOND), Failure::TlsRefusedByBank(_)));
        assert!(matches!(told([refusal()].into_iter().chain(others())).of_all(), Failure::TlsRefusedByBank(_)));
    }

    #[test]
    fn where_our_own_key_does_not_sign_no_other_address_is_tried() {
        let unsigned = || Failure::NotSigned(rustls::OtherError(std::sync::Arc::new(io::Error::other("no token"))));
        assert!(!Told::default().add(unsigned()) && Told::default().add(refused()));
    }
}
