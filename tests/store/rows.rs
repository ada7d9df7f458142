//! Grants as rows: put, found, removed, watched, bound to their place.

use super::*;

pub async fn a_grant_comes_back_as_it_was_put_from_another_process_too(ground: &impl Ground) {
    ground.open().await.put(&key("default"), tokens("the-access", Some("the-refresh"))).await.unwrap();
    let grant = ground.open().await.load(&key("default")).await.unwrap().unwrap();
    assert!(grant.access.unwrap().matches(b"the-access") && grant.refresh.unwrap().matches(b"the-refresh"));
    assert_eq!((grant.facts.version, grant.facts.standing), (1, Standing::Active));
    assert_eq!(grant.facts.scopes, ["AIS: 7"]);
    assert_eq!(grant.facts.consent_at, Some(START));
    assert_eq!(grant.facts.certificate.as_deref(), Some("fingerprint"));
    assert!(ground.open().await.load(&key("other")).await.unwrap().is_none());
}

pub async fn a_removed_grant_is_gone_for_good_and_its_versions_go_on(ground: &impl Ground) {
    let store = ground.open().await;
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    assert!(!store.remove(&key("default"), 2).await.unwrap(), "another version than the one that stands");
    assert!(store.remove(&key("default"), 1).await.unwrap());
    assert!(!store.remove(&key("default"), 2).await.unwrap());
    assert!(store.load(&key("default")).await.unwrap().is_none());
    assert!(store.list(&key("default").bank).await.unwrap().is_empty());
    assert!(matches!(
        store.complete(&key("default"), 1, Some(START), tokens("late", None)).await.unwrap(),
        Settled::Missing
    ));
    assert!(matches!(store.claim(&key("default"), 2, &claimant("one")).await.unwrap(), Claim::Missing));
    assert_eq!(store.put(&key("default"), tokens("b", None)).await.unwrap().facts.version, 3);
}

pub async fn what_is_put_again_takes_no_other_consents_place(ground: &impl Ground) {
    let store = ground.open().await;
    let former = store.put(&key("default"), tokens("former", Some("r"))).await.unwrap().facts.consent_at;
    store.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    store.complete(&key("default"), 1, Some(START), tokens("renewed", Some("r2"))).await.unwrap();
    ground.advance(HOLD).await;
    let put = store.put_again(&key("default"), tokens("mine", Some("r3")), former).await.unwrap().unwrap();
    assert!(put.access.unwrap().matches(b"mine"), "a renewal of the former consent is no other one");
    ground.advance(HOLD).await;
    store.claim(&key("default"), 3, &claimant("one")).await.unwrap();
    store.complete(&key("default"), 3, Some(START.plus(HOLD)), tokens("mine, renewed", Some("r4"))).await.unwrap();
    let again = store.put_again(&key("default"), tokens("mine", Some("r3")), former).await.unwrap().unwrap();
    assert!(again.access.unwrap().matches(b"mine, renewed") && again.refresh.unwrap().matches(b"r4"));
    store.remove(&key("default"), 4).await.unwrap();
    let put = store.put_again(&key("default"), tokens("mine", Some("r3")), former).await.unwrap().unwrap();
    assert!(put.access.unwrap().matches(b"mine"), "where nothing stands, nothing is lost by it");
    let new = store.put_again(&key("other"), tokens("b", None), None).await.unwrap();
    assert_eq!(new.unwrap().facts.version, 1);
}

pub async fn what_opens_for_nobody_makes_way_for_what_is_put_again_and_says_when_its_person_consented(
    ground: &impl Ground,
) {
    let store = ground.open().await;
    let former = store.put(&key("default"), tokens("former", Some("r"))).await.unwrap().facts.consent_at;
    ground.update("access = refresh").await;
    assert!(store.load(&key("default")).await.is_err());
    assert_eq!(store.consented_at(&key("default")).await.unwrap(), former);
    ground.advance(HOLD).await;
    let put = store.put_again(&key("default"), tokens("mine", Some("r2")), former).await.unwrap().unwrap();
    assert!(put.access.unwrap().matches(b"mine"));
    ground.update("access = refresh").await;
    let put = store.put_again(&key("default"), tokens("mine", Some("r2")), former).await.unwrap().unwrap();
    assert!(put.access.unwrap().matches(b"mine"), "another consent, and a damaged one");
    store.remove(&key("default"), 3).await.unwrap();
    assert_eq!(store.consented_at(&key("default")).await.unwrap(), None);
    assert_eq!(store.consented_at(&key("other")).await.unwrap(), None);
}

