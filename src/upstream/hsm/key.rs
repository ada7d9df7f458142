//! One key in an HSM: signing with it, and finding its token again.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cryptoki::mechanism::{Mechanism, MechanismType};

use crate::config::Pkcs11;

use super::module::{Module, find_token};
use super::session::{Open, Pool};
use super::{Handshakes, HsmError};

/// A key that stays where it is. Banks and generations that name the same one share it, with its sessions and threads.
pub(super) struct Key {
    settings: Pkcs11,
    is_rsa: bool,
    module: Arc<Module>,
    pool: Arc<Pool>,
    handshakes: Arc<Handshakes>,
    /// Whether it wants the PIN before each signature.
    asks_each_time: AtomicBool,
    /// How many times the token was looked for, and what came of the last time.
    searches: AtomicU64,
    last_search: Mutex<Result<(), HsmError>>,
}

impl Key {
    /// The key that the settings name. The token, the PIN and the key are tried at once.
    pub(super) fn open(settings: &Pkcs11, is_rsa: bool) -> Result<Arc<Self>, HsmError> {
        static KEYS: Mutex<Vec<Weak<Key>>> = Mutex::new(Vec::new());
        let module = Module::load(&settings.module)?;
        let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|key| key.strong_count() > 0);
        if let Some(key) = keys.iter().filter_map(Weak::upgrade).find(|key| key.is(settings, is_rsa)) {
            return Ok(key);
        }
        let threads = Handshakes::new().map_err(|error| HsmError::Start(error.to_string()))?;
        let key = Arc::new(Self {
            settings: settings.clone(),
            is_rsa,
            module,
            pool: Arc::default(),
            handshakes: Arc::new(threads),
            asks_each_time: AtomicBool::new(false),
            searches: AtomicU64::new(0),
            last_search: Mutex::new(Ok(())),
        });
        key.module.watch(&key.pool);
        if let Err(error) = key.prepare() {
            // The module may have been started before the token was there. Whoever signs with it now is not disturbed.
            let is_in_use = keys.iter().filter_map(Weak::upgrade).any(|other| Arc::ptr_eq(&other.module, &key.module));
            if !is_in_use
                && matches!(error, HsmError::NoToken { .. } | HsmError::Failed { lost: true, .. })
                && key.module.restart()?
            {
                key.prepare()?;
            } else {
                return Err(error);
            }
        }
        keys.push(Arc::downgrade(&key));
        Ok(key)
    }

    fn is(&self, settings: &Pkcs11, is_rsa: bool) -> bool {
        let own = &self.settings;
        (&own.module, &own.token, &own.key, self.is_rsa) == (&settings.module, &settings.token, &settings.key, is_rsa)
            && own.pin.matches(settings.pin.expose())
    }

    /// Where handshakes that sign with it run.
    pub(super) fn handshakes(&self) -> &Arc<Handshakes> {
        &self.handshakes
    }

    /// What the token can do with it. Signatures of several parts, which a key that asks for the PIN each time needs,
    /// are of messages, not of digests (PKCS#11, section 6.1).
    pub(super) fn mechanisms(&self) -> Result<Vec<MechanismType>, HsmError> {
        const OF_DIGESTS: [MechanismType; 3] =
            [MechanismType::RSA_PKCS, MechanismType::RSA_PKCS_PSS, MechanismType::ECDSA];
        let context = self.module.enter();
        let (slot, _) = find_token(&context, &self.settings.token)?;
        let mut mechanisms = context.get_mechanism_list(slot)?;
        mechanisms.retain(|mechanism| !(self.asks_each_time() && OF_DIGESTS.contains(mechanism)));
        Ok(mechanisms)
    }

    /// Whether it wants the PIN before each signature.
    pub(super) fn asks_each_time(&self) -> bool {
        self.asks_each_time.load(Ordering::Relaxed)
    }

    /// Signs. It takes as long as the HSM takes. A token that has gone is looked for once, and a call that fails while
    /// another looks shares what comes of it.
    pub(super) fn sign(&self, mechanism: &Mechanism<'_>, data: &[u8]) -> Result<Vec<u8>, HsmError> {
        let before = self.searches.load(Ordering::Acquire);
        match self.try_to_sign(mechanism, data) {
            Err(error) if self.may_be_found(&error) => {
                self.search(before, &error)?;
                self.try_to_sign(mechanism, data)
            }
            outcome => outcome,
        }
    }

    /// Once a key was there, its absence is a token's that is gone.
    #[expect(clippy::unused_self, reason = "it reads as a question about this key")]
    fn may_be_found(&self, error: &HsmError) -> bool {
        error.is_loss() || matches!(error, HsmError::NoToken { .. } | HsmError::NoKey { .. } | HsmError::Start(_))
    }

    fn try_to_sign(&self, mechanism: &Mechanism<'_>, data: &[u8]) -> Result<Vec<u8>, HsmError> {
        let context = self.module.enter();
        let open = match self.pool.take() {
            Some(open) => open,
            None => Open::in_token(&self.module, &context, &self.settings, self.is_rsa)?,
        };
        let signature = open.sign(&self.module, &self.settings, mechanism, data)?;
        self.pool.give_back(open);
        Ok(signature)
    }

    /// Opens one session, so that the token, the PIN and the key are known to be good.
    fn prepare(&self) -> Result<(), HsmError> {
        let context = self.module.enter();
        let open = Open::in_token(&self.module, &context, &self.settings, self.is_rsa)?;
        self.asks_each_time.store(open.asks_each_time, Ordering::Relaxed);
        self.pool.give_back(open);
        Ok(())
    }

    fn search(&self, before: u64, why: &HsmError) -> Result<(), HsmError> {
        let mut last = self.last_search.lock().unwrap_or_else(PoisonError::into_inner);
        if self.searches.load(Ordering::Acquire) != before {
            return last.clone();
        }
        let token = &self.settings.token;
        tracing::warn!(token, error = %why, "the HSM's token is lost: looking for it");
        *last = self.look();
        self.searches.fetch_add(1, Ordering::AcqRel);
        match &*last {
            Ok(()) => tracing::info!(token, "the HSM's token is there again"),
            Err(error) => tracing::error!(token, %error, "the HSM's token is not there"),
        }
        last.clone()
    }

    fn look(&self) -> Result<(), HsmError> {
        {
            let _inside = self.module.enter();
            self.pool.clear();
        }
        match self.prepare() {
            Err(error) if self.may_be_found(&error) && self.module.restart()? => self.prepare(),
            outcome => outcome,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} on {})", self.settings.key, self.settings.token)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // Closing a session is a call like any other.
        let _inside = self.module.enter();
        self.pool.clear();
    }
}
