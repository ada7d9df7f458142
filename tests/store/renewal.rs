//! Claims, leases, intents and how they end.

use super::*;

/// How long a leader that let its lease run out is given to store its answer.
const GRACE: Duration = Duration::from_secs(5);

/// Claims what a leader has left behind: asks, gives it the moment that it is due, and leads.
async fn take_over(ground: &impl Ground, store: &Arc<dyn Store>, holder: &str) -> Grant {
    let first = store.claim(&key("default"), 1, &claimant(holder)).await.unwrap();
    assert!(matches!(first, Claim::Held { remaining } if remaining == GRACE), "{first:?}");
    ground.advance(GRACE).await;
    let second = store.claim(&key("default"), 1, &claimant(holder)).await.unwrap();
    let Claim::Led(grant) = second else { panic!("{second:?}") };
    *grant
}

pub async fn of_two_processes_one_leads_and_the_other_is_told_for_how_long(ground: &impl Ground) {
    let (one, two) = (ground.open().await, ground.open().await);
    one.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    let Claim::Led(grant) = one.claim(&key("default"), 1, &claimant("one")).await.unwrap() else { panic!() };
    assert!(grant.facts.sent_at.is_none());
    ground.advance(Duration::from_secs(4)).await;
    let held = two.claim(&key("default"), 1, &claimant("two")).await.unwrap();
    assert!(matches!(held, Claim::Held { remaining } if remaining == Duration::from_secs(6)), "{held:?}");
    assert!(two.list(&key("default").bank).await.unwrap()[0].leased);
}

pub async fn of_many_who_claim_at_once_exactly_one_leads(ground: &impl Ground) {
    ground.open().await.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    let mut claims = tokio::task::JoinSet::new();
    for number in 0..16 {
        let store = ground.open().await;
        claims.spawn(async move { store.claim(&key("default"), 1, &claimant(&number.to_string())).await.unwrap() });
    }
    let claims = claims.join_all().await;
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Led(_))).count(), 1);
}

pub async fn a_lease_ends_by_itself_unless_it_is_extended_and_leaves_the_intent(ground: &impl Ground) {
    let store = ground.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    ground.advance(Duration::from_secs(9)).await;
    assert!(store.extend(&key("default"), 1, &claimant("one")).await.unwrap());
    ground.advance(Duration::from_secs(9)).await;
    assert!(matches!(store.claim(&key("default"), 1, &claimant("two")).await.unwrap(), Claim::Held { .. }));
    ground.advance(Duration::from_secs(1)).await;
    let grant = take_over(ground, &store, "two").await;
    assert_eq!(grant.facts.sent_at, Some(START));
    assert!(!store.extend(&key("default"), 1, &claimant("one")).await.unwrap());
}

pub async fn an_answer_counts_although_its_lease_was_lost(ground: &impl Ground) {
    let store = ground.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("slow")).await.unwrap();
    ground.advance(Duration::from_mins(1)).await;
    take_over(ground, &store, "second").await;
    // The second one asks with a spent token, and hears that it is over before the first one has stored its answer.
    assert!(matches!(store.end(&key("default"), 1, Some(START)).await.unwrap(), Settled::Stored(_)));
    let settled = store.complete(&key("default"), 1, Some(START), tokens("new", None)).await.unwrap();
    let Settled::Stored(grant) = settled else { panic!("{settled:?}") };
    assert_eq!((grant.facts.version, grant.facts.standing), (2, Standing::Active));
    assert!(grant.refresh.unwrap().matches(b"r"), "an answer without a refresh token keeps the old one");
    assert!(grant.facts.sent_at.is_none() && !grant.facts.leased);
}

pub async fn what_is_newer_is_never_overwritten_by_an_older_renewal(ground: &impl Ground) {
    let store = ground.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    store.put(&key("default"), tokens("by a person", Some("r2"))).await.unwrap();
    for settled in [
        store.complete(&key("default"), 1, Some(START), tokens("late", Some("late"))).await.unwrap(),
        store.end(&key("default"), 1, Some(START)).await.unwrap(),
    ] {
        let Settled::Newer(grant) = settled else { panic!("{settled:?}") };
        assert_eq!((grant.facts.version, grant.facts.standing), (2, Standing::Active));
        assert!(grant.access.unwrap().matches(b"by a person"));
    }
    store.postpone(&key("default"), 1, "one", Duration::from_secs(5), true).await.unwrap();
    assert!(matches!(store.claim(&key("default"), 2, &claimant("one")).await.unwrap(), Claim::Led(_)));
    assert!(matches!(store.claim(&key("default"), 1, &claimant("one")).await.unwrap(), Claim::Newer(_)));
}

