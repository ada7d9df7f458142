//! A look at a bank's endpoint, for people: names, TLS, certificates, and whether it takes ours. Nothing is sent but a
//! request without a token.

pub(super) mod witness;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::certificate::{Facts, name};
use crate::config::{Alpn, authority};
use crate::message::{Body, Request};
use crate::words::Timestamp;

use super::connect::{self, Connected};
use super::{Client, ClientSettings, Endpoint, Failure, TlsClient};

use witness::Witness;

/// More of an answer is not looked at: a server that refuses a certificate says so in its first lines.
const SHORT: usize = 16 * 1024;

/// What was seen of an endpoint.
#[derive(Debug)]
pub struct Seen {
    /// What its name stands for. Empty where it could not be resolved.
    pub addresses: Vec<SocketAddr>,
    /// The handshake, or why there is no connection.
    pub handshake: Result<Handshake, Failure>,
    /// The certificates that the bank showed, also where they were refused. What does not parse is left out.
    pub chain: Vec<Facts>,
    /// The CAs whose certificates the bank says it accepts; none where it accepts any. `None`: it asked for none.
    pub asked_for: Option<Vec<String>>,
    /// What a request without a token was answered; `None` without a connection.
    pub answer: Option<Result<Answer, Failure>>,
}

/// A handshake that succeeded on our side.
#[derive(Debug)]
pub struct Handshake {
    /// The address that answered first.
    pub peer: Option<SocketAddr>,
    /// The version of TLS: `TLSv1_3`.
    pub version: String,
    /// The cipher suite by its IANA name.
    pub cipher: String,
    /// What was negotiated.
    pub protocol: Alpn,
}

/// An answer to a request without a token.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The bank's clock (RFC 9110, section 6.6.1).
    pub date: Option<Timestamp>,
    /// Whether it is a web server's word that it takes our certificate not: some refuse in HTTP what they let pass in
    /// TLS.
    pub refuses_certificate: bool,
}

/// Looks at the endpoint, and sends `HEAD` for `path` there. TLS is `tls` with new sessions, so every handshake is whole.
pub async fn probe(
    endpoint: &Endpoint,
    path: &str,
    tls: &TlsClient,
    settings: &ClientSettings,
    response: Duration,
) -> Seen {
    let addresses = connect::resolve(endpoint).await.unwrap_or_default();
    let witness = Arc::new(Witness::default());
    let tls = Arc::new(tls.observed(&witness));
    let handshake = connect::connect(endpoint, &tls, settings.connect).await.map(|connected| handshake(&connected));
    let answer = match handshake {
        Ok(_) => Some(ask(&Client::new(endpoint.clone(), tls, settings.clone()), endpoint, path, response).await),
        Err(_) => None,
    };
    let chain = witness.chain().iter().filter_map(|der| Facts::of(der).ok()).collect();
    let asked_for = witness.asked_for().map(|names| names.iter().map(|der| name::readable_der(der)).collect());
    Seen { addresses, handshake, chain, asked_for, answer }
}

fn handshake(connected: &Connected) -> Handshake {
    let (wire, session) = (connected.stream.wire(), connected.stream.session());
    let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    Handshake {
        peer: wire.peer(),
        version: session.protocol_version().and_then(|version| version.as_str()).unwrap_or("unknown").to_owned(),
        cipher: cipher.unwrap_or("unknown").to_owned(),
        protocol: connected.protocol,
    }
}

/// Sends a request that changes nothing. Where a server may mean our certificate by its answer, it is asked for words.
async fn ask(client: &Client, endpoint: &Endpoint, path: &str, response: Duration) -> Result<Answer, Failure> {
    let answer = client.send(request(Method::HEAD, endpoint, path), response).await.map_err(|error| error.failure)?;
    let date = answer.fields.get("date").and_then(date);
    let mut seen = Answer { status: answer.status, date, refuses_certificate: false };
    if seen.status == StatusCode::BAD_REQUEST {
        let words = client.send(request(Method::GET, endpoint, path), response).await.map_err(|error| error.failure)?;
        let body = tokio::time::timeout(response, words.body.collect(SHORT)).await;
        let body = body.ok().and_then(Result::ok).flatten().unwrap_or_default();
        seen.refuses_certificate = is_about_certificate(&body);
    } else if matches!(seen.status.as_u16(), 495 | 496) {
        // Of nginx: "SSL Certificate Error" and "SSL Certificate Required".
        seen.refuses_certificate = true;
    }
    Ok(seen)
}

fn request(method: Method, endpoint: &Endpoint, path: &str) -> Request {
    let mut request = Request::new(method, path.to_owned(), Body::absent());
    request.fields.push("Host", authority(&endpoint.host, endpoint.port));
    request.fields.push("Accept", "*/*");
    request
}

/// nginx: "400 No required SSL certificate was sent", "400 The SSL certificate error".
fn is_about_certificate(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).to_ascii_lowercase().contains("ssl certificate")
}

fn date(value: &[u8]) -> Option<Timestamp> {
    let date = OffsetDateTime::parse(std::str::from_utf8(value).ok()?, &Rfc2822).ok()?;
    Some(Timestamp::from_millis(date.unix_timestamp().saturating_mul(1000)))
}

#[cfg(test)]
mod tests;
