//! What is seen of a bank that takes us, of one that does not, and of one that we do not take.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::certificate::pki::{self, Authority, Kind};
use crate::upstream::ConnectionLimit;
use crate::upstream::tls_bank::{Bank, Setup, client, pem_identity, trusting};

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn settings() -> ClientSettings {
    ClientSettings { connect: SOON, idle: SOON, queue: SOON, connections: Arc::new(ConnectionLimit::new(2)) }
}

/// A bank that answers every request with this, for as long as the test runs.
fn answering(bank: Bank, answer: &'static str) {
    tokio::spawn(async move {
        loop {
            let Ok(mut stream) = bank.accept().await else { continue };
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let head = answer.split_inclusive("\r\n\r\n").next().unwrap_or_default();
                    let answer = if buffer.starts_with(b"HEAD") { head } else { answer };
                    if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// What is seen of a bank of this version that takes certificates of `clients`, with a certificate of `provider`.
async fn seen(version: &'static rustls::SupportedProtocolVersion, clients: Authority, ours: &Authority) -> Seen {
    let qwac = ours.issue(&pki::qwac(), Kind::P256);
    let bank = Bank::start(Setup { version, clients: Some(clients), ..Setup::default() }).await;
    let (endpoint, tls) =
        (bank.endpoint(), client(&trusting(&bank.root), Some(&pem_identity(&qwac.pem, &qwac.key_pem, None))));
    answering(bank, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nDate: Sat, 21 Nov 2026 07:30:00 GMT\r\n\r\n");
    probe(&endpoint, "/", &tls, &settings(), SOON).await
}

#[tokio::test]
async fn a_bank_that_takes_our_certificate_is_seen_whole() {
    for (version, words) in [(&rustls::version::TLS12, "TLSv1_2"), (&rustls::version::TLS13, "TLSv1_3")] {
        let provider = Authority::new("Trust Service Provider");
        let ours = provider.again();
        let seen = seen(version, provider, &ours).await;
        let handshake = seen.handshake.expect("a handshake");
        assert_eq!((handshake.version.as_str(), handshake.protocol), (words, Alpn::Http11));
        assert_eq!(seen.addresses, Vec::from_iter(handshake.peer));
        assert!(handshake.cipher.starts_with("TLS"), "{}", handshake.cipher);
        assert_eq!(seen.chain[0].names, ["bank.example"]);
        assert_eq!(seen.asked_for, Some(vec!["CN=Trust Service Provider".to_owned()]));
        let answer = seen.answer.expect("it was asked").expect("an answer");
        assert_eq!((answer.status, answer.refuses_certificate), (StatusCode::UNAUTHORIZED, false));
        assert_eq!(answer.date, Some(Timestamp::from_millis(1_795_246_200_000)));
    }
}

#[tokio::test]
async fn a_bank_that_refuses_our_certificate_is_seen_so_in_every_version() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let seen = seen(version, Authority::new("Another Provider"), &Authority::new("Trust Service Provider")).await;
        assert_eq!(seen.asked_for, Some(vec!["CN=Another Provider".to_owned()]));
        let failure = match seen.handshake {
            Err(failure) => failure,
            Ok(_) => seen.answer.expect("it was asked").expect_err("no answer"),
        };
        assert!(matches!(failure, Failure::TlsRefusedByBank(_)), "{failure:?}");
    }
}

#[tokio::test]
async fn the_chain_of_a_bank_that_we_do_not_trust_is_seen_all_the_same() {
    let bank = Bank::start(Setup::default()).await;
    let (endpoint, tls) = (bank.endpoint(), client(&trusting(&Authority::new("Bank Root")), None));
    answering(bank, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let seen = probe(&endpoint, "/", &tls, &settings(), SOON).await;
    assert!(matches!(seen.handshake, Err(Failure::TlsRefusedByUs(_))), "{:?}", seen.handshake);
    assert_eq!((seen.chain.len(), seen.asked_for, seen.answer.is_none()), (1, None, true));
}

#[tokio::test]
async fn a_refusal_in_http_is_told_from_other_bad_requests() {
    const PAGE: &str =
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 44\r\n\r\n<title>400 The SSL certificate error</title>";
    const OTHER: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}";
    for (page, refuses) in [(PAGE, true), (OTHER, false)] {
        let bank = Bank::start(Setup::default()).await;
        let (endpoint, tls) = (bank.endpoint(), client(&trusting(&bank.root), None));
        answering(bank, page);
        let answer = probe(&endpoint, "/", &tls, &settings(), SOON).await.answer.expect("it was asked");
        assert_eq!(answer.expect("an answer").refuses_certificate, refuses, "{page}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_has_no_addresses() {
    let endpoint = Endpoint { host: "bank.invalid".to_owned(), port: 443 };
    let tls = client(&trusting(&Authority::new("Bank Root")), None);
    let seen = probe(&endpoint, "/", &tls, &settings(), SOON).await;
    assert!(seen.addresses.is_empty() && matches!(seen.handshake, Err(Failure::Dns(_))), "{seen:?}");
}
