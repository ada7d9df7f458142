//! Metrics in the Prometheus text format. Label values are banks, status classes and kinds of problems: never a grant.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::words::{BankName, Kind};

/// Label names and values.
type Labels = Vec<(&'static str, String)>;

/// All metrics of the program. Clones are the same metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<Labels, Counter>,
    problems: Family<Labels, Counter>,
    in_flight: Family<Labels, Gauge>,
    reloads: [Counter; 2],
}

/// One bank's metrics, found once so that a request only counts. Clones count together.
#[derive(Clone, Debug)]
pub struct BankMetrics {
    classes: [Counter; CLASSES.len()],
    problems: [Counter; Kind::ALL.len()],
    /// Requests between their head and the end of their answer.
    pub in_flight: Gauge,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("bankside");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", version);
        let requests = Family::default();
        registry.register("requests", "Requests that were answered, by bank and class of status", requests.clone());
        let problems = Family::default();
        registry.register("problems", "Requests that the sidecar refused or failed itself, by kind", problems.clone());
        let in_flight = Family::default();
        registry.register("requests_in_flight", "Requests under way, to the end of the answer", in_flight.clone());
        let reloads = Family::<Labels, Counter>::default();
        registry.register("reloads", "Reloads of the configuration and its files", reloads.clone());
        let reloads =
            ["ok", "failed"].map(|outcome| reloads.get_or_create_owned(&vec![("outcome", outcome.to_owned())]));
        Self { registry: Arc::new(Mutex::new(registry)), requests, problems, in_flight, reloads }
    }
}

impl Metrics {
    /// The metrics of this bank.
    pub fn bank(&self, bank: &BankName) -> BankMetrics {
        let labels = |name, value: &str| vec![("bank", bank.to_string()), (name, value.to_owned())];
        BankMetrics {
            classes: CLASSES.map(|class| self.requests.get_or_create_owned(&labels("status", class))),
            problems: Kind::ALL.map(|kind| self.problems.get_or_create_owned(&labels("kind", kind.name()))),
            in_flight: self.in_flight.get_or_create_owned(&vec![("bank", bank.to_string())]),
        }
    }

    /// Counts a reload.
    pub fn reloaded(&self, worked: bool) {
        self.reloads[usize::from(!worked)].inc();
    }

    /// All of them in the text format of `OpenMetrics`.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl BankMetrics {
    /// Counts an answer, and the problem if it was one of ours.
    pub fn answered(&self, status: StatusCode, problem: Option<Kind>) {
        if let Some(class) = self.classes.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            class.inc();
        }
        let kind = problem.and_then(|problem| Kind::ALL.iter().position(|kind| *kind == problem));
        if let Some(counter) = kind.and_then(|kind| self.problems.get(kind)) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_problems_are_counted_by_bank() {
        let metrics = Metrics::default();
        let bank = metrics.bank(&"examplebank".parse().expect("a name"));
        bank.answered(StatusCode::OK, None);
        bank.answered(StatusCode::BAD_GATEWAY, Some(Kind::BankTls));
        let text = metrics.encode().expect("encodes");
        for line in [
            r#"bankside_requests_total{bank="examplebank",status="2xx"} 1"#,
            r#"bankside_requests_total{bank="examplebank",status="5xx"} 1"#,
            r#"bankside_problems_total{bank="examplebank",kind="bank-tls"} 1"#,
            r#"bankside_problems_total{bank="examplebank",kind="overloaded"} 0"#,
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
