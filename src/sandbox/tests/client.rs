//! A client that speaks to the banks: one request a connection, with a QWAC or without.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::{Bank, Options, Qwac, Sandbox};

/// A sandbox with its control surface on.
pub(super) async fn sandbox() -> Sandbox {
    Sandbox::start(Options::with_control()).await.expect("the sandbox starts")
}

/// What a bank answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The values in the query of where the browser goes.
    pub(super) fn location(&self) -> BTreeMap<String, String> {
        let location = self.headers.get("location").unwrap_or_else(|| panic!("no Location: {self:?}"));
        let query = location.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    pub(super) fn text_at(&self, pointer: &str) -> String {
        self.json().pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

pub(super) struct Client {
    config: Arc<ClientConfig>,
}

impl Client {
    pub(super) fn new(sandbox: &Sandbox, qwac: Option<&Qwac>, alpn: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(sandbox.pki().server_ca()).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match qwac {
            Some(qwac) => builder.with_client_auth_cert(qwac.chain().to_vec(), qwac.key()).expect("a client's key"),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Self { config: Arc::new(config) }
    }

    /// A client with the sandbox's own QWAC.
    pub(super) fn licensed(sandbox: &Sandbox) -> Self {
        Self::new(sandbox, Some(sandbox.qwac()), b"http/1.1")
    }

    /// A client without a certificate: a browser.
    pub(super) fn browser(sandbox: &Sandbox) -> Self {
        Self::new(sandbox, None, b"http/1.1")
    }

    pub(super) async fn connect(&self, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }

    /// Sends a request; `lines` are its field lines beside Host, Connection and Content-Length.
    pub(super) async fn send(&self, method: &str, url: &str, lines: &[&str], body: &str) -> io::Result<Answer> {
        let (port, target) = split(url);
        let mut stream = self.connect(port).await?;
        let lines: Vec<String> = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost:{port}\r\n{}Connection: close\r\nContent-Length: {}\r\n\r\n",
            lines.concat(),
            body.len()
        );
        stream.write_all((head + body).as_bytes()).await?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer).await {
            Err(error) if answer.is_empty() => Err(error),
            _ => parse(&answer),
        }
    }

    pub(super) async fn get(&self, url: &str, token: &str) -> Answer {
        self.send("GET", url, &[&format!("Authorization: Bearer {token}")], "").await.expect("an answer")
    }

    pub(super) async fn post_json(&self, url: &str, token: &str, body: &Value) -> Answer {
        let lines = [&*format!("Authorization: Bearer {token}"), "Content-Type: application/json"];
        self.send("POST", url, &lines, &body.to_string()).await.expect("an answer")
    }

    pub(super) async fn form(&self, url: &str, lines: &[&str], fields: &[(&str, &str)]) -> Answer {
        let mut all = vec!["Content-Type: application/x-www-form-urlencoded"];
        all.extend(lines);
        self.send("POST", url, &all, &encoded(fields)).await.expect("an answer")
    }
}

pub(super) fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn split(url: &str) -> (u16, String) {
    let rest = url.strip_prefix("https://localhost:").unwrap_or_else(|| panic!("not a bank's URL: {url}"));
    let (port, target) = rest.split_once('/').unwrap_or((rest, ""));
    (port.parse().expect("a port"), format!("/{target}"))
}

fn parse(answer: &[u8]) -> io::Result<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = head.parse(answer) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let headers: BTreeMap<_, _> = head
        .headers
        .iter()
        .map(|field| (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).into_owned()))
        .collect();
    let body = answer[length..].to_vec();
    match headers.get("content-length").map(|length| length.parse::<usize>()) {
        Some(Ok(length)) if body.len() < length => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(Answer { status: head.code.unwrap_or(0), headers, body }),
    }
}

/// The authorization URL of iCard's own client, with a fresh `auth_id`.
pub(super) async fn icard_authorize_url(client: &Client, bank: &Bank, more: &[(&str, &str)]) -> String {
    let session = client.form(&bank.urls().session, &[], &[("client_id", bank.client_id())]).await;
    let auth_id = session.text_at("/auth_id");
    let mut fields = vec![("scope", "ais cof pis"), ("auth_id", &*auth_id)];
    fields.extend(more);
    authorize_url(bank, &fields)
}

/// An authorization URL of the bank's own client; `more` may hold any parameter anew.
pub(super) fn authorize_url(bank: &Bank, more: &[(&str, &str)]) -> String {
    let mut fields: BTreeMap<&str, &str> = BTreeMap::from([
        ("response_type", "code"),
        ("client_id", bank.client_id()),
        ("redirect_uri", bank.redirect_uri()),
        ("state", "st"),
    ]);
    fields.extend(more.iter().copied());
    let fields: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    format!("{}?{}", bank.urls().authorize, encoded(&fields))
}

/// Consents in the customer's place; the code.
pub(super) async fn approve(browser: &Client, url: &str) -> String {
    let answer = browser.form(url, &[], &[("decision", "approve")]).await;
    answer.location().remove("code").unwrap_or_else(|| panic!("no code: {answer:?}"))
}

/// Exchanges a code as the bank's own client, with its secret in the form.
pub(super) async fn exchange(client: &Client, bank: &Bank, code: &str, more: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", bank.redirect_uri()),
        ("client_id", bank.client_id()),
        ("client_secret", secret(bank)),
    ];
    fields.extend(more);
    client.form(&bank.urls().token, &[], &fields).await
}

/// Refreshes as the bank's own client.
pub(super) async fn refresh(client: &Client, bank: &Bank, refresh_token: &str) -> Answer {
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token),
        ("client_id", bank.client_id()),
        ("client_secret", secret(bank)),
    ];
    client.form(&bank.urls().token, &[], &fields).await
}

pub(super) fn secret(bank: &Bank) -> &str {
    bank.client_secret().expose_str().expect("text")
}

/// Access and refresh token of iCard, through its whole flow.
pub(super) async fn icard_tokens(sandbox: &Sandbox, client: &Client) -> (String, String) {
    let bank = sandbox.icard();
    let url = icard_authorize_url(client, bank, &[]).await;
    let code = approve(&Client::browser(sandbox), &url).await;
    let answer = exchange(client, bank, &code, &[]).await;
    (answer.text_at("/access_token"), answer.text_at("/refresh_token"))
}

/// Access and refresh token of CNB for a scope.
pub(super) async fn cnb_tokens(sandbox: &Sandbox, client: &Client, scope: &str) -> (String, String) {
    let bank = sandbox.cnb();
    let url = authorize_url(bank, &[("scope", scope)]);
    let code = approve(&Client::browser(sandbox), &url).await;
    let answer = exchange(client, bank, &code, &[]).await;
    (answer.text_at("/access_token"), answer.text_at("/refresh_token"))
}

/// A request over plain HTTP; the status, and the body if it is JSON.
pub(super) async fn plain(address: std::net::SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = parse(&answer).expect("an answer");
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}
