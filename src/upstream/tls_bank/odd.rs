//! A provider with which a bank can send any record: what begins with [`MARK`] and a type becomes a record of that type.

use std::sync::OnceLock;

use rustls::crypto::CryptoProvider;
use rustls::crypto::cipher::{
    AeadKey, Iv, KeyBlockShape, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundOpaqueMessage,
    OutboundPlainMessage, Tls12AeadAlgorithm, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error};

use crate::upstream::tls;
use crate::upstream::tls_stream::with_aead;

/// The beginning of content that is not what it seems. The next byte is the record's type.
pub(in crate::upstream) const MARK: &[u8] = b"\xffODD";

/// Made once, since its suites live as long as the process.
pub(super) fn provider() -> CryptoProvider {
    static PROVIDER: OnceLock<CryptoProvider> = OnceLock::new();
    let make = || {
        let mut provider = CryptoProvider::clone(&tls::provider());
        for suite in &mut provider.cipher_suites {
            *suite = with_aead(*suite, |aead| Box::new(Odd(aead)), |aead| Box::new(Odd(aead)));
        }
        provider
    };
    PROVIDER.get_or_init(make).clone()
}

struct Odd<T>(T);

impl MessageEncrypter for Odd<Box<dyn MessageEncrypter>> {
    fn encrypt(&mut self, message: OutboundPlainMessage<'_>, seq: u64) -> Result<OutboundOpaqueMessage, Error> {
        let content = message.payload.to_vec();
        match content.strip_prefix(MARK) {
            Some([typ, content @ ..]) => {
                let (typ, payload) = (ContentType::from(*typ), OutboundChunks::Single(content));
                self.0.encrypt(OutboundPlainMessage { typ, payload, ..message }, seq)
            }
            _ => self.0.encrypt(message, seq),
        }
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        self.0.encrypted_payload_len(length)
    }
}

impl Tls13AeadAlgorithm for Odd<&'static dyn Tls13AeadAlgorithm> {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Odd(self.0.encrypter(key, iv)))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(&self, key: AeadKey, iv: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }
}

impl Tls12AeadAlgorithm for Odd<&'static dyn Tls12AeadAlgorithm> {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Odd(self.0.encrypter(key, iv, extra)))
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
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
}