pub async fn what_others_have_the_key_of_stays_when_something_is_put_again(ground: &impl Ground) {
    let store = ground.open().await;
    let former = store.put(&key("default"), tokens("former", Some("r"))).await.unwrap().facts.consent_at;
    ground.advance(HOLD).await;
    let newer = ground.open_with(&[8, 7]).await.unwrap();
    newer.put(&key("default"), tokens("newer", Some("r2"))).await.unwrap();
    let put = store.put_again(&key("default"), tokens("mine", Some("r3")), former).await.unwrap();
    assert!(put.is_none(), "it stands, and does not open here");
    assert!(newer.load(&key("default")).await.unwrap().unwrap().access.unwrap().matches(b"newer"));
}

pub async fn changes_of_other_processes_are_seen_once(ground: &impl Ground) {
    let (one, two) = (ground.open().await, ground.open().await);
    let bank = key("default").bank;
    let (mark, none) = one.changes(&bank, None).await.unwrap();
    assert!(none.is_empty());
    two.put(&key("default"), tokens("a", None)).await.unwrap();
    two.put(&key("pisp"), tokens("b", None)).await.unwrap();
    let (mark, changed) = one.changes(&bank, Some(mark)).await.unwrap();
    assert_eq!(changed, [key("default"), key("pisp")]);
    two.claim(&key("pisp"), 1, &claimant("two")).await.unwrap();
    assert!(one.changes(&bank, Some(mark)).await.unwrap().1.is_empty());
    two.remove(&key("default"), 1).await.unwrap();
    assert_eq!(one.changes(&bank, Some(mark)).await.unwrap().1, [key("default")]);
    assert!(one.changes(&"otherbank".parse().unwrap(), Some(mark)).await.unwrap().1.is_empty());
}

pub async fn what_is_due_is_found_in_its_order_and_what_is_idle_led_or_waiting_is_not(ground: &impl Ground) {
    let store = ground.open().await;
    let bank = key("default").bank;
    for (name, seconds) in [("second", 20), ("first", 10), ("led", 5), ("waiting", 6), ("later", 100), ("idle", 7)] {
        let renew_at = Some(START.plus(Duration::from_secs(seconds)));
        store.put(&key(name), NewTokens { renew_at, ..tokens("a", Some("r")) }).await.unwrap();
    }
    ground.advance(Duration::from_secs(30)).await;
    store.claim(&key("led"), 1, &claimant("other")).await.unwrap();
    store.claim(&key("waiting"), 1, &claimant("other")).await.unwrap();
    store.postpone(&key("waiting"), 1, "other", Duration::from_secs(5), false).await.unwrap();
    let used = ["second", "first", "led", "waiting", "later"].map(|name| (key(name), START.plus(HOLD)));
    store.touch(used.into()).await.unwrap();
    let idle = Duration::from_secs(25);
    let due = store.due(&bank, idle, 10).await.unwrap();
    assert_eq!(due.grants, [(key("first"), 1), (key("second"), 1)]);
    assert_eq!(due.next, Some(Duration::from_secs(70)));
    assert_eq!(store.due(&bank, idle, 1).await.unwrap().grants, [(key("first"), 1)]);
    assert_eq!(store.load(&key("idle")).await.unwrap().unwrap().facts.renew_at, None);
}

pub async fn no_change_is_missed_while_many_write_at_once(ground: &impl Ground) {
    let (reader, bank) = (ground.open().await, key("default").bank);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let store = ground.open().await;
        writers.spawn(async move {
            for number in 0..25 {
                store.put(&key(&format!("grant-{writer}-{number}")), tokens("a", None)).await.unwrap();
            }
        });
    }
    let (mut mark, mut seen) = (Some(0), std::collections::BTreeSet::new());
    loop {
        let over = writers.is_empty();
        let (next, changed) = reader.changes(&bank, mark).await.unwrap();
        seen.extend(changed.into_iter().map(|key| key.grant.to_string()));
        mark = Some(next);
        if over {
            break;
        }
        while writers.try_join_next().is_some_and(|written| written.is_ok()) {}
    }
    assert_eq!(seen.len(), 100);
}

