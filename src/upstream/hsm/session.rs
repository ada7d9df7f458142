//! Sessions with a token: logged in, the key found, and kept for the next signature.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::TokenInfo;
use cryptoki::types::AuthPin;

use crate::config::{Pkcs11 as Settings, Pkcs11Key};

use super::HsmError;
use super::error::code_name;
use super::handshakes::AT_ONCE;
use super::module::{Module, Refused, find_token};

/// A session in which the key is at hand.
pub(super) struct Open {
    session: Session,
    key: ObjectHandle,
    /// Whether the key wants the PIN before each signature (`CKA_ALWAYS_AUTHENTICATE`).
    pub(super) asks_each_time: bool,
}

/// Sessions that nobody uses at the moment. There are as many as threads that sign, at most.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Open>>);

impl Pool {
    pub(super) fn take(&self) -> Option<Open> {
        self.sessions().pop()
    }

    pub(super) fn give_back(&self, open: Open) {
        let mut sessions = self.sessions();
        if sessions.len() < AT_ONCE {
            sessions.push(open);
        }
    }

    /// Closes them all.
    pub(super) fn clear(&self) {
        let sessions = std::mem::take(&mut *self.sessions());
        drop(sessions);
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Finds the token, logs in if that is not done, and finds the key. `is_rsa` tells apart keys of one label.
    pub(super) fn in_token(module: &Module, context: &Pkcs11, of: &Settings, is_rsa: bool) -> Result<Self, HsmError> {
        let (slot, info) = find_token(context, &of.token)?;
        let session = context.open_ro_session(slot)?;
        log_in(module, &session, &info, of)?;
        let key = find_key(&session, &of.key, is_rsa)?;
        let asks_each_time = asks_each_time(&session, key);
        Ok(Self { session, key, asks_each_time })
    }

    /// Signs. After a failure the session may be in the middle of an operation, and is of no more use.
    pub(super) fn sign(
        &self,
        module: &Module,
        of: &Settings,
        mechanism: &Mechanism<'_>,
        data: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        if !self.asks_each_time {
            return Ok(self.session.sign(mechanism, self.key, data)?);
        }
        // The PIN has its place between the beginning and the rest, and so only in a signature of several parts.
        self.session.sign_init(mechanism, self.key)?;
        confirm(module, &self.session, of)?;
        self.session.sign_update(data)?;
        Ok(self.session.sign_final()?)
    }
}

/// Logs in at the token, which holds for all sessions of the process. A PIN that was refused is never tried again, and
/// the last try before the token locks is left to a person.
fn log_in(module: &Module, session: &Session, info: &TokenInfo, of: &Settings) -> Result<(), HsmError> {
    // One at a time: two tries with one wrong PIN would count twice.
    let mut refused = module.logins.lock().unwrap_or_else(PoisonError::into_inner);
    check_not_refused(&refused, of)?;
    if matches!(session.get_session_info()?.session_state(), SessionState::RoUser | SessionState::RwUser) {
        return Ok(());
    }
    if info.user_pin_locked() {
        return Err(HsmError::Locked);
    }
    if info.user_pin_final_try() {
        return Err(HsmError::LastTry);
    }
    match session.login(UserType::User, Some(&pin(of)?)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(error) => Err(judge(error, of, &mut refused)),
    }
}

/// Gives the PIN for the one operation that has begun.
fn confirm(module: &Module, session: &Session, of: &Settings) -> Result<(), HsmError> {
    let mut refused = module.logins.lock().unwrap_or_else(PoisonError::into_inner);
    check_not_refused(&refused, of)?;
    session.login(UserType::ContextSpecific, Some(&pin(of)?)).map_err(|error| judge(error, of, &mut refused))
}

fn check_not_refused(refused: &[Refused], of: &Settings) -> Result<(), HsmError> {
    let is_refused = |refused: &Refused| refused.token == of.token && refused.pin.matches(of.pin.expose());
    if refused.iter().any(is_refused) { Err(HsmError::RefusedBefore) } else { Ok(()) }
}

fn pin(of: &Settings) -> Result<AuthPin, HsmError> {
    Ok(of.pin.expose_str().ok_or(HsmError::PinNotText)?.into())
}

/// What a failed login means. A PIN that was refused is remembered.
fn judge(error: Error, of: &Settings, refused: &mut Vec<Refused>) -> HsmError {
    match error {
        Error::Pkcs11(RvError::PinLocked, _) => HsmError::Locked,
        Error::Pkcs11(
            code @ (RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinExpired),
            _,
        ) => {
            refused.push(Refused { token: of.token.clone(), pin: of.pin.clone() });
            HsmError::WrongPin(code_name(code))
        }
        error => error.into(),
    }
}

fn find_key(session: &Session, wanted: &Pkcs11Key, is_rsa: bool) -> Result<ObjectHandle, HsmError> {
    let name = match wanted {
        Pkcs11Key::Label(label) => Attribute::Label(label.clone().into_bytes()),
        Pkcs11Key::Id(id) => Attribute::Id(id.clone()),
    };
    let key_type = if is_rsa { KeyType::RSA } else { KeyType::EC };
    let private = Attribute::Class(ObjectClass::PRIVATE_KEY);
    let found = session.find_objects(&[private.clone(), name.clone(), Attribute::KeyType(key_type)])?;
    match found.as_slice() {
        [key] => Ok(*key),
        [] if !session.find_objects(&[private.clone(), name])?.is_empty() => Err(HsmError::Mismatch),
        [] => {
            let there = session.find_objects(&[private])?;
            let there = there.iter().map(|key| name_of(session, *key)).collect();
            Err(HsmError::NoKey { wanted: wanted.to_string(), there })
        }
        several => {
            let there = several.iter().map(|key| name_of(session, *key)).collect();
            Err(HsmError::SeveralKeys { wanted: wanted.to_string(), there })
        }
    }
}

/// A token that does not say does not ask.
fn asks_each_time(session: &Session, key: ObjectHandle) -> bool {
    let attributes = session.get_attributes(key, &[AttributeType::AlwaysAuthenticate]).unwrap_or_default();
    attributes.contains(&Attribute::AlwaysAuthenticate(true))
}

/// `LABEL (id:HEX)`, for people.
fn name_of(session: &Session, key: ObjectHandle) -> String {
    let mut label = String::new();
    let mut id = Pkcs11Key::Id(Vec::new());
    for attribute in session.get_attributes(key, &[AttributeType::Label, AttributeType::Id]).unwrap_or_default() {
        match attribute {
            Attribute::Label(bytes) => label = String::from_utf8_lossy(&bytes).replace(char::is_control, "?"),
            Attribute::Id(bytes) => id = Pkcs11Key::Id(bytes),
            _ => {}
        }
    }
    format!("{label} ({id})")
}
