//! Connections to a bank that demands certificates, and what is said when they fail.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::certificate::pki::{self, Authority, Issued, Kind};
use crate::config::{self, TlsVersion};
use crate::upstream::tls_bank::{self, Bank, Setup, client, pem_identity, trusting};

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// An authority and a QWAC of it.
fn qwac(kind: Kind) -> (Authority, Issued, config::Identity) {
    let authority = Authority::new("Trust Service Provider");
    let issued = authority.issue(&pki::qwac(), kind);
    let identity = pem_identity(&issued.pem, &issued.key_pem, None);
    (authority, issued, identity)
}

/// Sends a byte and reads the one that comes back.
async fn exchange(connected: &mut Connected) -> io::Result<u8> {
    connected.stream.write_all(b"x").await?;
    connected.stream.read_u8().await
}

#[tokio::test]
async fn the_certificate_of_the_identity_is_shown() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for kind in [Kind::Rsa, Kind::P256] {
            let (authority, issued, identity) = qwac(kind);
            let bank = Bank::start(Setup { version, clients: Some(authority), ..Setup::default() }).await;
            let (endpoint, tls) = (bank.endpoint(), client(&trusting(&bank.root), Some(&identity)));
            let seen = bank.serve_one();
            let mut connected = connect(&endpoint, &tls, SOON).await.expect("a connection");
            assert_eq!(exchange(&mut connected).await.expect("an answer"), b'x');
            let seen = seen.await.expect("no panic").expect("a handshake");
            assert_eq!(seen.certificates, [issued.der], "{kind:?} {version:?}");
            assert_eq!(seen.server_name.as_deref(), Some(tls_bank::NAME));
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_within_the_host_does_without_pacing() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        // Not every host has IPv6.
        let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
        let tcp = dial(listener.local_addr().expect("an address")).await.expect("a connection");
        assert!(SockRef::from(&tcp).tcp_congestion().expect("a name").starts_with(b"reno"));
    }
}

#[tokio::test]
async fn an_identity_is_kept_back_where_the_bank_wants_none() {
    let (_, _, identity) = qwac(Kind::P256);
    let bank = Bank::start(Setup::default()).await;
    let tls = config::Tls { client_certificate: false, ..trusting(&bank.root) };
    let (endpoint, tls) = (bank.endpoint(), client(&tls, Some(&identity)));
    assert!(tls.identity().is_none());
    let seen = bank.serve_one();
    exchange(&mut connect(&endpoint, &tls, SOON).await.expect("a connection")).await.expect("an answer");
    assert!(seen.await.expect("no panic").expect("a handshake").certificates.is_empty());
}

#[tokio::test]
async fn a_bank_that_refuses_our_certificate_is_told_from_one_that_we_refuse() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (_, _, stranger) = qwac(Kind::P256);
        for identity in [None, Some(&stranger)] {
            let clients = Some(Authority::new("Another Provider"));
            let bank = Bank::start(Setup { version, clients, ..Setup::default() }).await;
            let (endpoint, tls) = (bank.endpoint(), client(&trusting(&bank.root), identity));
            let seen = bank.serve_one();
            let failure = match connect(&endpoint, &tls, SOON).await {
                Err(failure) => {
                    assert_eq!(version.version, rustls::ProtocolVersion::TLSv1_2);
                    failure
                }
                Ok(mut connected) => {
                    assert_eq!(version.version, rustls::ProtocolVersion::TLSv1_3);
                    refusal(&exchange(&mut connected).await.expect_err("no answer")).expect("a refusal")
                }
            };
            assert!(matches!(failure, Failure::TlsRefusedByBank(_)), "{failure:?}");
            seen.await.expect("no panic").expect_err("no handshake");
        }
    }
}

#[tokio::test]
async fn a_bank_that_we_do_not_trust_or_that_has_another_name_is_refused_by_us() {
    let trusted = Bank::start(Setup::default()).await;
    let stranger = trusting(&Authority::new("Bank Root"));
    let other_name = config::Tls { server_name: Some("other.example".to_owned()), ..trusting(&trusted.root) };
    let no_override = config::Tls { server_name: None, ..trusting(&trusted.root) };
    let endpoint = trusted.endpoint();
    let server = tokio::spawn(async move {
        for _ in 0..3 {
            trusted.accept().await.expect_err("no handshake");
        }
    });
    for tls in [stranger, other_name, no_override] {
        let failure = connect(&endpoint, &client(&tls, None), SOON).await.expect_err("no connection");
        assert!(matches!(failure, Failure::TlsRefusedByUs(rustls::Error::InvalidCertificate(_))), "{failure:?}");
    }
    server.await.expect("no panic");
}

