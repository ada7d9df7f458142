//! Which requests may pass, with which grant: the first route that matches wins.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::config::Bank;
use crate::config::route::{PathPattern, Route, RouteAction, Segment};
use crate::message::Fields;
use crate::words::GrantName;

use super::{overrides, path};

/// A bank's routes.
#[derive(Clone, Debug)]
pub struct Routes {
    bank: Arc<Bank>,
    /// Whether any of them is for certain methods only.
    depend_on_method: bool,
}

/// What a request that may pass is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passage<'a> {
    /// The route's grant, which `Bankside-Grant` cannot override.
    pub(super) grant: Option<&'a GrantName>,
    /// The route's response timeout.
    pub(super) timeout: Option<Duration>,
    /// Whether the operator allows sending it once more although it may have arrived.
    pub(super) replay: bool,
}

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RouteRefusal {
    #[error("no route matches this method and path")]
    NoMatch,
    #[error("a route denies this method and path")]
    Denied,
    #[error("the path can be read in more than one way, and routes depend on it")]
    Ambiguous,
    #[error("the request names another method or path beside its own, and routes depend on it")]
    Overridden,
}

impl Routes {
    /// The routes of this bank.
    pub fn new(bank: Arc<Bank>) -> Self {
        let depend_on_method = bank.routes.iter().any(|route| route.methods.is_some());
        Self { bank, depend_on_method }
    }

    /// Refuses what the bank could take for a request with another method or path than the routes look at.
    pub(super) fn check_overrides(&self, fields: &Fields, path_and_query: &[u8]) -> Result<(), RouteRefusal> {
        let is_overridden = !self.bank.routes.is_empty()
            && (overrides::of_path(fields) || (self.depend_on_method && overrides::of_method(fields, path_and_query)));
        if is_overridden { Err(RouteRefusal::Overridden) } else { Ok(()) }
    }

    /// The route that decides on a request with this method and path (without query); `None` where the bank has no routes.
    pub(super) fn find(&self, method: &Method, path: &[u8]) -> Result<Option<&Route>, RouteRefusal> {
        if self.bank.routes.is_empty() {
            return Ok(None);
        }
        let mut routes = self.bank.routes.iter().filter(|route| is_for_method(route, method));
        if path::is_ambiguous(path) {
            // Whatever the bank takes the path for, a first route that is for all paths decides.
            return routes
                .next()
                .filter(|route| is_for_all_paths(route, path))
                .map(Some)
                .ok_or(RouteRefusal::Ambiguous);
        }
        routes.find(|route| is_for_path(route, path)).map(Some).ok_or(RouteRefusal::NoMatch)
    }
}

impl<'a> Passage<'a> {
    /// What the route that decides gives, if it lets the request pass.
    pub(super) fn through(route: Option<&'a Route>) -> Result<Self, RouteRefusal> {
        match route.map(|route| &route.action) {
            None => Ok(Self::default()),
            Some(RouteAction::Deny) => Err(RouteRefusal::Denied),
            Some(RouteAction::Allow { grant, timeout, replay }) => {
                Ok(Self { grant: grant.as_ref(), timeout: *timeout, replay: *replay })
            }
        }
    }
}

fn is_denial(route: &Route) -> bool {
    matches!(route.action, RouteAction::Deny)
}

fn is_for_method(route: &Route, method: &Method) -> bool {
    let is_method = |own: &Method| own == method || (is_denial(route) && same_word(own, method));
    route.methods.as_ref().is_none_or(|methods| methods.iter().any(is_method))
}

fn is_for_path(route: &Route, path: &[u8]) -> bool {
    if is_denial(route) { denial_matches(&route.path, path) } else { pattern_matches(&route.path, path, same) }
}

/// Whether it is `/**`. What is no path at all, such as `*`, is not meant.
fn is_for_all_paths(route: &Route, path: &[u8]) -> bool {
    route.path.rest && route.path.segments.is_empty() && path.starts_with(b"/")
}

/// Methods mind case (RFC 9110, section 9.1), but the bank may not.
fn same_word(one: &Method, other: &Method) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

/// A denial holds for whatever the bank may take for the same path: other cases of the letters, characters that are
/// escaped without need, a slash at the end.
fn denial_matches(pattern: &PathPattern, path: &[u8]) -> bool {
    let without_slash = path.strip_suffix(b"/").unwrap_or(path);
    pattern_matches(pattern, path, path::may_be_same) || pattern_matches(pattern, without_slash, path::may_be_same)
}

fn same(one: &[u8], other: &[u8]) -> bool {
    one == other
}

