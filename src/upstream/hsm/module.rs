//! PKCS#11 libraries: each is loaded and started once per process, and started anew when its tokens are lost.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::slot::{Slot, TokenInfo};

use crate::words::Secret;

use super::HsmError;
use super::error::code_name;
use super::session::Pool;

/// A library is not restarted more often: that disturbs its other tokens.
const BETWEEN_STARTS: Duration = Duration::from_secs(1);

/// A loaded library. Whoever calls it holds the read lock, since a restart invalidates every session.
pub(super) struct Module {
    context: RwLock<Pkcs11>,
    /// Started by somebody else in this process, whose sessions are none of ours to end.
    is_foreign: bool,
    pools: Mutex<Vec<Weak<Pool>>>,
    pub(super) logins: Mutex<Vec<Refused>>,
    started: Mutex<Instant>,
}

/// A PIN that a token refused: trying it again would only lock the token.
pub(super) struct Refused {
    pub(super) token: String,
    pub(super) pin: Secret,
}

impl Module {
    /// The library at `path`. It stays loaded: there is no safe moment to unload one.
    pub(super) fn load(path: &Path) -> Result<Arc<Self>, HsmError> {
        static LOADED: Mutex<Option<HashMap<PathBuf, Arc<Module>>>> = Mutex::new(None);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded.get_or_insert_default();
        if let Some(module) = loaded.get(path) {
            return Ok(Arc::clone(module));
        }
        let context = Pkcs11::new(in_its_folder(path)).map_err(|error| HsmError::Module(error.to_string()))?;
        let is_foreign = start(&context)?;
        let module = Arc::new(Self {
            context: RwLock::new(context),
            is_foreign,
            pools: Mutex::default(),
            logins: Mutex::default(),
            started: Mutex::new(Instant::now()),
        });
        loaded.insert(path.to_owned(), Arc::clone(&module));
        Ok(module)
    }

    /// The library, for the time of some calls. Not to be asked for twice by one thread.
    pub(super) fn enter(&self) -> RwLockReadGuard<'_, Pkcs11> {
        self.context.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pool whose sessions are to be closed before a restart.
    pub(super) fn watch(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// Ends and starts the library: many look for tokens only when they start. `false` where that is not to be done
    /// now.
    pub(super) fn restart(&self) -> Result<bool, HsmError> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_foreign || started.elapsed() < BETWEEN_STARTS {
            return Ok(false);
        }
        // Waits for the calls under way, and keeps new ones out.
        let context = self.context.write().unwrap_or_else(PoisonError::into_inner);
        for pool in self.pools.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
            // While their handles are still theirs: after the restart they may be others'.
            pool.clear();
        }
        // A library that lost its token may fail to end properly; whether it starts is what counts.
        let _ = context.clone().finalize();
        *started = Instant::now();
        start(&context).map(|_| true)
    }
}

/// A name without a folder would be looked for in those of the system.
fn in_its_folder(path: &Path) -> Cow<'_, Path> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new(".").join(path).into(),
        _ => path.into(),
    }
}

/// Whether somebody else had started it.
fn start(context: &Pkcs11) -> Result<bool, HsmError> {
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) => Ok(false),
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(true),
        Err(Error::Pkcs11(code, _)) => Err(HsmError::Start(code_name(code))),
        Err(error) => Err(HsmError::Start(error.to_string())),
    }
}

/// The slot of the token with this label, and what the token says of itself.
pub(super) fn find_token(context: &Pkcs11, label: &str) -> Result<(Slot, TokenInfo), HsmError> {
    let mut there = Vec::new();
    for slot in context.get_slots_with_token()? {
        // A slot whose token is just being pulled out is not there.
        let Ok(info) = context.get_token_info(slot) else { continue };
        if info.label().trim_end() == label {
            return Ok((slot, info));
        }
        if info.token_initialized() {
            there.push(info.label().trim_end().to_owned());
        }
    }
    Err(HsmError::NoToken { wanted: label.to_owned(), there })
}
