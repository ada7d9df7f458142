//! What becomes of tokens when their bank is configured anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::support::{Bench, Reply, Script, bank, by_code, by_credentials, default, sent};
use crate::config::{Bank, GrantType};
use crate::oauth::{Parts, TokenError, Tokens};
use crate::words::Random;

/// The tokens of the same bank under this certificate, asking this one.
fn successor(bench: &Bench, script: &Arc<Script>, certificate: &str) -> Arc<Tokens> {
    let parts = Parts {
        metrics: crate::telemetry::BankMetrics::default(),
        store: Arc::clone(&bench.store) as _,
        call: Arc::clone(script) as _,
        clock: bench.clock.clone(),
        random: Random::seeded(3),
        control: Handle::current(),
        under_way: TaskTracker::new(),
        certificate: Some(certificate.into()),
        identity: None,
    };
    bench.tokens.succeed(Arc::clone(&bench.bank), parts)
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_at_hand_without_a_look_into_the_store() {
    let bench = Bench::new();
    bench.import(300).await;
    let token = bench.tokens.get(&default()).await.unwrap();
    let next = successor(&bench, &bench.script, "other");
    assert!(Arc::ptr_eq(&token, &next.get(&default()).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_under_way_ends_as_it_began_and_serves_the_successor() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::After(Duration::from_secs(3), Box::new(Reply::Tokens(300))));
    let caller = tokio::spawn({
        let tokens = Arc::clone(&bench.tokens);
        async move { tokens.get(&default()).await }
    });
    sleep(Duration::from_secs(1)).await;
    let never_asked = Arc::<Script>::default();
    let next = successor(&bench, &never_asked, "other");
    drop(caller);
    let token = next.get(&default()).await.unwrap();
    assert_eq!((sent(&token).as_str(), bench.script.calls(), never_asked.calls()), ("access-1", 1, 0));
    assert_eq!(bench.refresh_token().await, "refresh-1", "the answer is durable");
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_former_certificate_is_renewed_once_although_it_is_young_and_was_never_taken() {
    let bench = Bench::new();
    bench.import(86_400).await;
    bench.script.then(Reply::Tokens(86_400));
    let token = bench.tokens.get(&default()).await.unwrap();
    assert!(bench.tokens.after_unauthorized(&default(), &token, false).await.unwrap().is_none(), "of this certificate");
    let next = successor(&bench, &bench.script, "other");
    assert!(next.after_unauthorized(&default(), &token, true).await.unwrap().is_none(), "it is not for the scope");
    let newer = next.after_unauthorized(&default(), &token, false).await.unwrap().unwrap();
    assert_eq!((sent(&newer).as_str(), bench.script.calls()), ("access-1", 1));
    assert!(
        next.after_unauthorized(&default(), &newer, false).await.unwrap().is_none(),
        "it is of the newest certificate"
    );
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_swaps_within_a_minute_are_a_renewal_each() {
    let bench = Bench::new();
    bench.import(86_400).await;
    bench.script.always(|| Reply::Tokens(86_400));
    let mut token = bench.tokens.get(&default()).await.unwrap();
    for swap in 0..10 {
        let next = successor(&bench, &bench.script, &swap.to_string());
        token = next.after_unauthorized(&default(), &token, false).await.unwrap().unwrap();
    }
    assert_eq!(bench.script.calls(), 10);
}

#[tokio::test(start_paused = true)]
async fn what_failed_before_is_tried_at_once_and_only_once() {
    let bench = Bench::new();
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.always(|| Reply::Say(401, &[], r#"{"error":"invalid_client"}"#));
    for _ in 0..20 {
        let _ = bench.tokens.get(&default()).await;
        sleep(Duration::from_secs(5)).await;
    }
    let _ = bench.tokens.get(&default()).await;
    let before = bench.script.calls();
    assert!(bench.tokens.get(&default()).await.is_err());
    assert_eq!(bench.script.calls(), before, "the wait holds");
    let corrected = Arc::<Script>::default();
    corrected.then(Reply::Tokens(300));
    let next = successor(&bench, &corrected, "fingerprint");
    assert_eq!(sent(&next.get(&default()).await.unwrap()), "access-1");

    let still_wrong = Arc::<Script>::default();
    still_wrong.always(|| Reply::Say(401, &[], r#"{"error":"invalid_client"}"#));
    sleep(Duration::from_secs(301)).await;
    let next = successor(&bench, &still_wrong, "fingerprint");
    assert!(matches!(next.get(&default()).await, Err(TokenError::Unavailable { .. })));
    assert!(still_wrong.most_in_ten_seconds() <= 5);
}

#[tokio::test(start_paused = true)]
async fn a_given_token_is_the_one_that_is_configured_from_here_on() {
    let given = |token: &str| bank(GrantType::Fixed([(default(), token.into())].into_iter().collect()));
    let bench = Bench::with(given("first"));
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "first");
    let second = bench.tokens.succeed(Arc::new(given("second")), bench.tokens.parts.clone());
    assert_eq!(sent(&second.get(&default()).await.unwrap()), "second");
    let by_code = Arc::new(bank(GrantType::AuthorizationCode(Box::new(by_code()))));
    let third = second.succeed(by_code, bench.tokens.parts.clone());
    assert_eq!(third.get(&default()).await.unwrap_err(), TokenError::NeedsAuthorization);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_configured_no_more_is_not_brought_back_by_who_still_has_the_former_tokens() {
    let named = |grants: &[&str]| {
        let grants = grants.iter().map(|grant| (grant.parse().unwrap(), vec!["aisp".to_owned()])).collect();
        Arc::new(Bank { grants, ..bank(by_credentials()) })
    };
    let bench = Bench::with(Arc::unwrap_or_clone(named(&["pay"])));
    bench.script.always(|| Reply::Tokens(300));
    let pay = "pay".parse().unwrap();
    bench.tokens.get(&pay).await.unwrap();
    let next = bench.tokens.succeed(named(&[]), bench.tokens.parts.clone());
    assert_eq!(next.get(&pay).await.unwrap_err(), TokenError::UnknownGrant);
    bench.tokens.get(&pay).await.unwrap();
    assert_eq!(next.get(&pay).await.unwrap_err(), TokenError::UnknownGrant);
    assert!(next.renew(&pay).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_a_slot_that_was_not_carried_over_is_not_led_twice() {
    let bench = Bench::with(bank(by_credentials()));
    bench.script.then(Reply::After(Duration::from_secs(6), Box::new(Reply::Tokens(300))));
    let tokens = Arc::clone(&bench.tokens);
    let first = tokio::spawn(async move { tokens.get(&default()).await });
    sleep(Duration::from_secs(1)).await;
    let parts = successor(&bench, &bench.script, "other").parts.clone();
    let fixed = Arc::new(bank(GrantType::Fixed([(default(), "given".into())].into())));
    let between = bench.tokens.succeed(fixed, parts.clone());
    let next = between.succeed(Arc::clone(&bench.bank), parts);
    assert_eq!(sent(&next.get(&default()).await.unwrap()), "access-1");
    assert_eq!(sent(&first.await.unwrap().unwrap()), "access-1");
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_consent_is_used_at_once_although_the_database_was_put_back() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.import(300).await;
    }
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "access-0");
    bench.execute("DELETE FROM grants");
    bench.tokens.import(&default(), br#"{"access_token":"new","refresh_token":"r","expires_in":300}"#).await.unwrap();
    assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "new");
}