fn pattern_matches(pattern: &PathPattern, path: &[u8], same: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let mut segments = path.strip_prefix(b"/").unwrap_or(path).split(|&byte| byte == b'/');
    for wanted in &pattern.segments {
        let matches = segments.next().is_some_and(|segment| match wanted {
            Segment::Literal(text) => same(segment, text.as_bytes()),
            Segment::Any => !segment.is_empty(),
        });
        if !matches {
            return false;
        }
    }
    // `/x/**` wants the slash behind `x`, so at least one more segment, be it empty.
    segments.next().is_some() == pattern.rest || (pattern.rest && pattern.segments.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `/a/*/**` as the configuration makes it.
    fn pattern(text: &str) -> PathPattern {
        let mut segments: Vec<&str> = text[1..].split('/').collect();
        let rest = segments.last() == Some(&"**");
        if rest {
            segments.pop();
        }
        let segment = |text: &&str| if *text == "*" { Segment::Any } else { Segment::Literal((*text).to_owned()) };
        PathPattern { text: text.into(), segments: segments.iter().map(segment).collect(), rest }
    }

    fn allows(text: &str, path: &str) -> bool {
        pattern_matches(&pattern(text), path.as_bytes(), same)
    }

    #[test]
    fn literals_match_themselves_and_their_case() {
        assert!(allows("/v1/accounts", "/v1/accounts"));
        for other in ["/v1/account", "/v1/Accounts", "/v1/accounts/", "/v1", "/v1/accounts/1", "/"] {
            assert!(!allows("/v1/accounts", other), "{other}");
        }
    }

    #[test]
    fn a_star_is_one_segment_and_not_an_empty_one() {
        assert!(allows("/v1/*/x", "/v1/a/x"));
        for other in ["/v1//x", "/v1/x", "/v1/a/b/x", "/v1/a/x/"] {
            assert!(!allows("/v1/*/x", other), "{other}");
        }
    }

    #[test]
    fn two_stars_are_the_rest_behind_the_slash() {
        for path in ["/x/", "/x/a", "/x/a/b/"] {
            assert!(allows("/x/**", path), "{path}");
        }
        assert!(!allows("/x/**", "/x"));
        assert!(!allows("/x/**", "/xy/a"));
        assert!(allows("/**", "/") && allows("/**", "/a/b"));
    }

    #[test]
    fn a_denial_cannot_be_slipped_by_case_or_escapes_or_what_stands_at_the_end() {
        for path in [
            "/v1/payments",
            "/V1/Payments",
            "/v1/payments/",
            "/v1/payments.",
            "/v1/payments%20",
            "/v1/payment%C5%BF",
            "/v1/payment%c5%bf/",
        ] {
            assert!(denial_matches(&pattern("/v1/payments"), path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn a_denial_holds_for_escapes_of_what_its_pattern_spells() {
        for path in ["/a:b@c", "/a%3Ab@c", "/a%3ab%40c", "/A%3AB%40C"] {
            assert!(denial_matches(&pattern("/a:b@c"), path.as_bytes()), "{path}");
            assert!(denial_matches(&pattern("/a%3Ab@c"), path.as_bytes()), "{path}");
        }
        assert!(!denial_matches(&pattern("/a:b@c"), b"/a%3Bb@c"));
    }

    #[test]
    fn a_denial_holds_for_its_methods_in_any_case_and_an_allowance_does_not() {
        let file = Arc::new(std::path::PathBuf::from("bankside.toml"));
        let place = crate::config::Place { file, line: 1, key: "routes".into() };
        let of =
            |action| Route { place: place.clone(), path: pattern("/x"), methods: Some(vec![Method::POST]), action };
        let post = Method::from_bytes(b"pOsT").expect("a method");
        assert!(is_for_method(&of(RouteAction::Deny), &post));
        assert!(!is_for_method(&of(RouteAction::Deny), &Method::GET));
        let allow = RouteAction::Allow { grant: None, timeout: None, replay: false };
        assert!(!is_for_method(&of(allow), &post));
    }

    proptest! {
        /// What an allowing route takes, a denial with the same pattern takes too: no rule order can open a gap.
        #[test]
        fn a_denial_takes_whatever_an_allowance_takes(path in "(/[a-zA-Z.%2f]{0,3}){1,4}") {
            for text in ["/a/*", "/**", "/a/b", "/*/**", "/A"] {
                prop_assert!(!allows(text, &path) || denial_matches(&pattern(text), path.as_bytes()));
            }
        }
    }
}
