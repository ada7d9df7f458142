//! What is counted shows in a scrape, under names and labels that are known beforehand.

use std::time::Instant;

use http::StatusCode;

use crate::words::Kind;

use super::*;

fn bank() -> BankName {
    "examplebank".parse().expect("a name")
}

/// The lines of a scrape that are no comments.
fn lines(metrics: &Metrics, standing: Vec<Standing>) -> Vec<String> {
    let text = metrics.encode(standing, Format::OpenMetrics).expect("encodes");
    assert!(text.ends_with("# EOF\n"), "{text}");
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn assert_has(lines: &[String], expected: &[&str]) {
    for line in expected {
        assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
    }
}

#[test]
fn answers_and_problems_are_counted_by_bank() {
    let metrics = Metrics::default();
    let counted = metrics.bank(&bank());
    counted.answered(StatusCode::OK, None);
    counted.answered(StatusCode::BAD_GATEWAY, Some(Kind::BankTls));
    assert_has(
        &lines(&metrics, Vec::new()),
        &[
            r#"bankside_requests_total{bank="examplebank",status="2xx"} 1"#,
            r#"bankside_requests_total{bank="examplebank",status="5xx"} 1"#,
            r#"bankside_problems_total{bank="examplebank",kind="bank-tls"} 1"#,
            r#"bankside_problems_total{bank="examplebank",kind="overloaded"} 0"#,
        ],
    );
}

#[test]
fn a_request_is_in_flight_until_it_has_ended_and_then_has_a_duration() {
    let metrics = Metrics::default();
    let counted = metrics.bank(&bank());
    counted.begun();
    counted.begun();
    counted.ended(Instant::now(), 7);
    counted.bank_answered(Instant::now());
    counted.sent(5);
    let queued = counted.queued();
    assert_has(
        &lines(&metrics, Vec::new()),
        &[
            r#"bankside_requests_in_flight{bank="examplebank"} 1"#,
            r#"bankside_requests_queued{bank="examplebank"} 1"#,
            r#"bankside_request_duration_seconds_count{bank="examplebank"} 1"#,
            r#"bankside_request_duration_seconds_bucket{le="+Inf",bank="examplebank"} 1"#,
            r#"bankside_bank_duration_seconds_count{bank="examplebank"} 1"#,
            r#"bankside_answer_body_bytes_total{bank="examplebank"} 7"#,
            r#"bankside_request_body_bytes_total{bank="examplebank"} 5"#,
        ],
    );
    drop(queued);
    assert_has(&lines(&metrics, Vec::new()), &[r#"bankside_requests_queued{bank="examplebank"} 0"#]);
}

#[test]
fn connections_and_handshakes_are_told_apart_by_endpoint_and_outcome() {
    let metrics = Metrics::default();
    let counted = metrics.bank(&bank());
    let (api, oauth) = (counted.connections(Towards::Api), counted.connections(Towards::OAuth));
    api.opened();
    api.connected(true);
    oauth.opened();
    oauth.failed("refused".into());
    oauth.closed();
    let _app = counted.app_connected();
    assert_has(
        &lines(&metrics, Vec::new()),
        &[
            r#"bankside_bank_connections{bank="examplebank",endpoint="api"} 1"#,
            r#"bankside_bank_connections{bank="examplebank",endpoint="oauth"} 0"#,
            r#"bankside_handshakes_total{bank="examplebank",endpoint="api",outcome="resumed"} 1"#,
            r#"bankside_handshakes_total{bank="examplebank",endpoint="api",outcome="full"} 0"#,
            r#"bankside_handshakes_total{bank="examplebank",endpoint="oauth",outcome="failed"} 1"#,
            r#"bankside_app_connections{bank="examplebank"} 1"#,
            r#"bankside_app_connections_accepted_total{bank="examplebank"} 1"#,
        ],
    );
    assert!(matches!(counted.reach(), Reach::Failed { reason, .. } if reason == "refused"));
}

#[test]
fn renewals_and_logins_are_counted_by_outcome() {
    let metrics = Metrics::default();
    let counted = metrics.bank(&bank());
    counted.renewal(RenewalOutcome::Renewed);
    counted.renewal(RenewalOutcome::NoClient);
    counted.login(false);
    assert_has(
        &lines(&metrics, Vec::new()),
        &[
            r#"bankside_renewals_total{bank="examplebank",outcome="renewed"} 1"#,
            r#"bankside_renewals_total{bank="examplebank",outcome="over"} 0"#,
            r#"bankside_renewals_total{bank="examplebank",outcome="no_client"} 1"#,
            r#"bankside_logins_total{bank="examplebank",outcome="not_authorized"} 1"#,
        ],
    );
}

#[test]
fn how_banks_stand_is_shown_as_far_as_it_is_known() {
    let metrics = Metrics::default();
    metrics.reloaded(false);
    let standing = Standing {
        bank: bank(),
        ready: true,
        grants: vec![("active", 2), ("expired", 0)],
        consent_end: None,
        certificate_end: Some(1_800_000_000),
    };
    let lines = lines(&metrics, vec![standing]);
    assert_has(
        &lines,
        &[
            r#"bankside_bank_ready{bank="examplebank"} 1"#,
            r#"bankside_grants{bank="examplebank",state="active"} 2"#,
            r#"bankside_certificate_end_timestamp_seconds{bank="examplebank"} 1800000000"#,
            r#"bankside_reloads_total{outcome="failed"} 1"#,
            "bankside_log_dropped_events_total 0",
            concat!(r#"bankside_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        ],
    );
    assert!(!lines.iter().any(|line| line.starts_with("bankside_consent_end")), "{lines:#?}");
}
