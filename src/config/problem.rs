//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place in a configuration: a key in a line of a file (or of a built-in profile, named `profile:NAME`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file.
    pub file: Arc<PathBuf>,
    /// The line, from 1.
    pub line: usize,
    /// The key with its tables, dotted: `banks.NAME.oauth.token_url`.
    pub key: Arc<str>,
}

impl Place {
    /// The place of a key of the table at this place, in the same line. Odd keys are quoted, as TOML does.
    #[must_use]
    pub fn child(&self, key: &str) -> Self {
        let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        self.below(&key)
    }

    /// As [`Self::child`], for a key with its tables, dotted and quoted already.
    pub(super) fn below(&self, path: &str) -> Self {
        let key = if self.key.is_empty() { path.to_owned() } else { format!("{}.{path}", self.key) };
        Self { key: key.into(), ..self.clone() }
    }
}

/// Whether the program can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but somebody should know.
    Warning,
}

/// One thing that is wrong. It never holds a secret's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the program can go on.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What is wrong, without a full stop.
    pub reason: String,
    /// What to do about it, without a full stop.
    pub remedy: String,
}

impl Problem {
    /// Something that must be put right.
    pub fn error(place: &Place, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place: place.clone(), reason: reason.into(), remedy: remedy.into() }
    }

    /// Something that somebody should know.
    pub fn warning(place: &Place, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, place: place.clone(), reason: reason.into(), remedy: remedy.into() }
    }
}

/// `file:LINE`, as `check` names a place.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// `file:LINE: key: reason; remedy`, in one line; without a key where the problem is the file's.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.place.key.is_empty() {
            write!(f, "{}: ", self.place.key)?;
        }
        write!(f, "{}; {}", self.reason, self.remedy)
    }
}

/// All that is wrong with a configuration, in the order of files and lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// The configuration's own problems first, by line; each once.
    pub fn in_order(mut problems: Vec<Problem>, configuration: &Path) -> Self {
        problems.sort_by_cached_key(|one| {
            let Place { file, line, key } = &one.place;
            (file.as_path() != configuration, Arc::clone(file), *line, Arc::clone(key))
        });
        Self::each_once(problems)
    }

    /// In the order in which they came: banks that share what has a problem share the problem, and it is told once.
    pub fn each_once(problems: Vec<Problem>) -> Self {
        let mut once: Vec<Problem> = Vec::new();
        for problem in problems {
            if !once.contains(&problem) {
                once.push(problem);
            }
        }
        Self(once)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