pub async fn after_a_failure_nobody_leads_before_the_wait_is_over_but_who_must(ground: &impl Ground) {
    let store = ground.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    store.postpone(&key("default"), 1, "one", Duration::from_secs(5), false).await.unwrap();
    let waiting = store.claim(&key("default"), 1, &claimant("two")).await.unwrap();
    assert!(matches!(waiting, Claim::Waiting { remaining } if remaining == Duration::from_secs(5)));
    let facts = store.list(&key("default").bank).await.unwrap().remove(0);
    assert_eq!((facts.failures, facts.sent_at, facts.leased), (1, None, false));
    let explicit = Claimant { despite_wait: true, ..claimant("two") };
    assert!(matches!(store.claim(&key("default"), 1, &explicit).await.unwrap(), Claim::Led(_)));
}

pub async fn a_wait_or_lease_from_a_clock_that_was_wrong_does_not_lock_a_grant(ground: &impl Ground) {
    let store = ground.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    let far = Claimant { hold: Duration::from_hours(24), ..claimant("from the future") };
    store.claim(&key("default"), 1, &far).await.unwrap();
    take_over(ground, &store, "two").await;
    // The longest wait is five minutes.
    store.postpone(&key("default"), 1, "two", Duration::from_mins(30), false).await.unwrap();
    assert!(matches!(store.claim(&key("default"), 1, &claimant("three")).await.unwrap(), Claim::Led(_)));
}

pub async fn a_grant_that_needs_no_person_is_made_by_its_first_claim(ground: &impl Ground) {
    let store = ground.open().await;
    let maker = Claimant { create: true, ..claimant("one") };
    assert!(matches!(store.claim(&key("default"), 0, &maker).await.unwrap(), Claim::Led(_)));
    let rival = Claimant { create: true, ..claimant("two") };
    assert!(matches!(store.claim(&key("default"), 0, &rival).await.unwrap(), Claim::Held { .. }));
    store.complete(&key("default"), 0, None, tokens("a", None)).await.unwrap();
    store.remove(&key("default"), 1).await.unwrap();
    let Claim::Led(grant) = store.claim(&key("default"), 0, &maker).await.unwrap() else { panic!() };
    assert_eq!((grant.facts.version, grant.facts.standing), (2, Standing::Empty));
}

pub async fn of_many_who_make_and_claim_at_once_exactly_one_leads(ground: &impl Ground) {
    let mut claims = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (store, maker) = (ground.open().await, Claimant { create: true, ..claimant(&number.to_string()) });
        claims.spawn(async move { store.claim(&key("default"), 0, &maker).await.unwrap() });
    }
    let claims = claims.join_all().await;
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Led(_))).count(), 1, "{claims:?}");
}

pub async fn an_answer_that_comes_back_with_the_store_is_kept_before_another_one_leads(ground: &impl Ground) {
    let store = ground.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    // The store was away for longer than a lease lasts, and the other one is there first.
    ground.advance(Duration::from_secs(14)).await;
    let held = store.claim(&key("default"), 1, &claimant("two")).await.unwrap();
    assert!(matches!(held, Claim::Held { remaining } if remaining == GRACE), "{held:?}");
    ground.advance(Duration::from_millis(500)).await;
    assert!(matches!(store.claim(&key("default"), 1, &claimant("three")).await.unwrap(), Claim::Held { .. }));
    assert!(matches!(
        store.complete(&key("default"), 1, Some(START), tokens("b", Some("r2"))).await.unwrap(),
        Settled::Stored(_)
    ));
    ground.advance(GRACE).await;
    let Claim::Newer(grant) = store.claim(&key("default"), 1, &claimant("two")).await.unwrap() else { panic!() };
    assert!(grant.refresh.unwrap().matches(b"r2") && grant.facts.sent_at.is_none());
    let next = store.claim(&key("default"), 2, &claimant("two")).await.unwrap();
    assert!(matches!(next, Claim::Led(_)), "nothing is left of it: {next:?}");
}

