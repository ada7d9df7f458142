//! Keys that stay in an HSM (PKCS#11): found, proved against the certificate, and signed with.
//!
//! Signing takes as long as the HSM takes, and rustls signs within a poll: such handshakes run on [`Handshakes`],
//! threads of their own, so that no request waits for another's signature.

mod error;
mod handshakes;
mod key;
mod module;
mod scheme;
mod session;
mod signing;
mod trial;

pub(super) use error::HsmError;
pub(super) use handshakes::{Handshakes, wait_for_threads};
pub(super) use signing::open;
