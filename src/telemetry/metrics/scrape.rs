//! What a scrape shows: every family's name, help and type, and where its values come from.

use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::telemetry::log;
use crate::words::{BankName, Kind};

use super::bank::{CLASSES, LOGINS, count};
use super::connections::HANDSHAKES;
use super::histogram::Sum;
use super::renewal::RenewalOutcome;
use super::{BankMetrics, Towards};

/// How a bank stands, as far as it is known by looking only.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The bank.
    pub bank: BankName,
    /// Whether it can be used.
    pub ready: bool,
    /// How many grants are in each state; empty where the store does not tell.
    pub grants: Vec<(&'static str, u64)>,
    /// When the first consent is foretold to end, in seconds since the Unix epoch.
    pub consent_end: Option<i64>,
    /// When our certificate ends, in seconds since the Unix epoch.
    pub certificate_end: Option<i64>,
}

/// Everything that one scrape shows.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) banks: Vec<(BankName, BankMetrics)>,
    pub(super) standing: Vec<Standing>,
    pub(super) reloads: [u64; 2],
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.requests(encoder)?;
        self.connections(encoder)?;
        self.tokens(encoder)?;
        self.standing(encoder)?;
        self.program(encoder)
    }
}

impl Scrape {
    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family =
            counter(encoder, "requests", "Requests that were answered, by bank and class of status", None)?;
        self.each(|bank, metrics| {
            CLASSES.iter().enumerate().try_for_each(|(index, class)| {
                put_count(&mut family, &[("bank", bank), ("status", class)], metrics.class(index))
            })
        })?;
        let help = "Requests that the sidecar refused or failed itself, by kind";
        let mut family = counter(encoder, "problems", help, None)?;
        self.each(|bank, metrics| {
            Kind::ALL.iter().enumerate().try_for_each(|(index, kind)| {
                put_count(&mut family, &[("bank", bank), ("kind", kind.name())], metrics.problem(index))
            })
        })?;
        let help = "From a request's head to the end of its answer";
        let mut family = histogram(encoder, "request_duration", help)?;
        self.each(|bank, metrics| put_histogram(&mut family, bank, &metrics.whole()))?;
        let help = "The bank's share: from the sending to the head of its answer, connecting included";
        let mut family = histogram(encoder, "bank_duration", help)?;
        self.each(|bank, metrics| put_histogram(&mut family, bank, &metrics.bank_share()))?;
        let mut family = gauge(encoder, "requests_in_flight", "Requests under way, to the end of the answer", None)?;
        self.each(|bank, metrics| put_gauge(&mut family, &[("bank", bank)], metrics.in_flight()))?;
        let help = "Requests that wait for their turn, since as many as may be are under way";
        let mut family = gauge(encoder, "requests_queued", help, None)?;
        self.each(|bank, metrics| put_gauge(&mut family, &[("bank", bank)], metrics.waiting()))?;
        let mut family =
            counter(encoder, "request_body", "Content of requests that went to the bank", Some(&Unit::Bytes))?;
        self.each(|bank, metrics| put_count(&mut family, &[("bank", bank)], metrics.request_bytes()))?;
        let mut family =
            counter(encoder, "answer_body", "Content of answers that went to the app", Some(&Unit::Bytes))?;
        self.each(|bank, metrics| put_count(&mut family, &[("bank", bank)], metrics.answer_bytes()))
    }

    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = gauge(encoder, "app_connections", "Connections of apps", None)?;
        self.each(|bank, metrics| put_gauge(&mut family, &[("bank", bank)], metrics.apps()))?;
        let mut family = counter(encoder, "app_connections_accepted", "Connections of apps since the start", None)?;
        self.each(|bank, metrics| put_count(&mut family, &[("bank", bank)], metrics.accepted()))?;
        let mut family =
            gauge(encoder, "bank_connections", "Connections to the bank, those being made included", None)?;
        self.each(|bank, metrics| {
            Towards::ALL.iter().try_for_each(|towards| {
                let labels = [("bank", bank), ("endpoint", towards.name())];
                put_gauge(&mut family, &labels, count(&metrics.connections_towards(*towards).open))
            })
        })?;
        let help = "TLS handshakes with the bank; failed ones include connections that did not come to it";
        let mut family = counter(encoder, "handshakes", help, None)?;
        self.each(|bank, metrics| {
            Towards::ALL.iter().try_for_each(|towards| {
                let counts = &metrics.connections_towards(*towards).handshakes;
                HANDSHAKES.iter().zip(counts).try_for_each(|(outcome, count)| {
                    let labels = [("bank", bank), ("endpoint", towards.name()), ("outcome", outcome)];
                    put_count(&mut family, &labels, count.load(Ordering::Relaxed))
                })
            })
        })
    }

    fn tokens(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = counter(encoder, "renewals", "Renewals of tokens, by outcome", None)?;
        self.each(|bank, metrics| {
            RenewalOutcome::ALL.iter().zip(metrics.renewals()).try_for_each(|(outcome, count)| {
                put_count(&mut family, &[("bank", bank), ("outcome", outcome.name())], count)
            })
        })?;
        let help = "By how much this machine's clock is ahead of the bank's, as its token endpoint's last answer told";
        let mut family = gauge(encoder, "clock_ahead", help, Some(&Unit::Seconds))?;
        self.each(|bank, metrics| match metrics.clock_ahead() {
            Some(ahead) => family.encode_family(&[("bank", bank)])?.encode_gauge(&ahead),
            None => Ok(()),
        })?;
        let mut family = counter(encoder, "logins", "Logins that came back from the bank, by outcome", None)?;
        self.each(|bank, metrics| {
            LOGINS
                .iter()
                .zip(metrics.logins())
                .try_for_each(|(outcome, count)| put_count(&mut family, &[("bank", bank), ("outcome", outcome)], count))
        })
    }

    fn standing(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family =
            gauge(encoder, "bank_ready", "1 where the bank has a usable certificate and its grants", None)?;
        for standing in &self.standing {
            put_gauge(&mut family, &[("bank", standing.bank.as_str())], u64::from(standing.ready))?;
        }
        let mut family = gauge(encoder, "grants", "Grants by state", None)?;
        for standing in &self.standing {
            for (state, count) in &standing.grants {
                put_gauge(&mut family, &[("bank", standing.bank.as_str()), ("state", state)], *count)?;
            }
        }
        let help = "When the bank's first consent is foretold to end, since the Unix epoch";
        self.ends(encoder, "consent_end_timestamp", help, |standing| standing.consent_end)?;
        let help = "When the certificate that the bank is shown ends, since the Unix epoch";
        self.ends(encoder, "certificate_end_timestamp", help, |standing| standing.certificate_end)
    }

    /// When something ends, for the banks that have such an end.
    fn ends(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        end: fn(&Standing) -> Option<i64>,
    ) -> fmt::Result {
        let mut family = gauge(encoder, name, help, Some(&Unit::Seconds))?;
        for standing in &self.standing {
            if let Some(end) = end(standing) {
                family.encode_family(&[("bank", standing.bank.as_str())])?.encode_gauge(&end)?;
            }
        }
        Ok(())
    }

    fn program(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = counter(encoder, "reloads", "Reloads of the configuration and its files, by outcome", None)?;
        for (outcome, count) in ["ok", "failed"].into_iter().zip(self.reloads) {
            put_count(&mut family, &[("outcome", outcome)], count)?;
        }
        let help = "Events that the log lost since they came faster than they could be written";
        let mut family = counter(encoder, "log_dropped_events", help, None)?;
        family.encode_counter::<NoLabelSet, _, u64>(&log::dropped(), None)?;
        let mut family = encoder.encode_descriptor("build", "The version that runs", None, MetricType::Info)?;
        family.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }

    fn each(&self, mut put: impl FnMut(&str, &BankMetrics) -> fmt::Result) -> fmt::Result {
        self.banks.iter().try_for_each(|(bank, metrics)| put(bank.as_str(), metrics))
    }
}

fn counter<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
    unit: Option<&'a Unit>,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, unit, MetricType::Counter)
}

fn gauge<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
    unit: Option<&'a Unit>,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, unit, MetricType::Gauge)
}

/// Of durations.
fn histogram<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)
}

fn put_count(family: &mut MetricEncoder<'_>, labels: &[(&str, &str)], count: u64) -> fmt::Result {
    family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn put_gauge(family: &mut MetricEncoder<'_>, labels: &[(&str, &str)], value: u64) -> fmt::Result {
    family.encode_family(&labels)?.encode_gauge(&value)
}

fn put_histogram(family: &mut MetricEncoder<'_>, bank: &str, sum: &Sum) -> fmt::Result {
    let labels = [("bank", bank)];
    let mut metric = family.encode_family(&labels)?;
    metric.encode_histogram::<NoLabelSet>(sum.seconds(), sum.count(), &sum.buckets(), None)
}
