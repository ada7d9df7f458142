//! Profiles: bank tables with blanks, built in or in files of one's own, over which a bank's table is laid.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::field_rules::give_way;
use super::reader::{Reader, nearest};
use super::tree::{Node, Source, Value};

/// The built-in profiles, by name: `config/banks/*.toml`, listed by the build script.
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/profiles.rs"));

/// A profile may stand on another one; so many may stand on each other.
const DEEPEST: usize = 4;

/// The names of the built-in profiles.
pub fn profile_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// A built-in profile's text.
pub(super) fn built_in(name: &str) -> Option<&'static str> {
    BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Lays a bank's table over its profile. `Err` with the table as it is where the profile could not be read: that was
/// noted, and what is missing in the table says nothing.
pub(super) fn lay_over_profile(bank: Node, reader: &mut Reader<'_>) -> Result<Node, Node> {
    lay(bank, DEEPEST, reader)
}

fn lay(bank: Node, depth: usize, reader: &mut Reader<'_>) -> Result<Node, Node> {
    let Some(named) = bank.get("profile").filter(|node| matches!(node.value, Value::Text(_))) else {
        // Of a wrong type, it is noted when the table is read.
        return if bank.get("profile").is_none() { Ok(bank) } else { Err(bank) };
    };
    if depth == 0 {
        reader.error(&named.place, "too many profiles stand on each other", "leave `profile` out of this one");
        return Err(bank);
    }
    match open(named, reader) {
        None => Err(bank),
        Some(profile) => match lay(profile, depth - 1, reader) {
            Ok(profile) => Ok(over(bank, profile, reader)),
            Err(profile) => Err(over(bank, profile, reader)),
        },
    }
}

fn over(bank: Node, profile: Node, reader: &mut Reader<'_>) -> Node {
    let profile = give_way(profile, &bank, reader);
    bank.over(profile)
}

fn open(named: &Node, reader: &mut Reader<'_>) -> Option<Node> {
    let name = reader.glance(named)?;
    let is_path = name.contains('/') || Path::new(name.as_str()).extension().is_some_and(|end| end == "toml");
    if is_path {
        return from_file(named, named.source.resolve(&name), reader);
    }
    let Some(text) = built_in(&name) else {
        let remedy = match nearest(&name, profile_names()) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => "a path has a slash in it, or ends in .toml".to_owned(),
        };
        let known: Vec<_> = profile_names().collect();
        let reason = format!("no profile has this name; built in are: {}", known.join(", "));
        reader.error(&named.place, reason, remedy);
        return None;
    };
    let file = Arc::new(PathBuf::from(format!("profile:{}", name.as_str())));
    let source = Source { file, base: named.source.base.clone(), built_in: true };
    Arc::new(source).parse(text, &mut reader.problems)
}

fn from_file(named: &Node, path: PathBuf, reader: &mut Reader<'_>) -> Option<Node> {
    let content = reader.file(&named.place, path)?;
    let Ok(text) = std::str::from_utf8(&content.bytes) else {
        reader.error(&named.place, "the profile is not UTF-8", "save it as UTF-8");
        return None;
    };
    let base = content.path.parent().unwrap_or(Path::new("")).to_owned();
    let source = Source { file: Arc::new(content.path.clone()), base, built_in: false };
    Arc::new(source).parse(text, &mut reader.problems)
}
