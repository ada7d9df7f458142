//! Patterns as a tree of their segments: a path is looked up, so that many routes cost no more than a few.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::config::route::{PathPattern, Segment};

/// What of a segment is compared: segments with the same key are the same.
type Key = fn(&[u8]) -> Cow<'_, [u8]>;

/// Routes by their patterns.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    key: Key,
    /// Nothing where there are no routes.
    root: Option<Place>,
}

/// Where patterns that begin alike have come to after some segments. Routes are numbers, in order.
#[derive(Clone, Debug, Default)]
struct Place {
    literals: BTreeMap<Box<[u8]>, Place>,
    any: Option<Box<Place>>,
    /// Those whose pattern ends here.
    ends: Vec<usize>,
    /// Those whose pattern ends here with `**`.
    rests: Vec<usize>,
}

impl Tree {
    /// No routes yet.
    pub(super) fn new(key: Key) -> Self {
        Self { key, root: None }
    }

    /// Adds a route, whose number is above all that were added before.
    pub(super) fn add(&mut self, pattern: &PathPattern, route: usize) {
        let key = self.key;
        let place = pattern.segments.iter().fold(self.root.get_or_insert_default(), |place, segment| match segment {
            Segment::Literal(text) => place.literals.entry(key(text.as_bytes()).into()).or_default(),
            Segment::Any => place.any.get_or_insert_default(),
        });
        if pattern.rest { place.rests.push(route) } else { place.ends.push(route) }
    }

    /// The first route, of those that are wanted, whose pattern matches this path.
    pub(super) fn first(&self, path: &[u8], is_wanted: &impl Fn(usize) -> bool) -> Option<usize> {
        self.root.as_ref()?.first(Some(path.strip_prefix(b"/").unwrap_or(path)), self.key, is_wanted)
    }
}

impl Place {
    /// The first from here on. A path of `None` has come to its end; an empty one has an empty segment to come, which
    /// `/x/**` takes for its rest: it wants the slash behind `x`.
    fn first(&self, path: Option<&[u8]>, key: Key, is_wanted: &impl Fn(usize) -> bool) -> Option<usize> {
        let first_of = |routes: &[usize]| routes.iter().copied().find(|route| is_wanted(*route));
        let Some(path) = path else { return first_of(&self.ends) };
        let (segment, behind) = match path.iter().position(|&byte| byte == b'/') {
            Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
            None => (path, None),
        };
        let literal = if self.literals.is_empty() { None } else { self.literals.get(&*key(segment)) };
        let any = self.any.as_deref().filter(|_| !segment.is_empty());
        let literal = literal.and_then(|place| place.first(behind, key, is_wanted));
        let any = any.and_then(|place| place.first(behind, key, is_wanted));
        earlier(first_of(&self.rests), earlier(literal, any))
    }
}

/// The one of two routes that comes first.
pub(super) fn earlier(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
