//! Floor 1, what a certificate says: X.509 facts, PSD2 roles (ETSI TS 119 495), and key material from files.
//!
//! Nothing here touches a file or the clock: bytes and the time come in, facts and findings go out. What is malformed
//! is an error or is left out and named; it never stops the program, since these files come from outside.

pub mod error;
pub mod facts;
pub mod finding;
pub mod key;
pub mod material;
pub mod name;
pub mod pem;
#[cfg(feature = "pkcs12")]
pub mod pkcs12;
pub mod qualified;
pub mod report;
pub mod usage;

#[cfg(test)]
pub(crate) mod pki;
#[cfg(test)]
mod tests;

mod algorithm;
mod encrypted;
mod jwk;

pub use error::CertificateError;
pub use facts::Facts;
pub use finding::Finding;
pub use key::PrivateKey;
pub use material::Material;
pub use qualified::{QualifiedKind, Role};
pub use report::Report;
