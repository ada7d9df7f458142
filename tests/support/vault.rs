//! Every secret that this process of tests knows of, and the search for them: in each log, page, problem, command's output
//! and store of the whole run. A test need not ask for it, and fails where one is found.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use bankside::sandbox::{Control, Sandbox};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// What is shorter could be anywhere by chance.
const SHORTEST: usize = 12;
/// What each form of a secret has at least.
const FIRST: usize = 8;
/// The keys of a configuration whose values are secrets.
const KEYS: [&str; 6] = ["client_secret", "token", "key", "passphrase", "password", "pin"];

/// Secrets, and the forms in which they are looked for.
///
/// A search reads its place once, however many secrets there are: it looks for the first bytes of a form, and compares the
/// whole form only where these stand.
#[derive(Debug, Default)]
pub struct Secrets {
    known: HashSet<Vec<u8>>,
    /// By their first bytes: each form, and what its secret is.
    forms: HashMap<[u8; FIRST], Vec<(Vec<u8>, String)>>,
    /// Whether any form begins with these two bytes.
    begins: Vec<bool>,
}

impl Secrets {
    /// One more.
    pub fn add(&mut self, what: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        assert!(value.len() >= SHORTEST, "{what} is so short that it could be anywhere by chance");
        if !self.known.insert(value.to_vec()) {
            return;
        }
        self.begins.resize(1 << 16, false);
        for form in forms(value) {
            let first = *form.first_chunk().expect("a form is as long as that");
            self.begins[begin(first)] = true;
            self.forms.entry(first).or_default().push((form, what.to_owned()));
        }
    }

    /// What of this is to be found there: as it is, in base64 in each of its three positions, and in a URL's form.
    pub fn found_in(&self, place: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut rest = place;
        while let Some(first) = rest.first_chunk() {
            if self.begins.get(begin(*first)) == Some(&true)
                && let Some(forms) = self.forms.get(first)
            {
                found.extend(forms.iter().filter(|(form, _)| rest.starts_with(form)).map(|(_, what)| what.as_str()));
            }
            rest = &rest[1..];
        }
        found
    }

    /// Panics where one of them is there.
    pub fn assert_absent(&self, what: &str, place: impl AsRef<[u8]>) {
        let found = self.found_in(place.as_ref());
        assert!(found.is_empty(), "in {what}: {found:?}\n{}", String::from_utf8_lossy(place.as_ref()));
    }
}

fn begin(first: [u8; FIRST]) -> usize {
    usize::from(u16::from_be_bytes([first[0], first[1]]))
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

static VAULT: RwLock<Option<Vault>> = RwLock::new(None);

fn vault() -> RwLockWriteGuard<'static, Option<Vault>> {
    VAULT.write().unwrap_or_else(PoisonError::into_inner)
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
    learn_from_banks();
    if let Some(vault) = &*VAULT.read().unwrap_or_else(PoisonError::into_inner) {
        vault.secrets.assert_absent(what, place);
    }
}

/// What the banks have given out by now.
fn learn_from_banks() {
    let Some(vault) = &mut *vault() else { return };
    for (what, value) in vault.banks.iter().flat_map(Control::secrets) {
        if value.len() >= SHORTEST {
            vault.secrets.add(&format!("a {what} that the bank gave out"), value);
        }
    }
}
