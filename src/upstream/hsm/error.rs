//! Why an HSM does not sign, and what to do about it.

use cryptoki::error::{Error, RvError};

/// Each is a different mistake or trouble, so each says a different thing. No PIN is ever in it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum HsmError {
    /// The library does not load.
    #[error("the PKCS#11 module does not load: {0}")]
    Module(String),
    /// The library loads, but does not start.
    #[error("the PKCS#11 module does not start: {0}")]
    Start(String),
    /// No token has the label.
    #[error("there is no token {wanted:?}; the module has {}", listed(.there))]
    NoToken {
        /// The label.
        wanted: String,
        /// The labels that there are.
        there: Vec<String>,
    },
    /// No private key has the label or id.
    #[error("the token has no private key {wanted}; it has {}", listed(.there))]
    NoKey {
        /// The label or id.
        wanted: String,
        /// The keys that there are.
        there: Vec<String>,
    },
    /// Several private keys have the label.
    #[error("the token has several private keys {wanted}: {}", .there.join(", "))]
    SeveralKeys {
        /// The label.
        wanted: String,
        /// Their ids.
        there: Vec<String>,
    },
    /// The token refused the PIN.
    #[error("the token refused the PIN ({0})")]
    WrongPin(String),
    /// The token refused this PIN before; it was not tried again.
    #[error("the token refused this PIN before, so it was not tried again")]
    RefusedBefore,
    /// The token takes no PIN any more.
    #[error("the PIN is locked")]
    Locked,
    /// One more wrong PIN locks the token.
    #[error("one more wrong PIN would lock the token, so it was not tried")]
    LastTry,
    /// The PIN is not text.
    #[error("the PIN is not UTF-8 text")]
    PinNotText,
    /// The key is not the certificate's.
    #[error("the key in the HSM does not belong to the certificate")]
    Mismatch,
    /// The key is that of a certificate of the chain that is not the first.
    #[error("the key in the HSM belongs to certificate {0} of the chain, not to the first")]
    LeafNotFirst(usize),
    /// The key signs in no way that TLS takes.
    #[error("the key in the HSM signs in no way that TLS takes: {0}")]
    Unfit(String),
    /// The HSM failed.
    #[error("the HSM failed: {call}: {code}")]
    Failed {
        /// The function.
        call: String,
        /// What it returned.
        code: String,
        /// Whether the token may only have to be found again.
        lost: bool,
    },
}

impl HsmError {
    /// What to do, without a full stop.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Module(_) | Self::Start(_) => {
                "name the HSM's PKCS#11 library in identity.pkcs11.module; its own log may say more"
            }
            Self::NoToken { .. } => "give the token's label in identity.pkcs11.token, or plug the token in",
            Self::NoKey { .. } => "give the key's label, or \"id:HEX\", in identity.pkcs11.key",
            Self::SeveralKeys { .. } => "name one of them by its id in identity.pkcs11.key",
            Self::WrongPin(_) | Self::RefusedBefore | Self::PinNotText => {
                "give the right PIN in identity.pkcs11.pin; each wrong one brings the token nearer to being locked"
            }
            Self::Locked => "unlock the token with the HSM's own tool",
            Self::LastTry => "log in once with the HSM's own tool and the right PIN, which resets the count",
            Self::Mismatch => "bring the certificate and the key together that were made for each other",
            Self::LeafNotFirst(_) => "put the leaf first, then the chain in order",
            Self::Unfit(_) => "use an RSA key from 2048 bits, or one on P-256 or P-384, that may sign",
            Self::Failed { .. } => "look at the HSM: its own log and tool may say more",
        }
    }

    /// Whether the token may be there again after a look for it: nothing that a person has to put right.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::Failed { lost: true, .. })
    }
}

impl From<Error> for HsmError {
    fn from(error: Error) -> Self {
        match error {
            Error::Pkcs11(code, call) => {
                Self::Failed { call: format!("C_{call:?}"), code: code_name(code), lost: is_loss(code) }
            }
            other => Self::Failed { call: "PKCS#11".to_owned(), code: other.to_string(), lost: false },
        }
    }
}

/// `DeviceRemoved` as the standard writes it: `CKR_DEVICE_REMOVED`.
pub(super) fn code_name(code: RvError) -> String {
    let mut name = String::from("CKR");
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// What modules answer when a token was pulled out, restarted, or reached over a network that went away. Some say no
/// more than that something failed.
fn is_loss(code: RvError) -> bool {
    use RvError as E;
    matches!(
        code,
        E::CryptokiNotInitialized
            | E::DeviceError
            | E::DeviceRemoved
            | E::FunctionFailed
            | E::GeneralError
            | E::KeyHandleInvalid
            | E::ObjectHandleInvalid
            | E::SessionClosed
            | E::SessionHandleInvalid
            | E::SlotIdInvalid
            | E::TokenNotPresent
            | E::TokenNotRecognized
            | E::UserNotLoggedIn
            | E::VendorDefined(_)
    )
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_named_as_in_the_standard() {
        assert_eq!(code_name(RvError::TokenNotPresent), "CKR_TOKEN_NOT_PRESENT");
        assert_eq!(code_name(RvError::PinIncorrect), "CKR_PIN_INCORRECT");
    }

    #[test]
    fn only_what_may_pass_by_itself_is_a_loss() {
        assert!(is_loss(RvError::DeviceRemoved) && is_loss(RvError::SessionHandleInvalid));
        for code in [RvError::PinIncorrect, RvError::PinLocked, RvError::MechanismInvalid] {
            assert!(!is_loss(code));
        }
    }
}
