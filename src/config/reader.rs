//! The walk over a file's tree: it gathers values and notes every problem, instead of ending at the first.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::interpolate::interpolate;
use super::tree::{Node, Value};
use super::{BankConnection, Environment, Invalid, Place, Problem, Severity};

/// A value that a configuration may hold.
pub(super) trait Read: Sized {
    /// Reads it. `None` where that cannot be: then at least one problem was noted.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;

    /// Its JSON Schema. Tables are defined once, and referred to.
    fn schema(definitions: &mut Map<String, Json>) -> Json;
}

/// A value and the place where it stands, or where it would stand if it is a default.
pub(super) struct Located<T> {
    pub(super) place: Place,
    pub(super) value: T,
}

/// What a key without a default holds.
pub(super) enum Field<T> {
    /// The key is not there.
    Absent,
    /// It is, and its problems are noted: nothing that follows from its lack is to be noted again.
    Bad,
    /// A value.
    Given(Located<T>),
}

impl<T> Field<T> {
    /// The value and its place.
    pub(super) fn located(&self) -> Option<&Located<T>> {
        match self {
            Self::Given(located) => Some(located),
            Self::Absent | Self::Bad => None,
        }
    }

    /// The value.
    pub(super) fn get(&self) -> Option<&T> {
        self.located().map(|located| &located.value)
    }

    /// The value, taken out.
    pub(super) fn take(self) -> Option<T> {
        match self {
            Self::Given(located) => Some(located.value),
            Self::Absent | Self::Bad => None,
        }
    }

    /// Whether the key is not there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// What is passed along while a configuration is read.
pub(super) struct Reader<'e> {
    /// Where variables are looked up.
    pub(super) environment: &'e dyn Environment,
    /// What is wrong, or worth knowing, so far.
    pub(super) problems: Vec<Problem>,
    /// The files that were read so far.
    pub(super) files: BTreeSet<PathBuf>,
    /// What was valid of how banks are connected to.
    pub(super) connections: Vec<BankConnection>,
}

impl<'e> Reader<'e> {
    /// A reader that has read nothing.
    pub(super) fn new(environment: &'e dyn Environment) -> Self {
        Self { environment, problems: Vec::new(), files: BTreeSet::new(), connections: Vec::new() }
    }

    /// Notes what must be put right.
    pub(super) fn error(&mut self, place: &Place, reason: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::error(place, reason, remedy));
    }

    /// Notes what somebody should know.
    pub(super) fn warn(&mut self, place: &Place, reason: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::warning(place, reason, remedy));
    }

    /// Notes that a value breaks its rule.
    pub(super) fn invalid(&mut self, place: &Place, why: &Invalid) {
        self.error(place, &*why.reason, &*why.remedy);
    }

    /// Notes a key whose behaviour this build leaves out.
    pub(super) fn left_out(&mut self, place: &Place, what: &str, remedy: &str) {
        self.error(place, format!("{what}: this build leaves it out"), remedy);
    }

    /// Notes a value of the wrong type, without showing it.
    pub(super) fn wrong_type(&mut self, node: &Node, expected: &str, remedy: &str) {
        self.error(&node.place, format!("{expected} is expected here, not {}", node.kind()), remedy);
    }

    /// A required value; its lack is noted at the table that should have it.
    pub(super) fn need<T>(&mut self, field: Field<T>, table: &Place, key: &str, remedy: &str) -> Option<T> {
        if field.is_absent() {
            self.error(&table.below(key), "is missing", remedy);
        }
        field.take()
    }

    /// Whether an error was noted.
    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// A string, with its variables replaced.
    pub(super) fn text(&mut self, node: &Node) -> Option<Zeroizing<String>> {
        let Value::Text(text) = &node.value else {
            self.wrong_type(node, "a string", "write it in double quotes");
            return None;
        };
        match interpolate(text, self.environment) {
            Ok(text) => Some(text),
            Err(why) => {
                self.invalid(&node.place, &why);
                None
            }
        }
    }

    /// As [`text`](Self::text), before the value's own turn: its problems, if it has any, are noted then.
    pub(super) fn glance(&mut self, node: &Node) -> Option<Zeroizing<String>> {
        let noted = self.problems.len();
        let text = self.text(node);
        self.problems.truncate(noted);
        text
    }

    /// A value that is written as a string.
    pub(super) fn parse<T: std::str::FromStr<Err = Invalid>>(&mut self, node: &Node) -> Option<T> {
        let text = self.text(node)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(why) => {
                self.invalid(&node.place, &why);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(node)?;
        let found = choices.iter().find(|(name, _)| *name == text.as_str());
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            let remedy = match nearest(&text, names.iter().copied()) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => "choose one of them".to_owned(),
            };
            self.error(&node.place, format!("none of: {}", names.join(", ")), remedy);
        }
        found.map(|(_, value)| *value)
    }
}

/// The name that was probably meant.
pub(super) fn nearest<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|name| (strsim::normalized_damerau_levenshtein(text, name), name))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}
