//! Clients and login attempts, and what nobody must find in the files.

use super::*;

#[tokio::test]
async fn a_login_attempt_is_taken_by_exactly_one_and_only_while_it_lasts() {
    let file = File::new();
    let store = file.open();
    store.put_attempt(attempt("aa"), Duration::from_mins(10)).await.unwrap();
    store.put_attempt(attempt("bb"), Duration::from_mins(10)).await.unwrap();
    let bank = attempt("aa").bank;
    assert_eq!(store.bank_of_attempt("aa").await.unwrap(), Some(bank.clone()));
    assert!(store.take_attempt(&"otherbank".parse().unwrap(), "aa").await.unwrap().is_none());
    let mut takers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, bank) = (file.open(), bank.clone());
        takers.spawn(async move { store.take_attempt(&bank, "aa").await.unwrap() });
    }
    let taken: Vec<_> = takers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    assert!(taken[0].verifier.as_ref().unwrap().matches(b"the-verifier"));
    assert!(taken[0].session.as_ref().unwrap().matches(b"the-session"));
    file.hand.advance(Duration::from_mins(10));
    assert!(store.take_attempt(&bank, "bb").await.unwrap().is_none());
    assert!(store.bank_of_attempt("bb").await.unwrap().is_none());
}

#[tokio::test]
async fn several_clients_are_kept_and_the_last_one_is_last() {
    let file = File::new();
    let (store, bank) = (file.open(), key("default").bank);
    let client = |id: &str, secret: &str, at: u64| RegisteredClient {
        client_id: id.into(),
        client_secret: Some(secret.into()),
        registered_at: START.plus(Duration::from_secs(at)),
    };
    for (id, secret, at) in [("one", "s1", 1), ("two", "s2", 2), ("one", "renewed", 3)] {
        store.put_client(&bank, client(id, secret, at)).await.unwrap();
    }
    let clients = file.open().clients(&bank).await.unwrap();
    assert_eq!(clients.iter().map(|client| &*client.client_id).collect::<Vec<_>>(), ["two", "one"]);
    assert!(clients[1].client_secret.as_ref().unwrap().matches(b"renewed"));
    assert!(store.remove_client(&bank, "one").await.unwrap());
    assert!(!store.remove_client(&bank, "one").await.unwrap());
    assert_eq!(store.clients(&bank).await.unwrap().len(), 1);
}

#[tokio::test]
async fn no_file_of_the_store_holds_a_secret_in_clear_or_in_base64() {
    let file = File::new();
    let store = file.open();
    let secrets = ["the-access-token", "the-refresh-token", "the-verifier", "the-session", "the-client-secret"];
    store.put(&key("default"), tokens(secrets[0], Some(secrets[1]))).await.unwrap();
    store.put_attempt(attempt("aa"), HOLD).await.unwrap();
    let client_secret = Some(secrets[4].into());
    let client = RegisteredClient { client_id: "id".into(), client_secret, registered_at: START };
    store.put_client(&key("default").bank, client).await.unwrap();
    let mut read = 0;
    for entry in fs::read_dir(file.directory.path()).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap();
        read += content.len();
        for secret in secrets {
            let base64 = STANDARD.encode(secret);
            for text in [secret, &base64[..base64.len() - 4]] {
                assert!(!content.windows(text.len()).any(|part| part == text.as_bytes()), "{secret}");
            }
        }
    }
    assert!(read > 4096, "there were files to look at");
}
