//! Chance, passed in: the operating system's in production, a known sequence in tests.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A source of random bytes. Clones draw from the same source.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

/// Fills a slice with random bytes.
type Fill = dyn Fn(&mut [u8]) + Send + Sync;

impl Random {
    /// The operating system's cryptographic generator.
    ///
    /// # Panics
    /// Where the system has no entropy: then no secret made here could be trusted.
    pub fn system() -> Self {
        let source = SystemRandom::new();
        Self(Arc::new(move |bytes| {
            #[expect(clippy::expect_used, reason = "without entropy nothing may go on")]
            source.fill(bytes).expect("the system's random generator works");
        }))
    }

    /// A sequence that is the same for the same seed. For tests: it hides nothing.
    pub fn seeded(seed: u64) -> Self {
        let state = AtomicU64::new(seed);
        Self(Arc::new(move |bytes| {
            for chunk in bytes.chunks_mut(8) {
                let word = splitmix64(state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed));
                chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
            }
        }))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }

    /// 256 random bits in base64url without padding: an RFC 6749 `state`, an RFC 7636 verifier.
    pub fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes::<32>())
    }

    /// A version 4 UUID (RFC 9562, section 5.4) in its usual form.
    pub fn uuid(&self) -> String {
        let mut b = self.bytes::<16>();
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        let mut text = String::with_capacity(36);
        for (index, byte) in b.into_iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.extend([byte >> 4, byte & 0x0f].map(|digit| char::from(HEX[usize::from(digit)])));
        }
        text
    }

    /// A number from 0 (included) to 1 (not included).
    pub fn fraction(&self) -> f64 {
        let high_bits = u32::from_le_bytes(self.bytes::<4>());
        f64::from(high_bits) / (f64::from(u32::MAX) + 1.0)
    }
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014).
fn splitmix64(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeded_source_repeats_itself_and_the_systems_does_not() {
        assert_eq!(Random::seeded(7).token(), Random::seeded(7).token());
        assert_ne!(Random::seeded(7).token(), Random::seeded(8).token());
        assert_ne!(Random::system().token(), Random::system().token());
    }

    #[test]
    fn a_uuid_says_that_it_is_version_4_of_the_rfc_variant() {
        let uuid = Random::system().uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]));
    }

    #[test]
    fn a_token_is_43_unreserved_characters() {
        let token = Random::system().token();
        assert_eq!(token.len(), 43);
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }
}
