//! A customer with a browser, who approves or denies what a simulated bank asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use zeroize::Zeroizing;

use crate::config::{Alpn, FileContent, HttpsUrl, Place, Tls, TlsVersion};
use crate::message::{Body, Request};
use crate::upstream::{Client, ClientSettings, ConnectionLimit, Endpoint, SendError, TlsClient};

use super::Sandbox;

/// A bank on this machine that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the customer did not get through.
#[derive(Debug, thiserror::Error)]
pub enum CustomerError {
    /// The address is not one that a browser could open.
    #[error("the authorization URL is not an https URL")]
    NotAnUrl,
    /// The bank was not reached.
    #[error("the bank's authorization page did not answer")]
    Unreachable(#[from] SendError),
    /// The banks' authority cannot be trusted.
    #[error("the simulated banks' certificate authority is not usable")]
    NoTls,
    /// The bank did not send the browser back.
    #[error("the bank's authorization page answered {0} instead of sending the browser back")]
    NotSentBack(StatusCode),
}

impl Sandbox {
    /// Opens an authorization URL as a browser does, without a certificate, and approves: the address that the bank
    /// sends the browser back to.
    pub async fn approve(&self, authorization_url: &str) -> Result<String, CustomerError> {
        self.decide(authorization_url, "approve").await
    }

    /// As [`Self::approve`], and denies.
    pub async fn deny(&self, authorization_url: &str) -> Result<String, CustomerError> {
        self.decide(authorization_url, "deny").await
    }

    async fn decide(&self, authorization_url: &str, decision: &str) -> Result<String, CustomerError> {
        let url: HttpsUrl = authorization_url.parse().map_err(|_| CustomerError::NotAnUrl)?;
        let answer = self.browser(&url)?.send(press(&url, decision), PATIENCE).await?;
        let location = answer.fields.get("Location").and_then(|location| String::from_utf8(location.to_vec()).ok());
        location.filter(|_| answer.status.is_redirection()).ok_or(CustomerError::NotSentBack(answer.status))
    }
}

impl Sandbox {
    fn browser(&self, url: &HttpsUrl) -> Result<Client, CustomerError> {
        let endpoint = Endpoint { host: url.host.clone(), port: url.port };
        let settings = ClientSettings {
            connect: PATIENCE,
            idle: PATIENCE,
            queue: PATIENCE,
            connections: Arc::new(ConnectionLimit::new(1)),
        };
        let tls = TlsClient::new(&self.browser_tls(), None, &mut Vec::new()).map_err(|_| CustomerError::NoTls)?;
        Ok(Client::new(endpoint, Arc::new(tls), settings))
    }

    /// A browser trusts the banks' authority and has no certificate of its own.
    fn browser_tls(&self) -> Tls {
        let place = Place { file: Arc::new(PathBuf::from("sandbox")), line: 1, key: "tls".into() };
        let bytes = Arc::new(Zeroizing::new(self.pki().server_ca_pem().into_bytes()));
        Tls {
            ca: vec![FileContent { place: place.clone(), path: PathBuf::from("ca.pem"), bytes }],
            place,
            system_roots: false,
            min_version: TlsVersion::Tls12,
            alpn: vec![Alpn::Http11],
            server_name: None,
            client_certificate: false,
        }
    }
}

/// The consent page's form with one of its buttons pressed.
fn press(url: &HttpsUrl, decision: &str) -> Request {
    let body = Body::full(format!("decision={decision}"));
    let mut request = Request::new(Method::POST, url.path_and_query.clone(), body);
    request.fields.push("Host", format!("{}:{}", url.host, url.port));
    request.fields.push("Content-Type", "application/x-www-form-urlencoded");
    request
}
