//! The replacement of keys, and consents by their age.

use super::*;

/// Goes through the whole store in steps; how many values were sealed anew.
async fn reseal_all(store: &Sqlite, limit: usize) -> usize {
    let (mut after, mut resealed) = (None, 0);
    loop {
        let step = store.reseal(after.as_ref(), limit).await.unwrap();
        resealed += step.resealed;
        after = step.last;
        if after.is_none() {
            return resealed;
        }
    }
}

async fn filled(file: &File) {
    let store = file.open_with(given(&[1])).unwrap();
    for grant in ["a", "b", "c", "d"] {
        store.put(&key(grant), tokens("access", Some("refresh"))).await.unwrap();
    }
    store.put(&key("no-refresh"), tokens("access", None)).await.unwrap();
    let client = RegisteredClient { client_id: "id".into(), client_secret: Some("s".into()), registered_at: START };
    store.put_client(&key("a").bank, client).await.unwrap();
    store.put_attempt(attempt("state"), HOLD).await.unwrap();
}

#[tokio::test]
async fn everything_is_sealed_anew_in_steps_and_then_opens_under_the_new_key_alone() {
    let file = File::new();
    filled(&file).await;
    let store = file.open_with(given(&[2, 1])).unwrap();
    let before = store.retire_keys().await.unwrap();
    assert_eq!((before.values, before.others.len(), before.others[0].1), (0, 1, 11));
    assert_eq!(reseal_all(&store, 2).await, 11);
    assert_eq!(reseal_all(&store, 2).await, 0, "what is under the new key stays as it is");
    assert!(file.open_with(given(&[2])).is_err(), "the old key is not retired yet");
    let after = store.retire_keys().await.unwrap();
    assert_eq!((after.values, after.others), (11, Vec::new()));
    drop(store);
    let store = file.open_with(given(&[2])).unwrap();
    assert!(store.load(&key("d")).await.unwrap().unwrap().refresh.unwrap().matches(b"refresh"));
    assert!(store.clients(&key("a").bank).await.unwrap()[0].client_secret.as_ref().unwrap().matches(b"s"));
    assert!(store.take_attempt(&key("a").bank, "state", 1).await.unwrap().is_some());
    assert!(matches!(file.open_with(given(&[1])), Err(StoreError::WrongKey { .. })));
}

#[tokio::test]
async fn a_replacement_that_was_interrupted_goes_on_where_it_was() {
    let file = File::new();
    filled(&file).await;
    let store = file.open_with(given(&[2, 1])).unwrap();
    let first = store.reseal(None, 2).await.unwrap();
    assert_eq!((first.looked_at, first.resealed), (2, 6), "the client, the login and two grants");
    drop(store);
    let store = file.open_with(given(&[2, 1])).unwrap();
    assert_eq!(store.retire_keys().await.unwrap().others[0].1, 5);
    assert_eq!(reseal_all(&store, 100).await, 5);
}

#[tokio::test]
async fn a_process_that_still_seals_under_a_retired_key_brings_it_back() {
    let file = File::new();
    filled(&file).await;
    let (old_first, new_first) = (file.open_with(given(&[1, 2])).unwrap(), file.open_with(given(&[2, 1])).unwrap());
    reseal_all(&new_first, 100).await;
    assert!(new_first.retire_keys().await.unwrap().others.is_empty());
    old_first.put(&key("a"), tokens("later", None)).await.unwrap();
    assert!(new_first.load(&key("a")).await.unwrap().unwrap().access.unwrap().matches(b"later"));
    assert!(file.open_with(given(&[2])).is_err(), "a wrong key is a problem at the start and never a broken row");
    assert_eq!(reseal_all(&new_first, 100).await, 1);
}

#[tokio::test]
async fn a_value_that_does_not_open_keeps_its_key_and_nothing_else() {
    let file = File::new();
    filled(&file).await;
    let store = file.open_with(given(&[2, 1])).unwrap();
    let damage = "UPDATE grants SET access = substr(access, 1, 40) WHERE name = 'b'";
    store.connection.lock().await.execute(damage, []).unwrap();
    assert_eq!(reseal_all(&store, 2).await, 10);
    assert_eq!(store.retire_keys().await.unwrap().others[0].1, 1);
}

#[tokio::test]
async fn consents_are_found_by_their_age_the_earliest_first() {
    let file = File::new();
    let store = file.open();
    for grant in ["third", "second", "first"] {
        store.put(&key(grant), tokens("access", None)).await.unwrap();
        file.hand.advance(Duration::from_hours(1));
    }
    let names = |consents: Vec<(GrantKey, Timestamp)>| -> Vec<String> {
        consents.into_iter().map(|(key, _)| key.grant.to_string()).collect()
    };
    let bank = key("x").bank;
    let before = |hours| START.plus(Duration::from_hours(hours));
    assert_eq!(names(store.consents(&bank, before(2), 9).await.unwrap()), ["third", "second"]);
    assert_eq!(names(store.consents(&bank, before(9), 1).await.unwrap()), ["third"]);
    store.end(&key("third"), 1, Some(START)).await.unwrap();
    store.remove(&key("second"), 1).await.unwrap();
    assert_eq!(
        names(store.consents(&bank, before(9), 9).await.unwrap()),
        ["first"],
        "what is over needs no foretelling"
    );
}
