//! Which requests may pass, with which grant: the first route that matches wins.

mod tree;

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::config::Bank;
use crate::config::route::{Route, RouteAction};
use crate::message::Fields;
use crate::words::GrantName;

use super::{overrides, path};
use tree::{Tree, earlier};

/// A bank's routes.
#[derive(Clone, Debug)]
pub struct Routes {
    bank: Arc<Bank>,
    /// Those that let requests pass: for their paths byte for byte.
    allowances: Tree,
    /// Those that refuse them: for whatever the bank may take for the same path.
    denials: Tree,
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
        let (mut allowances, mut denials) = (Tree::new(|segment| segment.into()), Tree::new(path::folded));
        for (number, route) in bank.routes.iter().enumerate() {
            let tree = if is_denial(route) { &mut denials } else { &mut allowances };
            tree.add(&route.path, number);
        }
        Self { bank, allowances, denials, depend_on_method }
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
        if path::is_ambiguous(path) {
            // Whatever the bank takes the path for, a first route that is for all paths decides.
            let first = self.bank.routes.iter().find(|route| is_for_method(route, method));
            return first.filter(|route| is_for_all_paths(route, path)).map(Some).ok_or(RouteRefusal::Ambiguous);
        }
        self.first(method, path).map(Some).ok_or(RouteRefusal::NoMatch)
    }

    /// The first route for this method and path. A denial holds with a slash at the end and without.
    fn first(&self, method: &Method, path: &[u8]) -> Option<&Route> {
        let is_wanted = |number: usize| is_for_method(&self.bank.routes[number], method);
        let without_slash = path.strip_suffix(b"/").unwrap_or(path);
        let denial = earlier(self.denials.first(path, &is_wanted), self.denials.first(without_slash, &is_wanted));
        earlier(self.allowances.first(path, &is_wanted), denial).map(|number| &self.bank.routes[number])
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

/// Whether it is `/**`. What is no path at all, such as `*`, is not meant.
fn is_for_all_paths(route: &Route, path: &[u8]) -> bool {
    route.path.rest && route.path.segments.is_empty() && path.starts_with(b"/")
}

/// Methods mind case (RFC 9110, section 9.1), but the bank may not.
fn same_word(one: &Method, other: &Method) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

#[cfg(test)]
mod tests;
