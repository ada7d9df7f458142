//! What a TLS alert after the handshake says of a request: our certificate is refused, or it may have arrived.

use super::bank::*;
use super::raw;
use crate::message::Body;
use crate::upstream::tls_bank::odd::MARK;
use crate::upstream::{Failure, Progress};

const ACCESS_DENIED: [u8; 2] = [2, 49];
const CERTIFICATE_REVOKED: [u8; 2] = [2, 44];

/// What is told of a POST that a bank has read whole before it sent this alert and hung up.
async fn told_of(alpn: &'static [u8], tickets: usize, alert: [u8; 2]) -> (bool, Progress) {
    let bank = Bank::odd(alpn, tickets).await;
    let client = bank.client(settings());
    tokio::spawn(async move {
        let mut peer = bank.accept().await;
        if alpn == b"h2" {
            raw::preface(&mut peer).await;
            raw::streams_until_end(&mut peer, 1).await;
        } else {
            peer.head().await;
            assert_eq!(peer.take(5).await, b"hello");
        }
        peer.say([MARK, &[21], &alert].concat()).await;
    });
    let error = error(&client, post(Body::full("hello"))).await;
    (matches!(error.failure, Failure::TlsRefusedByBank(_)), error.progress)
}

/// A bank that demands certificates sends a ticket only after it has taken ours (RFC 8446, section 4.6.1).
#[tokio::test]
async fn after_a_session_ticket_an_alert_does_not_say_that_the_bank_has_not_received_the_request() {
    for alpn in [&b"http/1.1"[..], b"h2"] {
        for alert in [ACCESS_DENIED, CERTIFICATE_REVOKED] {
            assert_eq!(told_of(alpn, 2, alert).await, (false, Progress::MayHaveArrived), "{alert:?}");
        }
    }
}

#[tokio::test]
async fn an_alert_before_any_other_word_of_the_bank_refuses_our_certificate() {
    for alpn in [&b"http/1.1"[..], b"h2"] {
        for alert in [ACCESS_DENIED, CERTIFICATE_REVOKED] {
            assert_eq!(told_of(alpn, 0, alert).await, (true, Progress::NothingSent), "{alert:?}");
        }
    }
}