pub async fn what_a_dead_leader_left_is_taken_over_by_one_and_not_after_a_long_silence(ground: &impl Ground) {
    let store = ground.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("dead")).await.unwrap();
    ground.advance(HOLD).await;
    assert!(matches!(store.claim(&key("default"), 1, &claimant("two")).await.unwrap(), Claim::Held { .. }));
    // Nobody asked for long: the store may have been away again, and what was seen then counts no more.
    ground.advance(Duration::from_mins(1)).await;
    let anew = store.claim(&key("default"), 1, &claimant("two")).await.unwrap();
    assert!(matches!(anew, Claim::Held { remaining } if remaining == GRACE), "{anew:?}");
    ground.advance(GRACE).await;
    let mut claims = tokio::task::JoinSet::new();
    for number in 0..8 {
        let store = ground.open().await;
        claims.spawn(async move { store.claim(&key("default"), 1, &claimant(&number.to_string())).await.unwrap() });
    }
    let claims = claims.join_all().await;
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Led(_))).count(), 1, "{claims:?}");
    let full = |claim: &Claim| matches!(claim, Claim::Held { remaining } if *remaining == HOLD);
    assert_eq!(claims.iter().filter(|claim| full(claim)).count(), 7, "{claims:?}");
}

pub async fn a_leader_that_lives_takes_its_lease_back_or_gives_it_up(ground: &impl Ground) {
    let store = ground.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("slow")).await.unwrap();
    ground.advance(HOLD).await;
    store.claim(&key("default"), 1, &claimant("two")).await.unwrap();
    assert!(store.extend(&key("default"), 1, &claimant("slow")).await.unwrap(), "its call is under way");
    ground.advance(GRACE).await;
    let held = store.claim(&key("default"), 1, &claimant("two")).await.unwrap();
    assert!(matches!(held, Claim::Held { remaining } if remaining + GRACE == HOLD), "{held:?}");
    ground.advance(HOLD).await;
    store.claim(&key("default"), 1, &claimant("two")).await.unwrap();
    store.postpone(&key("default"), 1, "slow", Duration::from_secs(5), true).await.unwrap();
    let waiting = store.claim(&key("default"), 1, &claimant("two")).await.unwrap();
    assert!(matches!(waiting, Claim::Waiting { .. }), "its wait counts: {waiting:?}");
    ground.advance(Duration::from_secs(5)).await;
    assert!(matches!(store.claim(&key("default"), 1, &claimant("two")).await.unwrap(), Claim::Led(_)));
}

pub async fn an_answer_with_a_refresh_token_counts_although_what_stood_before_does_not_open(ground: &impl Ground) {
    let old = ground.open().await;
    old.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    old.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    // A process that has a newer key seals what stands there anew while the call is under way.
    ground.open_with(&[8, 7]).await.unwrap().reseal(None, 10).await.unwrap();
    assert!(old.load(&key("default")).await.is_err());
    assert!(
        old.complete(&key("default"), 1, Some(START), tokens("b", None)).await.is_err(),
        "the old one cannot be carried over"
    );
    let settled = old.complete(&key("default"), 1, Some(START), tokens("b", Some("r2"))).await.unwrap();
    let Settled::Stored(grant) = settled else { panic!("{settled:?}") };
    assert_eq!((grant.facts.version, grant.facts.consent_at), (2, Some(START)));
    let both = ground.open_with(&[8, 7]).await.unwrap();
    assert!(both.load(&key("default")).await.unwrap().unwrap().refresh.unwrap().matches(b"r2"));
}

pub async fn an_answer_is_not_lost_to_a_database_that_was_set_back_below_what_was_renewed(ground: &impl Ground) {
    let store = ground.open().await;
    for _ in 0..3 {
        store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    }
    store.claim(&key("default"), 3, &claimant("one")).await.unwrap();
    ground.update("version = 1, lease_holder = NULL, lease_until = 0, sent_at = NULL").await;
    let settled = store.complete(&key("default"), 3, Some(START), tokens("b", Some("r2"))).await.unwrap();
    let Settled::Stored(grant) = settled else { panic!("{settled:?}") };
    assert_eq!((grant.facts.version, grant.facts.consent_at), (4, Some(START)));
    assert!(grant.refresh.unwrap().matches(b"r2") && !grant.facts.leased);
    let late = store.complete(&key("default"), 1, Some(START), tokens("late", Some("late"))).await.unwrap();
    assert!(matches!(late, Settled::Newer(grant) if grant.facts.version == 4));
}

