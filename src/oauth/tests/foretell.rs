//! Consents that end, foretold.

use std::time::Duration;

use tokio::time::sleep;

use super::support::{Bench, START, bank, by_code, default};
use crate::config::GrantType;

const DAY: Duration = Duration::from_hours(24);

/// A bank whose consents last so many days, and a grant of this moment.
async fn lasting(days: Option<u32>) -> Bench {
    let mut of_days = bank(GrantType::AuthorizationCode(Box::new(by_code())));
    of_days.consent_days = days;
    let bench = Bench::with(of_days);
    bench.import(300).await;
    bench
}

#[tokio::test(start_paused = true)]
async fn a_consent_is_foretold_within_two_weeks_of_its_end() {
    assert!(lasting(Some(15)).await.tokens.ending_consents(9).await.unwrap().is_empty(), "15 days are left");
    let bench = lasting(Some(14)).await;
    sleep(Duration::from_secs(1)).await;
    let ending = bench.tokens.ending_consents(9).await.unwrap();
    assert_eq!((&ending[0].grant, ending[0].days_left), (&default(), 13));
    assert!(ending[0].until.since(START.plus(DAY * 14)) < Duration::from_secs(1));
    assert!(bench.tokens.ending_consents(0).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_nobody_said_how_long_consents_last_nothing_is_foretold() {
    assert!(lasting(None).await.tokens.ending_consents(9).await.unwrap().is_empty());
}
