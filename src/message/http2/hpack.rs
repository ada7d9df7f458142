//! Field sections in HPACK (RFC 7541).
//!
//! What we send makes no use of the table: tokens, PSU data and signatures are never put into anybody's memory, and a
//! request needs no look-up. What a bank sends may use all of it.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod table;

pub use decoder::Decoder;
pub use encoder::{Sensitivity, write_field, write_indexed, write_named, write_no_table};

/// Why bytes are not a field section. Nothing can be decoded any more on that connection (RFC 7541, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field section is not HPACK: {0}")]
pub struct Malformed(pub &'static str);

/// Indices of the static table that we use (RFC 7541, appendix A).
pub mod index {
    /// `:authority`, without a value.
    pub const AUTHORITY: usize = 1;
    /// `:method: GET`.
    pub const METHOD_GET: usize = 2;
    /// `:method: POST`.
    pub const METHOD_POST: usize = 3;
    /// `:path: /`.
    pub const PATH: usize = 4;
    /// `:scheme: https`.
    pub const SCHEME_HTTPS: usize = 7;
    /// `authorization`, without a value.
    pub const AUTHORIZATION: usize = 23;
    /// `content-length`, without a value.
    pub const CONTENT_LENGTH: usize = 28;
}

#[cfg(test)]
mod tests;
