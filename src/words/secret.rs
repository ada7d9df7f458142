//! Text that must not be seen: it redacts itself where it is printed and is wiped where it ends.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use zeroize::Zeroizing;

/// A password, token, key or passphrase. `Debug` shows nothing of it, there is no `Display`, and its memory is wiped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the secret over; what it was read into is now this one's to wipe.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself. Every call is a place to look at in a review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret itself as text, if it is UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `presented` is this secret, in a time that depends on neither (not even on their lengths' difference).
    pub fn matches(&self, presented: &[u8]) -> bool {
        let own = digest::digest(&digest::SHA256, &self.0);
        let other = digest::digest(&digest::SHA256, presented);
        constant_time::verify_slices_are_equal(own.as_ref(), other.as_ref()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Some(Secret::from("hunter2"))), "Some(<secret>)");
    }

    #[test]
    fn a_secret_matches_itself_and_nothing_else() {
        let secret = Secret::from("hunter2");
        assert!(secret.matches(b"hunter2"));
        for other in [&b""[..], b"hunter", b"hunter22", b"Hunter2"] {
            assert!(!secret.matches(other));
        }
    }
}
