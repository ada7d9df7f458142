//! Every secret that this process of tests knows of, and the search for them: in each log, page, problem, command's output
//! and store of the whole run. A test need not ask for it, and fails where one is found.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bankside::sandbox::{Control, Sandbox};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use memchr::memmem;

/// What is shorter could be anywhere by chance.
const SHORTEST: usize = 12;
/// The keys of a configuration whose values are secrets.
const KEYS: [&str; 6] = ["client_secret", "token", "key", "passphrase", "password", "pin"];

/// Secrets by value, with what they are.
#[derive(Clone, Debug, Default)]
pub struct Secrets(BTreeMap<Vec<u8>, String>);

impl Secrets {
    /// One more.
    pub fn add(&mut self, what: &str, value: impl AsRef<[u8]>) {
        self.0.entry(value.as_ref().to_vec()).or_insert_with(|| what.to_owned());
    }

    /// What of this is to be found there: as it is, in base64 in each of its three positions, and in a URL's form.
    pub fn found_in(&self, place: &[u8]) -> Vec<&str> {
        let is_there = |value: &[u8]| forms(value).iter().any(|form| memmem::find(place, form).is_some());
        self.0.iter().filter(|(value, _)| is_there(value)).map(|(_, what)| what.as_str()).collect()
    }

    /// Panics where one of them is there.
    pub fn assert_absent(&self, what: &str, place: impl AsRef<[u8]>) {
        let found = self.found_in(place.as_ref());
        assert!(found.is_empty(), "in {what}: {found:?}\n{}", String::from_utf8_lossy(place.as_ref()));
    }
}

/// A value in the ways in which it could be written down.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec()];
    for shift in 0..3 {
        for engine in [STANDARD, URL_SAFE_NO_PAD] {
            let encoded = engine.encode([&vec![0; shift], value].concat());
            // The first and last characters depend on what stands before and behind.
            forms.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
        }
    }
    forms.push(form_urlencoded::byte_serialize(value).collect::<String>().into_bytes());
    forms.sort();
    forms.dedup();
    forms
}

/// What this process knows.
#[derive(Default)]
struct Vault {
    secrets: Secrets,
    /// Banks that give out secrets as they run.
    banks: Vec<Control>,
}

static VAULT: Mutex<Option<Vault>> = Mutex::new(None);

fn vault() -> MutexGuard<'static, Option<Vault>> {
    VAULT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a secret to those that are looked for everywhere from here on.
pub fn know(what: &str, value: impl AsRef<[u8]>) {
    if value.as_ref().len() >= SHORTEST {
        vault().get_or_insert_default().secrets.add(what, value);
    }
}

/// Looks for what these banks give out, at the time of each search, and for the key of their QWAC.
pub fn watch(sandbox: &Sandbox) {
    know_pem("the QWAC's key", sandbox.qwac().key_pem().expose());
    let banks = [sandbox.icard(), sandbox.cnb(), sandbox.cnb_sandbox()].map(|bank| bank.control().clone());
    vault().get_or_insert_default().banks.extend(banks);
}

/// Looks for the secrets that a configuration holds or names: those in files, and those in it.
pub fn learn_from(config: &Path) {
    let folder = config.parent().unwrap_or(Path::new("."));
    let text = fs::read_to_string(config).unwrap_or_default();
    if let Ok(table) = text.parse::<toml::Table>() {
        learn_from_table(&table, folder);
    }
}

fn learn_from_table(table: &toml::Table, folder: &Path) {
    for (key, value) in table {
        if key == "private_key"
            && let Some(file) = value.as_str()
        {
            know_pem("the identity's key", &fs::read(folder.join(file)).unwrap_or_default());
        }
        let several = value.as_array().map(Vec::as_slice).unwrap_or_default();
        for inner in std::iter::once(value).chain(several).filter_map(toml::Value::as_table) {
            if KEYS.contains(&key.as_str()) {
                learn_from_secret(key, inner, folder);
            } else {
                learn_from_table(inner, folder);
            }
        }
    }
}

/// A secret is given by a file or as it is; what comes from the environment, a test has to tell.
fn learn_from_secret(key: &str, secret: &toml::Table, folder: &Path) {
    let text = |name| secret.get(name).and_then(toml::Value::as_str);
    if let Some(file) = text("file") {
        know(&format!("the {key} of {file}"), fs::read(folder.join(file)).unwrap_or_default().trim_ascii());
    }
    if let Some(value) = text("value") {
        know(&format!("the {key} of the configuration"), value);
    }
}

/// A line of a key says enough.
fn know_pem(what: &str, pem: &[u8]) {
    let text = String::from_utf8_lossy(pem);
    let is_content = |line: &&str| !line.contains(['-', ':']) && line.len() >= SHORTEST;
    // The first line of PKCS#8 is much the same for all keys of a kind.
    if let Some(line) = text.lines().filter(is_content).nth(1) {
        know(what, line);
    }
}

/// Looks for every secret that is known by then, and panics where one is found.
pub fn search(what: &str, place: &[u8]) {
    if place.is_empty() {
        return;
    }
    let (mut secrets, banks) = match &*vault() {
        Some(vault) => (vault.secrets.clone(), vault.banks.clone()),
        None => return,
    };
    for (what, value) in banks.iter().flat_map(Control::secrets) {
        if value.len() >= SHORTEST {
            secrets.add(&format!("a {what} that the bank gave out"), value);
        }
    }
    secrets.assert_absent(what, place);
}