pub async fn another_consent_of_a_database_that_was_set_back_stays(ground: &impl Ground) {
    let store = ground.open().await;
    store.put(&key("default"), tokens("another's", Some("r"))).await.unwrap();
    for version in 1..=2 {
        let former = Some(START.plus(HOLD));
        let settled = store.complete(&key("default"), version, former, tokens("late", Some("late"))).await.unwrap();
        let Settled::Newer(grant) = settled else { panic!("{settled:?}") };
        assert!(grant.facts.version == 1 && grant.access.unwrap().matches(b"another's"));
        let settled = store.end(&key("default"), version, former).await.unwrap();
        let Settled::Newer(grant) = settled else { panic!("{settled:?}") };
        assert_eq!((grant.facts.version, grant.facts.standing), (1, Standing::Active));
    }
    store.remove(&key("default"), 1).await.unwrap();
    let settled = store.complete(&key("default"), 9, Some(START), tokens("late", Some("late"))).await.unwrap();
    assert!(matches!(settled, Settled::Missing), "what was removed stays so: {settled:?}");
}

pub async fn what_is_newer_and_opens_for_nobody_makes_way_for_an_answer_of_its_consent(ground: &impl Ground) {
    let store = ground.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.complete(&key("default"), 1, Some(START), tokens("newer", Some("r2"))).await.unwrap();
    // What is sealed is bound to its version.
    ground.update("version = 3").await;
    let former = Some(START.plus(HOLD));
    let settled = store.complete(&key("default"), 1, former, tokens("former", Some("r0"))).await.unwrap();
    assert!(matches!(settled, Settled::Unopened), "a former consent takes no place: {settled:?}");
    let settled = store.complete(&key("default"), 1, Some(START), tokens("late", Some("late"))).await.unwrap();
    let Settled::Stored(grant) = settled else { panic!("{settled:?}") };
    assert_eq!((grant.facts.version, grant.facts.consent_at), (4, Some(START)));
    assert!(grant.refresh.unwrap().matches(b"late"));
}

pub async fn what_is_newer_and_opens_for_others_or_has_its_refresh_token_stays(ground: &impl Ground) {
    let old = ground.open().await;
    let both = ground.open_with(&[8, 7]).await.unwrap();
    old.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    both.complete(&key("default"), 1, Some(START), tokens("newer", Some("r2"))).await.unwrap();
    let settled = old.complete(&key("default"), 1, Some(START), tokens("late", Some("late"))).await.unwrap();
    assert!(matches!(settled, Settled::Unopened), "{settled:?}");
    assert!(both.load(&key("default")).await.unwrap().unwrap().refresh.unwrap().matches(b"r2"));
    ground.update("access = refresh").await;
    let settled = both.complete(&key("default"), 1, Some(START), tokens("late", Some("late"))).await.unwrap();
    assert!(matches!(settled, Settled::Unopened), "{settled:?}");
}

pub async fn what_does_not_open_is_given_up_only_where_no_person_is_needed_or_has_consented(ground: &impl Ground) {
    let (store, maker) = (ground.open().await, Claimant { create: true, ..claimant("one") });
    store.claim(&key("default"), 0, &maker).await.unwrap();
    store.complete(&key("default"), 0, None, tokens("a", Some("r"))).await.unwrap();
    // What is sealed is bound to its version.
    ground.update("version = 2").await;
    assert!(store.load(&key("default")).await.is_err());
    assert_eq!(store.facts(&key("default")).await.unwrap().unwrap().version, 2);
    assert!(store.claim(&key("default"), 2, &claimant("one")).await.is_err(), "a person may be needed");
    let Claim::Led(grant) = store.claim(&key("default"), 2, &maker).await.unwrap() else { panic!() };
    assert!(grant.access.is_none() && grant.refresh.is_none());
    let settled = store.complete(&key("default"), 2, None, tokens("b", None)).await.unwrap();
    assert!(matches!(settled, Settled::Stored(grant) if grant.refresh.is_none() && grant.facts.version == 3));

    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    ground.update("version = 5").await;
    assert!(store.claim(&key("default"), 5, &maker).await.is_err(), "a person has consented");
    ground.update("version = 4").await;
    assert!(store.load(&key("default")).await.unwrap().unwrap().refresh.unwrap().matches(b"r"));
    assert!(store.remove(&key("default"), 4).await.unwrap() && store.facts(&key("default")).await.unwrap().is_none());
}
