//! A sidecar that puts a bank's PSD2 API on localhost: it adds mutual TLS and an always-fresh OAuth token.
//!
//! Mostly it runs beside the app, as the program `bankside`. Inside another program, or a test, it is an [`App`] made
//! from a [`Config`]; it runs in threads of its own:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use bankside::config::ProcessEnvironment;
//! use bankside::{App, Config};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = Config::load(Path::new("bankside.toml"), &ProcessEnvironment)?;
//!     let sidecar = App::new(config)?.start()?;
//!     for (name, address) in sidecar.listeners() {
//!         println!("{name} is at {address}");
//!     }
//!     // Requests to these addresses go to the bank, until:
//!     sidecar.stop();
//!     Ok(())
//! }
//! ```
//!
//! Each module is a room of the program, with the rooms below it as its only neighbours; `docs/ARCHITECTURE.md` walks
//! through them. What an embedder needs is in [`app`] and [`config`].

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

pub use app::{App, Running};
pub use config::Config;
