//! Whole configurations: what is read from them, and what is said about those that are wrong.

use std::fs;
use std::path::Path;

use super::*;

/// A directory with the files that the examples name.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["qwac.pem", "qwac-key.pem", "client-secret", "secret"] {
        let path = directory.path().join(name);
        fs::write(&path, "from-a-file\n").expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, mode).expect("set");
    }
    directory
}

fn nothing(_: &str) -> Option<String> {
    None
}

fn load_in(directory: &Path, text: &str) -> Result<Config, Problems> {
    Config::parse(text, Path::new("bankside.toml"), directory, &nothing)
}

/// The files in a folder of `config/`, by name.
fn files_in(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let named = |path: std::path::PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    files.map(|path| (named(path.clone()), fs::read_to_string(path).expect("text"))).collect()
}

#[test]
fn the_examples_load_without_a_warning() {
    let examples = files_in("config");
    assert!(examples.len() >= 2);
    for (name, text) in examples {
        let config = load_in(directory().path(), &text).unwrap_or_else(|problems| panic!("{name}:\n{problems}"));
        assert_eq!(config.warnings, [], "{name}");
    }
}
