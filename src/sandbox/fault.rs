//! Faults that a bank can be told to have: which requests, for how long, and what goes wrong.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::words::Timestamp;

/// What an endpoint is for: what faults aim at and counters are kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// The step before the authorization.
    Session,
    /// The authorization endpoint, where the customer's browser goes.
    Authorize,
    /// The token endpoint.
    Token,
    /// The registration of applications.
    Registration,
    /// The bank's API.
    Api,
    /// What is there for tests only.
    Test,
}

/// Which requests a fault is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// All of them.
    Any,
    /// Those to an endpoint.
    Endpoint(Endpoint),
    /// Those whose path starts so.
    Path(String),
}

impl Target {
    /// The token endpoint: the commonest target.
    pub const TOKEN: Self = Self::Endpoint(Endpoint::Token);
    /// The API.
    pub const API: Self = Self::Endpoint(Endpoint::Api);

    fn holds(&self, endpoint: Endpoint, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Endpoint(wanted) => *wanted == endpoint,
            Self::Path(start) => path.starts_with(start.as_str()),
        }
    }
}

/// What goes wrong. "Handled" means that the request has its full effect at the bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// This is answered; the request is not handled.
    Answer {
        /// The status.
        status: u16,
        /// More field lines.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body.
        #[serde(default)]
        body: String,
    },
    /// It waits so many milliseconds before it is handled.
    Delay(u64),
    /// It is handled; the answer waits so many milliseconds.
    DelayAnswer(u64),
    /// It is neither handled nor answered; the connection stays open.
    Hang,
    /// It is handled and never answered; the connection stays open.
    HangHandled,
    /// The connection closes; it is not handled.
    Cut,
    /// It is handled; the connection closes without an answer.
    CutHandled,
    /// It is handled; the connection closes after the answer's head.
    CutAfterHead,
    /// It is handled; the connection closes after half of the answer's body.
    CutMidBody,
}

impl Fault {
    /// A status with a short JSON body.
    pub fn status(status: u16) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self::Answer { status, headers, body: r#"{"error":"temporarily_unavailable"}"#.to_owned() }
    }

    /// 429 with `Retry-After` in seconds.
    pub fn too_many(retry_after: u32) -> Self {
        let headers = vec![("retry-after".to_owned(), retry_after.to_string())];
        Self::Answer { status: 429, headers, body: String::new() }
    }

    /// 200 with JSON that breaks off.
    pub fn garbage() -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self::Answer { status: 200, headers, body: r#"{"access_token":"eyJ0"#.to_owned() }
    }

    /// A page for people where a machine asked.
    pub fn html(status: u16) -> Self {
        let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
        let body = "<!doctype html><title>Maintenance</title><h1>We will be back soon</h1>".to_owned();
        Self::Answer { status, headers, body }
    }
}

/// A fault, and when it strikes. The first of several that fits a request strikes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Which requests.
    pub target: Target,
    /// What goes wrong.
    pub fault: Fault,
    /// How many requests pass before it strikes.
    #[serde(default)]
    pub skip: u32,
    /// How often it strikes; `None` for ever.
    #[serde(default)]
    pub times: Option<u32>,
    /// How many milliseconds it lasts from when it is planned; `None` for ever.
    #[serde(default)]
    pub lasts: Option<u64>,
}

impl Plan {
    /// Strikes until faults are cleared.
    pub fn always(target: Target, fault: Fault) -> Self {
        Self { target, fault, skip: 0, times: None, lasts: None }
    }

    /// Strikes the next `times` requests.
    pub fn next(times: u32, target: Target, fault: Fault) -> Self {
        Self { times: Some(times), ..Self::always(target, fault) }
    }

    /// Strikes for `time`.
    pub fn lasting(time: Duration, target: Target, fault: Fault) -> Self {
        Self { lasts: Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)), ..Self::always(target, fault) }
    }

    /// Lets the first `skip` requests pass.
    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }
}

/// The faults that are planned, in the order of planning.
#[derive(Default)]
pub(super) struct Plans(Vec<(Plan, Timestamp)>);

impl Plans {
    pub(super) fn add(&mut self, plan: Plan, now: Timestamp) {
        let end = plan.lasts.map_or(Timestamp::from_millis(i64::MAX), |lasts| now.plus(Duration::from_millis(lasts)));
        self.0.push((plan, end));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that strikes this request, if one does.
    pub(super) fn strike(&mut self, endpoint: Endpoint, path: &str, now: Timestamp) -> Option<Fault> {
        self.0.retain(|(plan, end)| now < *end && plan.times != Some(0));
        for (plan, _) in self.0.iter_mut().filter(|(plan, _)| plan.target.holds(endpoint, path)) {
            if plan.skip > 0 {
                plan.skip -= 1;
                continue;
            }
            plan.times = plan.times.map(|times| times - 1);
            return Some(plan.fault.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    #[test]
    fn a_fault_strikes_its_target_as_often_as_planned_after_those_that_it_skips() {
        let mut plans = Plans::default();
        plans.add(Plan::next(2, Target::TOKEN, Fault::Hang).after(1), NOW);
        let mut strike = |endpoint| plans.strike(endpoint, "/x", NOW).is_some();
        assert!(!strike(Endpoint::Api));
        let seen: Vec<_> = (0..4).map(|_| strike(Endpoint::Token)).collect();
        assert_eq!(seen, [false, true, true, false]);
    }

    #[test]
    fn a_fault_ends_when_its_time_is_over() {
        let mut plans = Plans::default();
        plans.add(Plan::lasting(Duration::from_secs(5), Target::Path("/v1/".into()), Fault::status(500)), NOW);
        assert!(plans.strike(Endpoint::Api, "/v1/accounts", NOW.plus(Duration::from_millis(4_999))).is_some());
        assert!(plans.strike(Endpoint::Api, "/v2/accounts", NOW).is_none());
        assert!(plans.strike(Endpoint::Api, "/v1/accounts", NOW.plus(Duration::from_secs(5))).is_none());
    }
}
