//! Sealing: AES-256-GCM under a key that is named in the value, bound to the row and column that it stands in.
//!
//! A sealed value is a format byte, the key's id (8 bytes), the nonce (12) and the ciphertext with its tag. What it
//! is bound to is authenticated with it: a value that was moved to another row, column or version does not open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::words::{Hex, Secret};

use super::StoreError;

/// The only format there is.
const FORMAT: u8 = 1;
const ID: usize = 8;
const NONCE: usize = 12;
/// What precedes the ciphertext.
const HEAD: usize = 1 + ID + NONCE;
const KEY: usize = 32;

/// Names a key without telling it: the first bytes of its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; ID]);

/// In hex.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// What a value is bound to.
#[derive(Clone, Copy)]
pub struct Bound<'a> {
    /// What the value is: the column or kind.
    pub purpose: &'static str,
    /// The bank of the row.
    pub bank: &'a str,
    /// The name of the row.
    pub name: &'a str,
    /// The version of the row; 0 where it has none.
    pub version: u64,
}

impl Bound<'_> {
    /// Each part with its length before it, so that no two bindings read the same.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [self.purpose.as_bytes(), self.bank.as_bytes(), self.name.as_bytes(), &self.version.to_be_bytes()] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// The keys: the first one seals, all open.
pub struct Sealer {
    keys: Vec<(KeyId, RandomizedNonceKey)>,
}

impl Sealer {
    /// Each key is 32 bytes, or their base64.
    pub fn new(keys: &[Secret]) -> Result<Self, StoreError> {
        let keys = keys.iter().map(read_key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(StoreError::BadKey) } else { Ok(Self { keys }) }
    }

    /// The ids of all keys, that of the sealing one first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(|(id, _)| *id)
    }

    /// The id of the sealing key.
    pub fn sealing_id(&self) -> KeyId {
        self.keys[0].0
    }

    /// Whether a value stands under the sealing key, by what it says of itself.
    pub fn is_under_sealing_key(&self, sealed: &[u8]) -> bool {
        sealed.get(1..=ID).is_some_and(|id| id == self.sealing_id().0)
    }

    /// Seals a value.
    pub fn seal(&self, bound: Bound<'_>, secret: &Secret) -> Result<Vec<u8>, StoreError> {
        let (id, key) = &self.keys[0];
        let damaged = |_| StoreError::Damaged { what: bound.purpose };
        let mut text = Zeroizing::new(Vec::with_capacity(secret.expose().len() + AES_256_GCM.tag_len()));
        text.extend_from_slice(secret.expose());
        let nonce = key.seal_in_place_append_tag(Aad::from(bound.bytes()), &mut *text).map_err(damaged)?;
        let mut sealed = Vec::with_capacity(HEAD + text.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&id.0);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Opens a value that was sealed with the same binding.
    pub fn open(&self, bound: Bound<'_>, sealed: &[u8]) -> Result<Secret, StoreError> {
        let damaged = || StoreError::Damaged { what: bound.purpose };
        let (head, text) = sealed.split_at_checked(HEAD).ok_or_else(damaged)?;
        let (Some((&FORMAT, rest)), Ok(nonce)) = (head.split_first(), <[u8; NONCE]>::try_from(&head[1 + ID..])) else {
            return Err(damaged());
        };
        let mut id = [0; ID];
        id.copy_from_slice(&rest[..ID]);
        let id = KeyId(id);
        let known = self.keys.iter().find(|(own, _)| *own == id);
        let (_, key) = known.ok_or_else(|| StoreError::WrongKey { id: id.to_string() })?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = key
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(bound.bytes()), &mut text)
            .map_err(|_| damaged())?;
        Ok(Secret::new(&*opened))
    }
}

/// Ids only.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids().map(|id| id.to_string())).finish()
    }
}

fn read_key(secret: &Secret) -> Result<(KeyId, RandomizedNonceKey), StoreError> {
    let raw = if secret.expose().len() == KEY {
        Zeroizing::new(secret.expose().to_vec())
    } else {
        let text = secret.expose().trim_ascii();
        Zeroizing::new(STANDARD.decode(text).map_err(|_| StoreError::BadKey)?)
    };
    let key = RandomizedNonceKey::new(&AES_256_GCM, &raw).map_err(|_| StoreError::BadKey)?;
    let mut id = [0; ID];
    id.copy_from_slice(&digest::digest(&digest::SHA256, &raw).as_ref()[..ID]);
    Ok((KeyId(id), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Bound<'static> = Bound { purpose: "access", bank: "examplebank", name: "default", version: 3 };

    fn sealer(bytes: &[u8]) -> Sealer {
        Sealer::new(&bytes.iter().map(|&byte| Secret::new([byte; 32])).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_sealed_value_opens_to_what_it_was_and_looks_like_chance() {
        let (keys, secret) = (sealer(&[1]), Secret::from("hunter2"));
        let sealed = keys.seal(HERE, &secret).unwrap();
        assert!(keys.open(HERE, &sealed).unwrap().matches(b"hunter2"));
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        assert_ne!(sealed, keys.seal(HERE, &secret).unwrap());
    }

    #[test]
    fn a_value_that_was_moved_does_not_open() {
        let keys = sealer(&[1]);
        let sealed = keys.seal(HERE, &Secret::from("hunter2")).unwrap();
        for there in [
            Bound { purpose: "refresh", ..HERE },
            Bound { bank: "otherbank", ..HERE },
            Bound { name: "pisp", ..HERE },
            Bound { version: 4, ..HERE },
            Bound { bank: "examplebankd", name: "efault", ..HERE },
        ] {
            assert!(matches!(keys.open(there, &sealed), Err(StoreError::Damaged { .. })));
        }
    }

    #[test]
    fn a_value_with_any_bit_changed_or_cut_off_does_not_open() {
        let keys = sealer(&[1]);
        let sealed = keys.seal(HERE, &Secret::from("hunter2")).unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(keys.open(HERE, &changed).is_err(), "byte {index}");
            assert!(keys.open(HERE, &sealed[..index]).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn an_old_key_opens_beside_the_one_that_seals_and_a_missing_one_is_named() {
        let old = sealer(&[1]).seal(HERE, &Secret::from("hunter2")).unwrap();
        assert!(sealer(&[2, 1]).open(HERE, &old).unwrap().matches(b"hunter2"));
        let id = sealer(&[1]).ids().next().unwrap().to_string();
        assert!(matches!(sealer(&[2]).open(HERE, &old), Err(StoreError::WrongKey { id: missing }) if missing == id));
    }

    #[test]
    fn a_key_is_32_bytes_or_their_base64_and_nothing_else() {
        let text = STANDARD.encode([7; 32]) + "\n";
        let ids = |key: &[u8]| Sealer::new(&[Secret::new(key)]).map(|sealer| sealer.ids().next().unwrap().to_string());
        assert_eq!(ids(text.as_bytes()).unwrap(), ids(&[7; 32]).unwrap());
        for bad in [&b""[..], b"short", STANDARD.encode([7; 31]).as_bytes(), &[b'!'; 44]] {
            assert!(matches!(ids(bad), Err(StoreError::BadKey)), "{bad:?}");
        }
        assert!(Sealer::new(&[]).is_err());
    }
}
