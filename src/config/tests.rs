//! Whole configurations: what is read from them, and what is said about those that are wrong.

mod client_auth;
mod examples;
mod field_rules;
mod loading;
mod mistakes;
mod robustness;

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// A bank that is complete but for its identity.
const BANK: &str = r#"
[banks.examplebank]
listen = "127.0.0.1:0"
base_url = "https://api.bank.example/psd2/"
grant_type = "authorization_code"
client_id = "id"
client_secret = { file = "secret" }
redirect_uri = "https://example.com/callback"
oauth.authorize_url = "https://login.bank.example/authorize"
oauth.token_url = "https://login.bank.example/token"
"#;

const IDENTITY: &str = r#"
[identity]
certificate = "qwac.pem"
private_key = "qwac-key.pem"
"#;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/// A directory with the files that the examples name.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["qwac.pem", "qwac-key.pem", "client-secret", "secret"] {
        write(directory.path(), name, "from-a-file\n");
    }
    write(directory.path(), "bank-ca.pem", PEM);
    directory
}

fn write(directory: &Path, name: &str, content: &str) {
    let path = directory.join(name);
    fs::write(&path, content).expect("written");
    set_mode(&path, 0o600);
}

fn set_mode(path: &Path, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(path, mode).expect("set");
}

fn nothing(_: &str) -> Option<String> {
    None
}

fn load_in(directory: &Path, text: &str) -> Result<Config, Problems> {
    Config::parse(text, Path::new("bankside.toml"), directory, &nothing)
}

fn load(text: &str) -> Result<Config, Problems> {
    load_in(directory().path(), text)
}

fn loaded(text: &str) -> Config {
    load(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// What is wrong with a text: line, key and reason of each problem.
fn problems(text: &str) -> Vec<(usize, String, String)> {
    let shown = |one: Problem| (one.place.line, one.place.key.to_string(), one.reason);
    load(text).map_or_else(|problems| problems.0, |_| Vec::new()).into_iter().map(shown).collect()
}

/// The keys of what is wrong with a text.
fn wrong_keys(text: &str) -> Vec<String> {
    problems(text).into_iter().map(|(_, key, _)| key).collect()
}

/// The files in a folder, by name.
fn files_in(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let named = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    files.map(|path| (named(&path), fs::read_to_string(path).expect("text"))).collect()
}
