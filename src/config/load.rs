//! The way of a configuration: text, tree, profiles below it, raw, valid.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use zeroize::Zeroizing;

use super::file::{mode_of, read_bounded};
use super::profile::lay_over_profile;
use super::raw::RawConfig;
use super::reader::{Read, Reader};
use super::tree::{Entry, Node, Source, Value};
use super::valid::settings;
use super::{Config, Environment, Identity, Problem, Problems, Severity, Tls};

/// What came of reading a configuration.
#[derive(Debug)]
pub struct Reading {
    /// The configuration, or all that is wrong with it.
    pub outcome: Result<Config, Problems>,
    /// The files that were read, or could not be: if one of them changes, another reading may come to something else.
    pub files: Vec<PathBuf>,
    /// Where the outcome is a failure: how banks are connected to, as far as that is valid. It may have faults of its own.
    pub connections: Vec<BankConnection>,
}

/// What a bank's connections are made of.
#[derive(Clone, Debug)]
pub struct BankConnection {
    /// Whom we trust, and with which versions.
    pub tls: Tls,
    /// What we show, if there is something, and it is valid.
    pub identity: Option<Identity>,
}

impl Config {
    /// Reads a configuration and every file that it names.
    ///
    /// What somebody should know although it works is in [`Config::warnings`]. Otherwise every problem is returned at
    /// once, the file that cannot be read included.
    pub fn load(path: &Path, environment: &dyn Environment) -> Result<Self, Problems> {
        Self::read(path, environment).outcome
    }

    /// As [`Config::load`]; the files that matter are told also where it fails.
    pub fn read(path: &Path, environment: &dyn Environment) -> Reading {
        let text = match Self::text(path) {
            Ok(text) => text,
            Err(problems) => {
                return Reading { outcome: Err(problems), files: vec![path.to_owned()], connections: Vec::new() };
            }
        };
        let base = path.parent().unwrap_or(Path::new(""));
        Self::read_text(&text, path, base, environment)
    }

    fn text(path: &Path) -> Result<Zeroizing<String>, Problems> {
        let whole = |reason: String, remedy: &str| {
            let source = Source { file: Arc::new(path.to_owned()), base: PathBuf::new(), built_in: false };
            Problems(vec![Problem::error(&source.place(), reason, remedy)])
        };
        let bytes = read_bounded(path)
            .map_err(|error| whole(format!("cannot be read: {error}"), "name a file that this user may read"))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| whole("not UTF-8".to_owned(), "save it as UTF-8"))?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// Reads a configuration from a text, as if it stood in `file`. Relative paths in it are relative to `base`.
    pub fn parse(text: &str, file: &Path, base: &Path, environment: &dyn Environment) -> Result<Self, Problems> {
        Self::read_text(text, file, base, environment).outcome
    }

    fn read_text(text: &str, file: &Path, base: &Path, environment: &dyn Environment) -> Reading {
        let source = Arc::new(Source { file: Arc::new(file.to_owned()), base: base.to_owned(), built_in: false });
        let mut reader = Reader::new(environment);
        reader.files.insert(file.to_owned());
        warn_if_others_may_write(file, &source, &mut reader);
        let valid = source.parse(text, &mut reader.problems).and_then(|mut tree| {
            let without_profile = lay_profiles(&mut tree, &mut reader);
            let raw = RawConfig::read(&tree, &mut reader)?;
            settings(raw, &without_profile, &source.place(), base, &mut reader)
        });
        let failed = reader.has_errors();
        let Problems(problems) = Problems::in_order(reader.problems, file);
        let files: Vec<PathBuf> = reader.files.into_iter().collect();
        let Some(valid) = valid.filter(|_| !failed) else {
            let errors = problems.into_iter().filter(|one| one.severity == Severity::Error).collect();
            return Reading { outcome: Err(Problems(errors)), files, connections: reader.connections };
        };
        let config = Self {
            file: file.to_owned(),
            log: valid.log,
            admin: valid.admin,
            store: valid.store,
            workers: valid.workers,
            banks: valid.banks,
            warnings: problems,
            files: files.clone(),
        };
        Reading { outcome: Ok(config), files, connections: Vec::new() }
    }
}

/// Whoever writes the configuration decides where tokens go.
fn warn_if_others_may_write(file: &Path, source: &Source, reader: &mut Reader<'_>) {
    if mode_of(file) & 0o002 != 0 {
        let reason = "every user of this machine may write it, and so decide where tokens go";
        reader.warn(&source.place(), reason, "take the right away: chmod o-w FILE");
    }
}

/// Lays each bank over its profile, and names those where that could not be done.
fn lay_profiles(tree: &mut Node, reader: &mut Reader<'_>) -> HashSet<String> {
    let mut without = HashSet::new();
    let Value::Table(entries) = &mut tree.value else { return without };
    let banks = entries.iter_mut().find(|entry| entry.name == "banks");
    let Some(Value::Table(banks)) = banks.map(|entry| &mut entry.node.value) else { return without };
    let laid = std::mem::take(banks).into_iter().map(|Entry { name, node }| {
        let node = lay_over_profile(node, reader).unwrap_or_else(|node| {
            without.insert(name.clone());
            node
        });
        Entry { name, node }
    });
    *banks = laid.collect();
    without
}

/// The JSON Schema (2020-12) of a configuration file.
pub fn schema() -> Json {
    let mut definitions = Map::new();
    RawConfig::schema(&mut definitions);
    let root = definitions.remove("Config").unwrap_or_default();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bankside",
        "$defs": definitions,
    });
    if let (Some(schema), Json::Object(root)) = (schema.as_object_mut(), root) {
        schema.extend(root);
    }
    schema
}