#[tokio::test]
async fn a_handshake_without_end_is_given_up_before_it_fills_the_memory() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = tls_bank::endpoint(listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.expect("a client");
        // The head of a ServerHello of 65,531 bytes, and then a byte of it in each record.
        tcp.write_all(&[22, 3, 3, 0, 4, 2, 0, 0xff, 0xfb]).await.expect("a client");
        let records = [22, 3, 3, 0, 1, 0].repeat(1000);
        while tcp.write_all(&records).await.is_ok() {}
    });
    let tls = client(&trusting(&Authority::new("Bank Root")), None);
    let failure = connect(&endpoint, &tls, SOON).await.expect_err("no connection");
    let too_large = rustls::InvalidMessage::HandshakePayloadTooLarge.into();
    assert!(matches!(&failure, Failure::TlsRefusedByUs(error) if *error == too_large), "{failure:?}");
    server.await.expect("no panic");
}

#[tokio::test]
async fn the_hosts_own_name_counts_where_none_is_given() {
    let bank = Bank::start(Setup { name: "127.0.0.1", ..Setup::default() }).await;
    let tls = client(&config::Tls { server_name: None, ..trusting(&bank.root) }, None);
    let endpoint = bank.endpoint();
    let seen = bank.serve_one();
    exchange(&mut connect(&endpoint, &tls, SOON).await.expect("a connection")).await.expect("an answer");
    // An address is never sent as a server name (RFC 6066, section 3).
    assert_eq!(seen.await.expect("no panic").expect("a handshake").server_name, None);
}

#[tokio::test]
async fn the_protocol_is_what_both_sides_speak() {
    let cases: [(Vec<&'static [u8]>, Alpn); 4] = [
        (vec![b"h2", b"http/1.1"], Alpn::H2),
        (vec![b"h2"], Alpn::H2),
        (vec![b"http/1.1"], Alpn::Http11),
        (vec![], Alpn::Http11),
    ];
    for (alpn, expected) in cases {
        let bank = Bank::start(Setup { alpn, ..Setup::default() }).await;
        let (endpoint, tls) = (bank.endpoint(), client(&trusting(&bank.root), None));
        let seen = bank.serve_one();
        let mut connected = connect(&endpoint, &tls, SOON).await.expect("a connection");
        assert_eq!(connected.protocol, expected);
        exchange(&mut connected).await.expect("an answer");
        seen.await.expect("no panic").expect("a handshake");
    }
}

#[tokio::test]
async fn a_bank_that_speaks_none_of_our_protocols_or_versions_says_so_by_an_alert() {
    let cases = [
        (Setup { version: &rustls::version::TLS12, ..Setup::default() }, TlsVersion::Tls13),
        (Setup { alpn: vec![b"spdy/3"], ..Setup::default() }, TlsVersion::Tls12),
    ];
    for (setup, min_version) in cases {
        let bank = Bank::start(setup).await;
        let (endpoint, tls) = (bank.endpoint(), client(&config::Tls { min_version, ..trusting(&bank.root) }, None));
        let seen = bank.serve_one();
        let failure = connect(&endpoint, &tls, SOON).await.expect_err("no connection");
        assert!(matches!(failure, Failure::TlsRefusedByBank(_)), "{failure:?}");
        seen.await.expect("no panic").expect_err("no handshake");
    }
}

#[tokio::test]
async fn sessions_are_resumed_within_a_client_and_never_across() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (authority, issued, identity) = qwac(Kind::P256);
        let bank = Bank::start(Setup { version, clients: Some(authority), ..Setup::default() }).await;
        let (endpoint, tls) = (bank.endpoint(), trusting(&bank.root));
        let server = tokio::spawn(async move {
            let mut resumed = Vec::new();
            for _ in 0..3 {
                let mut stream = bank.accept().await.expect("a handshake");
                let byte = stream.read_u8().await.expect("a byte");
                stream.write_all(&[byte]).await.expect("an answer");
                let seen = tls_bank::Seen::of(&stream);
                assert_eq!(seen.certificates, std::slice::from_ref(&issued.der));
                resumed.push(seen.resumed);
            }
            resumed
        });
        let first = client(&tls, Some(&identity));
        let second = client(&tls, Some(&identity));
        for tls in [&first, &first, &second] {
            exchange(&mut connect(&endpoint, tls, SOON).await.expect("a connection")).await.expect("an answer");
        }
        assert_eq!(server.await.expect("no panic"), [false, true, false], "{version:?}");
    }
}

