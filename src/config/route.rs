//! Routes: which requests may pass, and with which grant.

use std::time::Duration;

use http::Method;

use crate::words::GrantName;

use super::Place;

/// A `[[routes]]` entry.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
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
    pub text: String,
    /// The segments between slashes.
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
