//! The real edge's one bit: whether the bank may have seen the request. Banks here are listeners that never speak TLS.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::support::{bank, by_credentials, url};
use crate::config::HttpsUrl;
use crate::message::{Body, Request};
use crate::oauth::{BankCall, CallError, Edge};
use crate::upstream::{ClientSettings, ConnectionLimit, TlsClient};

const SHORT: Duration = Duration::from_millis(200);

fn edge(connections: usize) -> Edge {
    let tls = TlsClient::new(&bank(by_credentials()).tls, None, &mut Vec::new()).unwrap();
    let connections = Arc::new(ConnectionLimit::new(connections));
    Edge::new(Arc::new(tls), ClientSettings { connect: SHORT, idle: SHORT, queue: SHORT, connections })
}

async fn call(edge: &Edge, port: u16) -> CallError {
    let url = HttpsUrl { host: "127.0.0.1".into(), port, ..url("/token") };
    let request = Request::new(http::Method::POST, "/token", Body::full("refresh_token=old"));
    edge.call(&url, request, SHORT, &|_| ()).await.unwrap_err()
}

#[tokio::test]
async fn a_connection_that_was_refused_leaves_no_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert!(!call(&edge(1), port).await.sent);
}

#[tokio::test]
async fn a_handshake_that_hangs_or_fails_leaves_no_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(!call(&edge(1), port).await.sent, "nobody answers");
    let closing = tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    assert!(!call(&edge(1), port).await.sent, "the bank closes");
    closing.abort();
}

#[tokio::test]
async fn waiting_in_vain_for_a_free_connection_leaves_no_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = call(&edge(0), port).await;
    assert!(!error.sent && error.status.is_none(), "{error:?}");
}
