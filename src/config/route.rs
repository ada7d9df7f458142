//! Routes: which requests may pass, and with which grant.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::words::GrantName;

use super::url::is_path;
use super::{Invalid, Place};

/// Patterns are looked up segment within segment, so there is a bound to how deep that goes.
const MOST_SEGMENTS: usize = 256;

/// A `[[routes]]` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it stands.
    pub place: Place,
    /// Which paths it is for.
    pub path: PathPattern,
    /// Which methods it is for; `None` for all.
    pub methods: Option<Vec<Method>>,
    /// What happens.
    pub action: RouteAction,
}

/// What happens to a request that a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAction {
    /// It is refused.
    Deny,
    /// It passes.
    Allow {
        /// The grant whose token it gets, whatever `Bankside-Grant` says.
        grant: Option<GrantName>,
        /// A response timeout of its own.
        timeout: Option<Duration>,
        /// Whether it may be sent once more although it may have arrived: an operator's word.
        replay: bool,
    },
}

/// A path with wildcards: `*` is one segment, `**` at the end is the rest.
///
/// `/x/**` matches `/x/` and all below, not `/x`. Segments are compared byte for byte, as they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// The pattern as written: what logs call the route.
    pub text: Arc<str>,
    /// The segments between slashes, without a closing `**`: `/` is one that is empty.
    pub segments: Vec<Segment>,
    /// Whether `**` ends it.
    pub rest: bool,
}

/// A segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// These bytes.
    Literal(String),
    /// Any one segment that is not empty.
    Any,
}

impl Route {
    /// Whether a route that stands before another one leaves nothing to it of what it is written for.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let covers_methods = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => others.iter().all(|method| own.contains(method)),
        };
        covers_methods && self.path.covers(&other.path)
    }
}

impl PathPattern {
    /// Whether every path that `other` matches matches this one, too.
    fn covers(&self, other: &Self) -> bool {
        let covers_length = match (self.rest, other.rest) {
            (true, true) => self.segments.len() <= other.segments.len(),
            (true, false) => self.segments.len() < other.segments.len(),
            (false, true) => false,
            (false, false) => self.segments.len() == other.segments.len(),
        };
        covers_length && self.segments.iter().zip(&other.segments).all(|(own, other)| own.covers(other))
    }
}

impl Segment {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Literal(bytes)) => !bytes.is_empty(),
            (own, other) => own == other,
        }
    }
}

/// What could be read in two ways is refused: empty segments but for the last, dot segments, `*` beside other characters.
impl FromStr for PathPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let remedy = "write a path such as \"/accounts/*/balance\" or \"/accounts/**\"";
        let Some(inner) = text.strip_prefix('/') else {
            return Err(Invalid::new("a path starts with a slash", remedy));
        };
        if !is_path(text) {
            return Err(Invalid::new("has characters that no path has (a query does not belong here)", remedy));
        }
        let mut parts: Vec<_> = inner.split('/').collect();
        let rest = parts.pop_if(|last| *last == "**").is_some();
        if parts.len() > MOST_SEGMENTS {
            return Err(Invalid::new("has more segments than any path of a bank", "write the beginning, and `**`"));
        }
        let last = parts.len().saturating_sub(1);
        let segment = |(index, part): (usize, &str)| match part {
            "*" => Ok(Segment::Any),
            "" if rest || index != last => Err(Invalid::new("has an empty segment", "write single slashes")),
            "." | ".." => Err(Invalid::new("has a dot segment", "write the path without `.` and `..`")),
            part if part.contains('*') => Err(Invalid::new("`*` is a whole segment, and `**` the last one", remedy)),
            part => Ok(Segment::Literal(part.to_owned())),
        };
        let segments = parts.into_iter().enumerate().map(segment).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), segments, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Segment {
        Segment::Literal(text.to_owned())
    }

    #[test]
    fn a_pattern_is_read_segment_by_segment() {
        for (text, segments, rest) in [
            ("/", vec![literal("")], false),
            ("/**", vec![], true),
            ("/a/*/b%2Fc", vec![literal("a"), Segment::Any, literal("b%2Fc")], false),
            ("/a/", vec![literal("a"), literal("")], false),
            ("/a/**", vec![literal("a")], true),
            ("/*/**", vec![Segment::Any], true),
        ] {
            let pattern: PathPattern = text.parse().expect("a pattern");
            assert_eq!((pattern.segments, pattern.rest), (segments, rest), "{text}");
        }
    }

    #[test]
    fn a_pattern_covers_another_if_it_matches_all_that_the_other_does() {
        for (one, other, covers) in [
            ("/**", "/a/b", true),
            ("/**", "/", true),
            ("/**", "/**", true),
            ("/a/**", "/a/b/**", true),
            ("/a/**", "/a/", true),
            ("/a/**", "/a", false),
            ("/a/b/**", "/a/**", false),
            ("/a/**", "/b/c", false),
            ("/*/b", "/a/b", true),
            ("/*/b", "/*/b", true),
            ("/a/b", "/*/b", false),
            ("/*", "/", false),
            ("/*", "/a/", false),
            ("/*", "/**", false),
        ] {
            let [first, second] = [one, other].map(|text| text.parse::<PathPattern>().expect("a pattern"));
            assert_eq!(first.covers(&second), covers, "{one} {other}");
        }
    }

    #[test]
    fn a_pattern_that_could_be_misread_is_refused() {
        for bad in [
            "", "a", "//", "/a//b", "/a//**", "/**/a", "/a*", "/***", "/a/../b", "/./a", "/a?b", "/a#b", "/a b",
            "/%zz", "/ä",
        ] {
            assert!(bad.parse::<PathPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_is_no_deeper_than_can_be_looked_up() {
        assert!("/a".repeat(MOST_SEGMENTS).parse::<PathPattern>().is_ok());
        assert!("/a".repeat(MOST_SEGMENTS + 1).parse::<PathPattern>().is_err());
    }
}
