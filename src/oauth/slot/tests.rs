//! Who leads a renewal and who joins, and when the next one may be tried.

use super::*;
use crate::store::Facts;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn slot() -> Slot {
    let bank = "examplebank".parse().unwrap();
    Slot::new(GrantKey { bank, grant: "default".parse().unwrap() })
}

fn grant(key: &GrantKey, version: u64, issued_at: Timestamp, consent_at: Timestamp) -> Grant {
    let facts = Facts {
        key: key.clone(),
        version,
        standing: Standing::Active,
        refreshable: false,
        scopes: Vec::new(),
        issued_at,
        expires_at: None,
        consent_at: Some(consent_at),
        used_at: issued_at,
        renew_at: None,
        sent_at: None,
        leased: false,
        failures: 0,
        certificate: None,
    };
    Grant { facts, access: Some("access".into()), refresh: None }
}

#[test]
fn one_leads_and_all_others_join_until_it_has_landed() {
    let slot = slot();
    let Boarding::Lead(pilot, _) = slot.board(NOW, false) else { panic!("the first one leads") };
    let Boarding::Join(landing) = slot.board(NOW, false) else { panic!("the second one joins") };
    slot.land(&pilot, Ok(()), NOW);
    assert_eq!(*landing.borrow(), Some(Ok(())));
    assert!(matches!(slot.board(NOW, false), Boarding::Lead(..)));
}

#[test]
fn a_pilot_that_was_lost_is_replaced() {
    let slot = slot();
    drop(slot.board(NOW, false));
    assert!(slot.flight().is_none());
    assert!(matches!(slot.board(NOW, false), Boarding::Lead(..)));
}

#[test]
fn after_a_failure_nobody_tries_before_its_time_but_who_must() {
    let slot = slot();
    let Boarding::Lead(pilot, _) = slot.board(NOW, false) else { panic!("the first one leads") };
    slot.land(&pilot, Err(TokenError::unavailable(Duration::from_secs(4))), NOW);
    let later = NOW.plus(Duration::from_secs(1));
    let Boarding::Blocked(error) = slot.board(later, false) else { panic!("it is too early") };
    assert_eq!(error, TokenError::unavailable(Duration::from_secs(3)));
    assert!(matches!(slot.board(later, true), Boarding::Lead(..)));
    assert!(matches!(slot.board(NOW.plus(Duration::from_secs(4)), false), Boarding::Lead(..)));
}

#[test]
fn a_clock_that_is_set_back_makes_nobody_wait_for_it() {
    let (slot, ahead) = (slot(), NOW.plus(Duration::from_hours(2)));
    let Boarding::Lead(pilot, _) = slot.board(ahead, false) else { panic!("the first one leads") };
    slot.land(&pilot, Err(TokenError::unavailable(Duration::from_secs(4))), ahead);
    assert!(matches!(slot.board(NOW, false), Boarding::Lead(..)));
    (0..3).for_each(|_| slot.count_forced(ahead));
    assert!(slot.may_look(ahead, Duration::from_secs(1)));
    assert!(slot.may_force(NOW, 3) && slot.may_look(NOW, Duration::from_secs(1)));
}

#[test]
fn three_renewals_a_minute_may_be_forced() {
    let slot = slot();
    for _ in 0..3 {
        assert!(slot.may_force(NOW, 3));
        slot.count_forced(NOW);
    }
    assert!(!slot.may_force(NOW.plus(Duration::from_secs(59)), 3));
    assert!(slot.may_force(NOW.plus(Duration::from_mins(1)), 3));
}

#[test]
fn what_a_database_says_that_was_set_back_is_taken_where_it_is_another_token() {
    let slot = slot();
    let at = |second| NOW.plus(Duration::from_secs(second));
    let grant = |version, issued, consent| grant(&slot.key, version, at(issued), at(consent));
    let sent = || slot.token(NOW).map(|token| (token.version(), token.issued_at().since(NOW).as_secs()));
    slot.adopt(&grant(2, 2, 0));
    slot.adopt(&grant(1, 1, 0));
    assert_eq!(sent(), Some((2, 2)), "what is older is not");
    slot.adopt(&grant(2, 3, 0));
    assert_eq!(sent(), Some((2, 3)), "another one of this version");
    slot.adopt(&grant(1, 4, 1));
    assert_eq!(sent(), Some((1, 4)), "a lower version of a newer consent");
    slot.reject(1);
    slot.adopt(&grant(1, 4, 1));
    assert_eq!(sent(), None, "what the bank does not take is not taken up again");
}

#[test]
fn what_was_published_during_a_look_is_not_forgotten_for_it() {
    let slot = slot();
    slot.adopt(&grant(&slot.key, 1, NOW, NOW));
    let edition = slot.edition();
    slot.adopt(&grant(&slot.key, 3, NOW, NOW));
    slot.forget_edition(edition);
    assert!(slot.token(NOW).is_some());
    slot.forget_edition(slot.edition());
    assert!(slot.token(NOW).is_none());
}
