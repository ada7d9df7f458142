//! A real browser without a screen: chromium, driven by chromedriver.

#![allow(dead_code, unreachable_pub, reason = "as in the rest of the support")]

use std::process::{Child, Command, Stdio};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;

use crate::support::http::send;
use crate::support::wait::{unless_it_hangs, until_found};
use crate::support::world::free_port;

/// A browser with a profile of its own. Ended when it is dropped.
pub struct Browser {
    /// What drives it.
    pub client: Client,
    driver: Child,
    port: u16,
    _profile: TempDir,
}

impl Browser {
    /// Starts one.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// As [`start`](Self::start), with more arguments.
    pub async fn start_with(more: &[&str]) -> Self {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let profile = tempfile::tempdir().expect("a temporary folder");
        let client = until_found("chromedriver", async || connect(port, &profile, more).await).await;
        Self { client, driver, port, _profile: profile }
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) {
        unless_it_hangs("the browser", self.client.goto(url)).await.expect("the page opens");
    }

    /// Waits until what a CSS selector finds has this text within: the page before may still be there, or just going.
    pub async fn shows(&self, selector: &str, text: &str) {
        until_found(&format!("{text:?} in the browser"), async || {
            let element = self.client.find(Locator::Css(selector)).await.ok()?;
            element.text().await.ok()?.contains(text).then_some(())
        })
        .await;
    }

    /// Clicks on what a CSS selector finds.
    pub async fn click(&self, selector: &str) {
        let found = self.client.find(Locator::Css(selector)).await.expect("it is on the page");
        found.click().await.expect("it can be clicked");
    }

    /// Keeps a picture of the page in the folder that `BANKSIDE_TEST_PICTURES` names, for people who want to look.
    pub async fn picture(&self, name: &str) {
        if let Some(folder) = std::env::var_os("BANKSIDE_TEST_PICTURES") {
            let picture = self.client.screenshot().await.expect("a picture");
            std::fs::write(std::path::Path::new(&folder).join(name), picture).expect("it can be written");
        }
    }

    /// A command of the browser's developer protocol.
    pub async fn devtools(&self, command: &str, parameters: serde_json::Value) {
        let session = self.client.session_id().await.expect("a session").expect("a session");
        let path = format!("/session/{session}/goog/cdp/execute");
        let content = json!({ "cmd": command, "params": parameters }).to_string();
        let headers = [("content-type", "application/json")];
        send(([127, 0, 0, 1], self.port).into(), "POST", &path, &headers, content).await.with(200);
    }

    /// Closes it in good order.
    pub async fn close(self) {
        let _ = self.client.clone().close().await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// `None` while chromedriver does not listen yet.
async fn connect(port: u16, profile: &TempDir, more: &[&str]) -> Option<Client> {
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let data = format!("--user-data-dir={}", profile.path().display());
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        &data,
    ];
    let arguments = [&arguments[..], more].concat();
    let wanted = json!({
        "acceptInsecureCerts": true,
        "goog:chromeOptions": { "args": arguments },
    });
    let capabilities = wanted.as_object().expect("an object").clone();
    let mut builder = ClientBuilder::new(HttpConnector::new());
    let address = format!("http://127.0.0.1:{port}");
    let connected = builder.capabilities(capabilities).connect(&address);
    Some(unless_it_hangs("the browser's start", connected).await.expect("the browser starts"))
}
