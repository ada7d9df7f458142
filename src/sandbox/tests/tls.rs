//! The door: which client certificates open it, and with which protocols.

use std::time::Duration;

use super::super::{Door, Options, Protocols, Qwac, QwacKey, QwacOptions, Sandbox, TlsVersions, Validity};
use super::client::*;

async fn status(sandbox: &Sandbox, qwac: Option<&Qwac>) -> Option<u16> {
    let client = Client::new(sandbox, qwac, b"http/1.1");
    let url = format!("{}/v1/accounts", sandbox.icard().urls().base);
    client.send("GET", &url, &[], "").await.ok().map(|answer| answer.status)
}

#[tokio::test]
async fn the_api_opens_to_a_valid_qwac_only() {
    for tls in [TlsVersions::Only12, TlsVersions::Only13] {
        let mut options = Options::with_control();
        options.icard.tls = tls;
        let sandbox = Sandbox::start(options).await.expect("the sandbox starts");
        let qwac = |options: QwacOptions| sandbox.pki().qwac(&options).expect("a QWAC");
        let valid = qwac(QwacOptions { key: QwacKey::Rsa2048, ..QwacOptions::default() });
        assert_eq!(status(&sandbox, Some(&valid)).await, Some(401), "let in, and asked for a token");
        let serials = sandbox.icard().control().counters().serials;
        assert!(serials.contains(valid.serial()), "{serials:?} {}", valid.serial());

        assert_eq!(status(&sandbox, None).await, None);
        let stranger = super::client::sandbox().await;
        assert_eq!(status(&sandbox, Some(stranger.qwac())).await, None);
        for validity in [Validity::Expired, Validity::NotYet] {
            assert_eq!(status(&sandbox, Some(&qwac(QwacOptions { validity, ..QwacOptions::default() }))).await, None);
        }
        let without = qwac(QwacOptions { client_auth: false, ..QwacOptions::default() });
        assert_eq!(status(&sandbox, Some(&without)).await, None);

        sandbox.icard().control().refuse_certificate(valid.serial());
        assert_eq!(status(&sandbox, Some(&valid)).await, None);
        sandbox.icard().control().accept_certificate(valid.serial());
        assert_eq!(status(&sandbox, Some(&valid)).await, Some(401));
        assert_eq!(sandbox.icard().control().counters().handshakes_failed, 6);
    }
}

#[tokio::test]
async fn a_bank_speaks_http_2_where_it_is_told_to() {
    for (protocols, agreed) in [(Protocols::Both, true), (Protocols::Http2, true), (Protocols::Http1, false)] {
        let mut options = Options::with_control();
        options.icard.protocols = protocols;
        let sandbox = Sandbox::start(options).await.expect("the sandbox starts");
        let client = Client::new(&sandbox, Some(sandbox.qwac()), b"h2");
        let connected = client.connect(sandbox.icard().address().port()).await;
        assert_eq!(connected.is_ok(), agreed, "{protocols:?}");
        let Ok(stream) = connected else { continue };
        let (mut send, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        let url = format!("{}/v1/accounts", sandbox.icard().urls().base);
        let request = http::Request::get(url).body(()).expect("a request");
        let answer = send.send_request(request, true).expect("a stream").0.await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.version()), (401, http::Version::HTTP_2));
        assert_eq!(sandbox.icard().control().counters().http2_connections, 1);
    }
}

#[tokio::test]
async fn a_door_that_is_not_open_ends_before_tls() {
    let sandbox = sandbox().await;
    sandbox.icard().control().set_door(Door::Reset);
    assert_eq!(status(&sandbox, Some(sandbox.qwac())).await, None);
    sandbox.icard().control().set_door(Door::Stall);
    let waited = tokio::time::timeout(Duration::from_millis(50), status(&sandbox, Some(sandbox.qwac()))).await;
    assert!(waited.is_err());
    sandbox.icard().control().set_door(Door::Open);
    assert_eq!(status(&sandbox, Some(sandbox.qwac())).await, Some(401));
}

#[tokio::test]
async fn nothing_listens_after_the_stop() {
    let sandbox = sandbox().await;
    let address = sandbox.icard().address();
    let client = Client::licensed(&sandbox);
    let open = client.connect(address.port()).await.expect("a connection");
    sandbox.stop().await;
    drop(open);
    tokio::net::TcpListener::bind(address).await.expect("the port is free");
}