pub async fn consents_come_in_the_order_of_their_age(ground: &impl Ground) {
    let store = ground.open().await;
    for name in ["first", "second", "third"] {
        store.put(&key(name), tokens("a", Some("r"))).await.unwrap();
        ground.advance(HOLD).await;
    }
    let bank = key("first").bank;
    let consents = store.consents(&bank, START.plus(HOLD * 2), 10).await.unwrap();
    assert_eq!(consents, [(key("first"), START), (key("second"), START.plus(HOLD))]);
    assert_eq!(store.consents(&bank, START.plus(HOLD * 3), 1).await.unwrap(), [(key("first"), START)]);
}

pub async fn grants_are_counted_by_how_they_stand(ground: &impl Ground) {
    let store = ground.open().await;
    let bank = key("first").bank;
    assert!(store.tally(&bank).await.unwrap().is_empty());
    let lasting =
        |seconds| NewTokens { expires_at: Some(START.plus(Duration::from_secs(seconds))), ..tokens("a", Some("r")) };
    for (name, seconds) in [("first", 100), ("second", 100), ("ended", 1), ("led", 100), ("sent", 100), ("gone", 100)] {
        store.put(&key(name), lasting(seconds)).await.unwrap();
    }
    store.put(&key("over"), lasting(100)).await.unwrap();
    store.end(&key("over"), 1, Some(START)).await.unwrap();
    store.remove(&key("gone"), 1).await.unwrap();
    store.claim(&key("sent"), 1, &claimant("one")).await.unwrap();
    store.postpone(&key("sent"), 1, "one", Duration::from_secs(1), true).await.unwrap();
    ground.advance(Duration::from_secs(2)).await;
    store.claim(&key("led"), 1, &claimant("one")).await.unwrap();
    let mut tallies = store.tally(&bank).await.unwrap();
    tallies.sort_by_key(|tally| (tally.standing == Standing::Over, tally.leased, tally.sent, tally.expired));
    let told: Vec<_> = tallies.iter().map(|tally| (tally.leased, tally.sent, tally.expired, tally.count)).collect();
    let alive = [(false, false, false, 2), (false, false, true, 1), (false, true, false, 1), (true, true, false, 1)];
    assert_eq!(told[..4], alive, "{tallies:?}");
    assert_eq!((tallies[4].standing, tallies[4].count, tallies.len()), (Standing::Over, 1, 5));
    assert!(tallies.iter().take(4).all(|tally| tally.first_consent == Some(START)), "{tallies:?}");
    // Each says of its grants what the list says.
    let listed = store.list(&bank).await.unwrap();
    assert_eq!(listed.len() as u64, tallies.iter().map(|tally| tally.count).sum::<u64>());
    assert!(store.tally(&"otherbank".parse().unwrap()).await.unwrap().is_empty());
}

pub async fn a_name_or_standing_that_is_not_understood_costs_no_other_grant(ground: &impl Ground) {
    let store = ground.open().await;
    let bank = key("good").bank;
    for name in ["good", "odd", "paused"] {
        store.put(&key(name), tokens("a", Some("r"))).await.unwrap();
    }
    ground.update("name = 'not a name!' WHERE name = 'odd'").await;
    ground.update("standing = 'paused' WHERE name = 'paused'").await;
    ground.advance(Duration::from_mins(10)).await;
    assert_eq!(store.due(&bank, Duration::from_hours(1), 10).await.unwrap().grants, [(key("good"), 1)]);
    assert_eq!(store.changes(&bank, Some(0)).await.unwrap().1, [key("good"), key("paused")]);
    assert_eq!(store.consents(&bank, START.plus(HOLD), 10).await.unwrap(), [(key("good"), START)]);
    let listed: Vec<_> = store.list(&bank).await.unwrap().into_iter().map(|facts| facts.key).collect();
    assert_eq!(listed, [key("good")]);
    let tallies = store.tally(&bank).await.unwrap();
    assert!(tallies.iter().all(|tally| tally.standing == Standing::Active), "{tallies:?}");
    assert!(store.load(&key("paused")).await.is_err(), "it is not said that there is no consent");
    assert!(store.claim(&key("paused"), 1, &claimant("one")).await.is_err());
    assert!(store.load(&key("good")).await.unwrap().is_some());
}
