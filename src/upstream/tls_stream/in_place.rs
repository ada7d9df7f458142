//! Content where it was decrypted. rustls decrypts a record in the buffer that it was given, but then copies the content out
//! of it. With this provider it is shown the first byte only, and the place of the whole is noted.

use std::cell::Cell;
use std::ops::Range;

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, KeyBlockShape, MessageDecrypter, MessageEncrypter,
    Tls12AeadAlgorithm, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, InvalidMessage, SupportedCipherSuite, Tls12CipherSuite,
    Tls13CipherSuite,
};

thread_local! {
    /// Where the content lies that was decrypted last: its address and its length. rustls calls a decrypter, and returns,
    /// on the thread of its caller.
    static PLACE: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
    /// Whether a record was decrypted that is no alert.
    static HAS_SPOKEN: Cell<bool> = const { Cell::new(false) };
}

/// Forgets what was decrypted before.
pub(super) fn forget() {
    PLACE.set(None);
    HAS_SPOKEN.set(false);
}

/// Whether a record was decrypted since then that is no alert.
pub(super) fn has_spoken() -> bool {
    HAS_SPOKEN.get()
}

/// Where in `buffer` the content lies that was decrypted last, if it does.
pub(super) fn place_in(buffer: &[u8]) -> Option<Range<usize>> {
    let (address, length) = PLACE.take()?;
    let start = address.checked_sub(buffer.as_ptr().addr())?;
    let end = start.checked_add(length)?;
    (end <= buffer.len()).then_some(start..end)
}

/// The same provider, for sessions that [`super::TlsStream`] drives, and for no others: they would not see the content.
/// To be made once, as [`with_aead`] has it.
pub(in crate::upstream) fn in_place(mut provider: CryptoProvider) -> CryptoProvider {
    for suite in &mut provider.cipher_suites {
        *suite = with_aead(*suite, |aead| Box::new(Noting(aead)), |aead| Box::new(Noting(aead)));
    }
    provider
}

/// The suite with something around its encryption. What it is made of lives as long as the process.
pub(in crate::upstream) fn with_aead(
    suite: SupportedCipherSuite,
    tls12: fn(&'static dyn Tls12AeadAlgorithm) -> Box<dyn Tls12AeadAlgorithm>,
    tls13: fn(&'static dyn Tls13AeadAlgorithm) -> Box<dyn Tls13AeadAlgorithm>,
) -> SupportedCipherSuite {
    match suite {
        SupportedCipherSuite::Tls12(suite) => SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
            common: CipherSuiteCommon { ..suite.common },
            aead_alg: Box::leak(tls12(suite.aead_alg)),
            ..*suite
        }))),
        SupportedCipherSuite::Tls13(suite) => SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
            common: CipherSuiteCommon { ..suite.common },
            aead_alg: Box::leak(tls13(suite.aead_alg)),
            ..*suite
        }))),
    }
}

/// Something whose decryption of content is noted.
struct Noting<T>(T);

impl MessageDecrypter for Noting<Box<dyn MessageDecrypter>> {
    fn decrypt<'a>(&mut self, message: InboundOpaqueMessage<'a>, seq: u64) -> Result<InboundPlainMessage<'a>, Error> {
        let mut plain = self.0.decrypt(message, seq)?;
        if plain.typ == ContentType::Handshake && plain.payload.is_empty() {
            // Forbidden (RFC 8446, section 5.1; RFC 5246, section 6.2.1). rustls bears with it, but not with its place: it
            // would not tell where what follows ends.
            return Err(InvalidMessage::InvalidEmptyPayload.into());
        }
        if plain.typ != ContentType::Alert {
            HAS_SPOKEN.set(true);
        }
        if plain.typ == ContentType::ApplicationData
            && let Some(first) = plain.payload.get(..1)
        {
            PLACE.set(Some((plain.payload.as_ptr().addr(), plain.payload.len())));
            plain.payload = first;
        }
        Ok(plain)
    }
}

impl Tls13AeadAlgorithm for Noting<&'static dyn Tls13AeadAlgorithm> {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        self.0.encrypter(key, iv)
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Noting(self.0.decrypter(key, iv)))
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(&self, key: AeadKey, iv: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

impl Tls12AeadAlgorithm for Noting<&'static dyn Tls12AeadAlgorithm> {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        self.0.encrypter(key, iv, extra)
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        Box::new(Noting(self.0.decrypter(key, iv)))
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        self.0.key_block_shape()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv, explicit)
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}
