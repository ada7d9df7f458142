//! One new connection to a bank: name, TCP, TLS, under one timeout; and which side refused what.

mod known;
mod told;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};

use crate::config::Alpn;

#[cfg(feature = "pkcs11")]
use super::Identity;
use super::race::{self, Race};
use super::tls_stream::TlsStream;
use super::wire::Wire;
use super::{Endpoint, Failure, TlsClient};

pub(super) use known::Known;
use told::Told;

/// A connection that is ready for its first request.
#[derive(Debug)]
pub struct Connected {
    /// The bytes.
    pub stream: TlsStream,
    /// What was negotiated (RFC 7301); HTTP/1.1 where the bank does not negotiate.
    pub protocol: Alpn,
}

impl Connected {
    /// Whether the handshake took up a former session (RFC 8446, section 2.2).
    pub fn is_resumed(&self) -> bool {
        self.stream.session().handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// A connection that carries nothing is asked for a sign of life after this long, and as often again.
const KEEPALIVE: Duration = Duration::from_secs(45);

/// A handshake that takes longer is late, and another address may have begun one beside it by its end.
const LATE: Duration = Duration::from_secs(1);
/// Where there are many addresses, it is late sooner, but never before this.
const LATE_AT_THE_SOONEST: Duration = Duration::from_millis(100);

/// Connects to `endpoint`: all its addresses are tried, and `timeout` bounds the whole, the TLS handshake included.
///
/// Under TLS 1.3 the bank checks our certificate after our side of the handshake is over: what it thinks of it shows
/// with the first read only. [`refusal`] recognizes it there.
pub async fn connect(endpoint: &Endpoint, tls: &TlsClient, timeout: Duration) -> Result<Connected, Failure> {
    connect_knowing(&Known::default(), endpoint, tls, timeout).await
}

/// As [`connect`], with what is known of the endpoint from former connections.
pub(super) async fn connect_knowing(
    known: &Known,
    endpoint: &Endpoint,
    tls: &TlsClient,
    timeout: Duration,
) -> Result<Connected, Failure> {
    let mut told = Told::default();
    match tokio::time::timeout(timeout, connect_at_leisure(known, endpoint, tls, timeout, &mut told)).await {
        Ok(Ok(Some(connected))) => Ok(connected),
        Ok(Ok(None)) => Err(told.of_all()),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(told.with_a_timeout(timeout)),
    }
}

/// `None` if no address succeeded; what failed has been told.
async fn connect_at_leisure(
    known: &Known,
    endpoint: &Endpoint,
    tls: &TlsClient,
    timeout: Duration,
    told: &mut Told,
) -> Result<Option<Connected>, Failure> {
    let name = server_name(endpoint, tls)?;
    let addresses =
        known.addresses(resolve_for(endpoint.clone()), patience(tls, timeout, 1)).await.map_err(Failure::Dns)?;
    if let Some(error) = addresses.stale {
        told.add(Failure::Dns(error));
    }
    let mut addresses = race::order(addresses.all, known.preferred());
    let first = addresses.first().copied();
    known.put_back_those_in_vain(&mut addresses);
    let race = Race::new(patience(tls, timeout, addresses.len()));
    let attempt = async |address| {
        let _attempt = known.attempt(address);
        Ok((address, attempt(address, tls, name.clone(), &race).await?))
    };
    let Some((address, connected)) = race.run(addresses, attempt, |failure| told.add(failure)).await else {
        return Ok(None);
    };
    known.worked(address, first);
    Ok(Some(connected))
}

/// When a handshake is late, so that there is time left for the other addresses. Where handshakes wait for an HSM, more
/// of them make it no faster.
#[cfg_attr(not(feature = "pkcs11"), expect(unused_variables, reason = "no key is slow"))]
fn patience(tls: &TlsClient, timeout: Duration, addresses: usize) -> Duration {
    #[cfg(feature = "pkcs11")]
    if tls.identity().and_then(Identity::handshakes).is_some() {
        return timeout / 2;
    }
    let share = timeout / u32::try_from(addresses).unwrap_or(u32::MAX).saturating_add(1);
    LATE.min(timeout / 4).min(share.max(LATE_AT_THE_SOONEST))
}

/// A connection to one address.
async fn attempt(
    address: SocketAddr,
    tls: &TlsClient,
    name: ServerName<'static>,
    race: &Race,
) -> Result<Connected, Failure> {
    let tcp = dial(address).await.map_err(Failure::Connect)?;
    prepare(&tcp).map_err(Failure::Connect)?;
    let wire = Wire::new(tcp, tls.life().clone());
    let stream = race.shake_hands(shake_hands(tls, name, wire)).await.map_err(handshake_failure)?;
    let protocol = match stream.session().alpn_protocol() {
        Some(b"h2") => Alpn::H2,
        _ => Alpn::Http11,
    };
    Ok(Connected { stream, protocol })
}

/// The handshake, here, or where the identity wants it to run.
async fn shake_hands(tls: &TlsClient, name: ServerName<'static>, wire: Wire) -> io::Result<TlsStream> {
    let session = tls.session(name).map_err(io::Error::other)?;
    let handshake = TlsStream::shake_hands(session, wire);
    #[cfg(feature = "pkcs11")]
    if let Some(handshakes) = tls.identity().and_then(Identity::handshakes) {
        return handshakes.run(handshake).await;
    }
    handshake.await
}

/// The name that the bank's certificate must have.
fn server_name(endpoint: &Endpoint, tls: &TlsClient) -> Result<ServerName<'static>, Failure> {
    match tls.server_name() {
        Some(name) => Ok(name.clone()),
        None => ServerName::try_from(endpoint.host.clone())
            .map_err(|error| Failure::Dns(io::Error::new(io::ErrorKind::InvalidInput, error))),
    }
}

/// Every address that the endpoint's name stands for; at least one.
pub(super) async fn resolve(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

async fn resolve_for(endpoint: Endpoint) -> io::Result<Vec<SocketAddr>> {
    resolve(&endpoint).await
}

/// TCP to one address.
async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(target_os = "linux")]
    if address.ip().is_loopback() {
        // As at the apps' side: without a network there is nothing to hold back for. It must be chosen before the
        // connection is made, since pacing stays. Where it cannot be chosen, the connection is only slower.
        let _ = SockRef::from(&socket).set_tcp_congestion(b"reno");
    }
    socket.connect(address).await
}

/// No waiting for more to send, and a probe now and then: a bank's firewall drops idle connections without a word.
fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

/// What a failed handshake means. A bank that hangs up without an alert has not said what it refuses.
fn handshake_failure(error: io::Error) -> Failure {
    match (refusal(&error), tls_error(&error)) {
        (Some(refusal), _) => refusal,
        (None, Some(rustls::Error::Other(key))) => Failure::NotSigned(key.clone()),
        (None, Some(ours)) => Failure::TlsRefusedByUs(ours.clone()),
        (None, None) => Failure::Connect(error),
    }
}

/// The bank's refusal, if `error` carries one: a TLS alert, which under TLS 1.3 shows on the first read or write after
/// the handshake. Meant for errors that come before the first byte of an answer.
pub fn refusal(error: &io::Error) -> Option<Failure> {
    match tls_error(error) {
        Some(alert @ rustls::Error::AlertReceived(_)) => Some(Failure::TlsRefusedByBank(alert.clone())),
        _ => None,
    }
}

/// The TLS error within an I/O error.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests;