/// A listener that is no TLS server, and a client for it.
async fn strange_server() -> (tokio::net::TcpListener, Endpoint, TlsClient) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = tls_bank::endpoint(listener.local_addr().expect("an address"));
    (listener, endpoint, client(&trusting(&Authority::new("Bank Root")), None))
}

#[tokio::test]
async fn what_is_not_tls_is_refused_by_us() {
    let (listener, endpoint, tls) = strange_server().await;
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.expect("a connection");
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("an answer");
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    });
    let failure = connect(&endpoint, &tls, SOON).await.expect_err("no connection");
    assert!(matches!(failure, Failure::TlsRefusedByUs(rustls::Error::InvalidMessage(_))), "{failure:?}");
    server.await.expect("no panic");
}

#[tokio::test]
async fn a_bank_that_hangs_up_in_the_handshake_has_not_refused_anything() {
    let (listener, endpoint, tls) = strange_server().await;
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.expect("a connection");
        tcp.read_u8().await.expect("the beginning of a handshake");
    });
    let failure = connect(&endpoint, &tls, SOON).await.expect_err("no connection");
    assert!(matches!(failure, Failure::Connect(_)), "{failure:?}");
    server.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn the_timeout_bounds_the_handshake_too() {
    let (listener, endpoint, tls) = strange_server().await;
    let failure = connect(&endpoint, &tls, SOON).await.expect_err("no connection");
    assert!(matches!(failure, Failure::ConnectTimeout(SOON)), "{failure:?}");
    drop(listener);
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_a_failure_to_connect() {
    let (listener, endpoint, tls) = strange_server().await;
    drop(listener);
    let failure = connect(&endpoint, &tls, SOON).await.expect_err("no connection");
    let Failure::Connect(error) = failure else { panic!("{failure:?}") };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_failure_to_resolve() {
    let tls = client(&config::Tls { server_name: None, ..trusting(&Authority::new("Bank Root")) }, None);
    // RFC 6761, section 6.4: `invalid` is guaranteed not to exist. The other one is no name at all.
    for host in ["bank.invalid", "not a name"] {
        let endpoint = Endpoint { host: host.to_owned(), port: 443 };
        let failure = connect(&endpoint, &tls, SOON).await.expect_err("no connection");
        assert!(matches!(failure, Failure::Dns(_)), "{failure:?}");
    }
}

/// A name that DNS does not know, and that has led to `addresses`.
async fn known(addresses: impl IntoIterator<Item = SocketAddr>) -> (Endpoint, Known) {
    let (known, addresses) = (Known::default(), addresses.into_iter().collect());
    known.addresses(std::future::ready(Ok(addresses)), SOON).await.expect("an answer");
    (Endpoint { host: "bank.invalid".to_owned(), port: 443 }, known)
}

fn address(endpoint: &Endpoint) -> SocketAddr {
    SocketAddr::new(endpoint.host.parse().expect("an address"), endpoint.port)
}

#[tokio::test]
async fn a_host_that_is_dead_above_tcp_does_not_keep_the_bank_from_us() {
    let (silent, silent_at, _) = strange_server().await;
    let (hangs_up, hangs_up_at, _) = strange_server().await;
    let stranger = Bank::start(Setup::default()).await;
    let bank = Bank::start(Setup::default()).await;
    let tls = client(&trusting(&bank.root), None);
    let addresses = [&silent_at, &hangs_up_at, &stranger.endpoint(), &bank.endpoint()].map(address);
    let (endpoint, known) = known(addresses).await;
    let dead = tokio::spawn(async move {
        drop(hangs_up.accept().await);
        stranger.accept().await.expect_err("no handshake");
    });
    let alive = tokio::spawn(async move {
        for _ in 0..2 {
            bank.accept().await.expect("a handshake");
        }
    });
    connect_knowing(&known, &endpoint, &tls, SOON).await.expect("a connection");
    dead.await.expect("no panic");
    assert_eq!(known.preferred(), Some(addresses[3]));
    // Now it is the first, and nobody takes connections at the others.
    connect_knowing(&known, &endpoint, &tls, SOON).await.expect("a connection");
    alive.await.expect("no panic");
    drop(silent);
}

#[tokio::test]
async fn what_tls_says_at_one_address_is_told_though_another_is_silent() {
    let (silent, silent_at, _) = strange_server().await;
    let setup = Setup { version: &rustls::version::TLS12, clients: Some(Authority::new("QWACs")), ..Setup::default() };
    let bank = Bank::start(setup).await;
    let tls = client(&trusting(&bank.root), None);
    let (endpoint, known) = known([address(&bank.endpoint()), address(&silent_at)]).await;
    let seen = bank.serve_one();
    let failure = connect_knowing(&known, &endpoint, &tls, SOON / 10).await.expect_err("no connection");
    assert!(matches!(failure, Failure::TlsRefusedByBank(_)), "{failure:?}");
    seen.await.expect("no panic").expect_err("no handshake");
    drop(silent);
}

#[tokio::test]
async fn where_dns_is_gone_and_its_last_address_too_dns_is_what_is_told() {
    let (listener, gone, tls) = strange_server().await;
    drop(listener);
    let (endpoint, known) = known([address(&gone)]).await;
    let failure = connect_knowing(&known, &endpoint, &tls, SOON).await.expect_err("no connection");
    assert!(matches!(failure, Failure::Dns(_)), "{failure:?}");
}

#[test]
fn an_io_error_without_an_alert_is_no_refusal() {
    let plain = io::Error::from(io::ErrorKind::ConnectionReset);
    let ours = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
    assert!(refusal(&plain).is_none() && refusal(&ours).is_none());
}

/// A bank whose name stands for its own address after others that take connections and shake no hands.
async fn hidden_behind(silent: usize) -> (Bank, Vec<std::net::TcpListener>, Known, Endpoint) {
    let bank = Bank::start(Setup::default()).await;
    let listen = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let others: Vec<_> = std::iter::repeat_with(listen).take(silent).collect();
    let mut addresses: Vec<_> = others.iter().map(|other| other.local_addr().expect("an address")).collect();
    let Endpoint { host, port } = bank.endpoint();
    addresses.push(SocketAddr::new(host.parse().expect("an address"), port));
    // What DNS said last serves for a name that it does not know.
    let known = Known::default();
    known.addresses(std::future::ready(Ok(addresses)), SOON).await.expect("addresses");
    (bank, others, known, Endpoint { host: "not a name".to_owned(), port })
}

#[tokio::test]
async fn a_living_address_behind_five_that_shake_no_hands_is_reached_in_time() {
    let (bank, _others, known, endpoint) = hidden_behind(5).await;
    let tls = client(&trusting(&bank.root), None);
    let server = bank.serve_one();
    let connected = connect_knowing(&known, &endpoint, &tls, Duration::from_secs(2)).await;
    exchange(&mut connected.expect("a connection")).await.expect("an answer");
    server.await.expect("no panic").expect("a handshake");
}

#[tokio::test]
async fn an_address_that_there_was_no_time_for_is_the_first_of_the_next_attempt() {
    let (bank, _others, known, endpoint) = hidden_behind(14).await;
    let tls = client(&trusting(&bank.root), None);
    let connect = async |timeout| connect_knowing(&known, &endpoint, &tls, timeout).await;
    let failure = connect(Duration::from_secs(1)).await.expect_err("no connection");
    assert!(matches!(failure, Failure::Dns(_)), "{failure:?}");
    let server = bank.serve_one();
    let connected = tokio::time::timeout(SOON, connect(Duration::from_secs(1))).await.expect("no silence");
    exchange(&mut connected.expect("a connection")).await.expect("an answer");
    server.await.expect("no panic").expect("a handshake");
}
