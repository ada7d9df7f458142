//! Clients and login attempts, and what nobody must find in the files.

use super::*;

pub async fn a_login_attempt_is_taken_by_exactly_one_and_only_while_it_lasts(ground: &impl Ground) {
    let store = ground.open().await;
    store.put_attempt(attempt("aa"), Duration::from_mins(10)).await.unwrap();
    store.put_attempt(attempt("bb"), Duration::from_mins(10)).await.unwrap();
    let bank = attempt("aa").bank;
    assert_eq!(store.bank_of_attempt("aa").await.unwrap(), Some(bank.clone()));
    for _ in 0..2 {
        assert_eq!(store.attempt(&bank, "aa").await.unwrap().expect("it stays").grant, attempt("aa").grant);
    }
    assert!(store.attempt(&"otherbank".parse().unwrap(), "aa").await.unwrap().is_none());
    assert!(store.take_attempt(&"otherbank".parse().unwrap(), "aa", 0).await.unwrap().is_none());
    let mut takers = tokio::task::JoinSet::new();
    for taker in 0..8 {
        let (store, bank) = (ground.open().await, bank.clone());
        takers.spawn(async move { Some((taker, store.take_attempt(&bank, "aa", taker).await.unwrap()?)) });
    }
    let taken: Vec<_> = takers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    assert!(taken[0].1.verifier.as_ref().unwrap().matches(b"the-verifier"));
    assert!(taken[0].1.session.as_ref().unwrap().matches(b"the-session"));
    assert!(store.attempt(&bank, "aa").await.unwrap().is_none());
    assert!(store.bank_of_attempt("aa").await.unwrap().is_none());
    for taker in 0..8 {
        let again = store.take_attempt(&bank, "aa", taker).await.unwrap();
        assert_eq!(again.is_some(), taker == taken[0].0, "its answer may have been lost");
    }
    ground.advance(Duration::from_mins(10)).await;
    assert!(store.attempt(&bank, "aa").await.unwrap().is_none());
    assert!(store.attempt(&bank, "bb").await.unwrap().is_none());
    assert!(store.take_attempt(&bank, "bb", 1).await.unwrap().is_none());
    assert!(store.bank_of_attempt("bb").await.unwrap().is_none());
}

pub async fn several_clients_are_kept_and_the_last_one_is_last(ground: &impl Ground) {
    let (store, bank) = (ground.open().await, key("default").bank);
    let client = |id: &str, secret: &str, at: u64| RegisteredClient {
        client_id: id.into(),
        client_secret: Some(secret.into()),
        registered_at: START.plus(Duration::from_secs(at)),
    };
    for (id, secret, at) in [("one", "s1", 1), ("two", "s2", 2), ("one", "renewed", 3)] {
        store.put_client(&bank, client(id, secret, at)).await.unwrap();
    }
    let clients = ground.open().await.clients(&bank).await.unwrap();
    assert_eq!(clients.iter().map(|client| &*client.client_id).collect::<Vec<_>>(), ["two", "one"]);
    assert!(clients[1].client_secret.as_ref().unwrap().matches(b"renewed"));
    assert!(store.remove_client(&bank, "one").await.unwrap());
    assert!(!store.remove_client(&bank, "one").await.unwrap());
    assert_eq!(store.clients(&bank).await.unwrap().len(), 1);
}

pub async fn the_client_that_was_registered_last_is_last_whatever_clock_it_had(ground: &impl Ground) {
    let (store, bank) = (ground.open().await, key("default").bank);
    let client = |id: &str, at: u64| RegisteredClient {
        client_id: id.into(),
        client_secret: None,
        registered_at: START.plus(Duration::from_secs(at)),
    };
    for (id, at) in [("b", 100), ("c", 10), ("a", 10), ("b", 5), ("other", 5)] {
        let bank = if id == "other" { "otherbank".parse().unwrap() } else { bank.clone() };
        store.put_client(&bank, client(id, at)).await.unwrap();
        assert_eq!(store.clients(&bank).await.unwrap().last().unwrap().client_id, id);
    }
    let other = store.clients(&"otherbank".parse().unwrap()).await.unwrap();
    assert_eq!(other[0].registered_at, START.plus(Duration::from_secs(5)), "each bank has its own order");
}

pub async fn a_client_takes_the_place_of_the_very_one_that_was_looked_at(ground: &impl Ground) {
    let (store, bank) = (ground.open().await, key("default").bank);
    let client = |secret: &str| RegisteredClient {
        client_id: "id".into(),
        client_secret: Some(secret.into()),
        registered_at: START,
    };
    let replace = async |secret, former| store.replace_client(&bank, client(secret), former).await.unwrap();
    let stands = async || store.clients(&bank).await.unwrap().pop().map(|client| client.registered_at);
    assert!(!replace("s0", Some(START)).await, "nothing stands");
    assert_eq!(stands().await, None);
    assert!(replace("s1", None).await);
    let first = stands().await;
    assert!(!replace("s2", None).await && first.is_some(), "something stands by now");
    assert!(replace("s3", first).await && stands().await > first);
    assert!(!replace("s4", first).await, "another one took its place in the same moment");
    let second = stands().await;
    store.put_client(&bank, client("s5")).await.unwrap();
    assert!(!replace("s6", second).await);
    assert!(store.clients(&bank).await.unwrap()[0].client_secret.as_ref().unwrap().matches(b"s5"));
}

pub async fn what_is_sealed_anew_opens_without_the_old_key_and_an_old_process_notes_its_key_again(
    ground: &impl Ground,
) {
    let (old, names) = (ground.open().await, ["a", "b", "c", "d", "e"]);
    for name in names {
        old.put(&key(name), tokens("the-access", Some("the-refresh"))).await.unwrap();
    }
    let client_secret = Some("secret".into());
    let client = RegisteredClient { client_id: "id".into(), client_secret, registered_at: START };
    old.put_client(&key("a").bank, client).await.unwrap();
    old.put_attempt(attempt("aa"), Duration::from_mins(10)).await.unwrap();
    assert!(matches!(ground.open_with(&[8]).await.err(), Some(StoreError::WrongKey { .. })));
    let both = ground.open_with(&[8, 7]).await.unwrap();
    assert_eq!(both.retire_keys().await.unwrap().others.len(), 1, "the old key is in use");
    let (mut after, mut resealed, mut steps) = (None, 0, 0);
    loop {
        let step = both.reseal(after.as_ref(), 2).await.unwrap();
        (resealed, steps) = (resealed + step.resealed, steps + 1);
        after = step.last;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((resealed, steps), (2 * names.len() + 2, 3));
    assert_eq!(both.reseal(None, 100).await.unwrap().resealed, 0, "nothing is left to be done");
    let in_use = both.retire_keys().await.unwrap();
    assert_eq!((in_use.values, in_use.others.len()), (2 * names.len() + 2, 0));
    let new = ground.open_with(&[8]).await.unwrap();
    let grant = new.load(&key("c")).await.unwrap().unwrap();
    assert!(grant.access.unwrap().matches(b"the-access") && grant.refresh.unwrap().matches(b"the-refresh"));
    assert!(new.clients(&key("a").bank).await.unwrap()[0].client_secret.as_ref().unwrap().matches(b"secret"));
    assert!(new.take_attempt(&key("a").bank, "aa", 1).await.unwrap().is_some());
    // A process that still runs with the old key seals under it: who opens the store without that key is told.
    old.put(&key("f"), tokens("late", None)).await.unwrap();
    assert!(matches!(ground.open_with(&[8]).await.err(), Some(StoreError::WrongKey { .. })));
}
