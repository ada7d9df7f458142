//! A sidecar that puts a bank's PSD2 API on localhost: it adds mutual TLS and an always-fresh OAuth token.

pub mod admin;
pub mod app;
pub mod certificate;
pub mod cli;
pub mod config;
pub mod inbound;
pub mod message;
pub mod oauth;
pub mod proxy;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod store;
pub mod telemetry;
pub mod upstream;
pub mod words;
