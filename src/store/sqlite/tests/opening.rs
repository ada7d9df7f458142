//! Opening: keys, modes, versions, races.

use super::*;

#[test]
fn a_wrong_key_is_one_clear_error_when_the_store_is_opened() {
    let file = File::new();
    file.open();
    let error = file.open_with(given(&[8])).unwrap_err();
    assert!(error.to_string().contains("store.key"), "{error}");
    assert!(matches!(error, StoreError::WrongKey { .. }));
    assert!(matches!(file.open_with(StoreKey::Given([].into())), Err(StoreError::BadKey)));
    file.open_with(given(&[8, 7])).unwrap();
    assert!(matches!(file.open_with(given(&[7])), Err(StoreError::WrongKey { .. })), "the first key seals by now");
}

#[test]
fn a_key_that_was_lost_is_not_replaced_by_a_fresh_one() {
    let file = File::new();
    let key = file.directory.path().join("bankside.key");
    file.open_with(StoreKey::Make(key.clone())).unwrap();
    file.open_with(StoreKey::Make(key.clone())).unwrap();
    fs::remove_file(&key).unwrap();
    assert!(matches!(file.open_with(StoreKey::Make(key.clone())), Err(StoreError::WrongKey { .. })));
    assert!(!key.exists());
}

#[test]
fn processes_that_open_a_store_for_the_first_time_at_once_all_succeed_with_one_key() {
    let file = File::new();
    let key = file.directory.path().join("bankside.key");
    std::thread::scope(|scope| {
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(|| file.open_with(StoreKey::Make(key.clone())))).collect();
        for opener in openers {
            drop(opener.join().unwrap().unwrap());
        }
    });
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(file.path()), mode(key)), (0o600, 0o600));
}

#[test]
fn a_file_that_others_may_read_is_closed_to_them() {
    let file = File::new();
    file.open();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
    file.open();
    assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn commits_are_synced_to_the_disk() {
    let store = File::new().open();
    let connection = store.connection.lock().await;
    let pragma = |name| {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| {
            row.get::<_, String>(0).or_else(|_| Ok(row.get::<_, i64>(0)?.to_string()))
        })
    };
    assert_eq!(pragma("journal_mode").unwrap(), "wal");
    assert_eq!(pragma("synchronous").unwrap(), "2");
}

#[test]
fn a_database_of_a_later_release_or_none_at_all_is_refused() {
    let file = File::new();
    file.open();
    Connection::open(file.path()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(file.open_with(given(&[7])), Err(StoreError::NewerSchema { found: 99, .. })));
    let other = File::new();
    fs::write(other.path(), "this is no database, and it is long enough to be seen as none").unwrap();
    assert!(matches!(other.open_with(given(&[7])), Err(StoreError::Database(_))));
    let nowhere = File { directory: tempfile::tempdir().unwrap(), ..File::new() };
    fs::remove_dir(nowhere.directory.path()).unwrap();
    assert!(matches!(nowhere.open_with(given(&[7])), Err(StoreError::File { .. })));
}

#[test]
fn a_look_finds_a_key_that_does_not_fit_and_makes_and_changes_nothing() {
    let file = File::new();
    let names = || {
        let names = fs::read_dir(file.directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let look = |keys: &[u8]| Sqlite::look(&file.settings(given(keys)));
    look(&[7]).expect("there is no store yet");
    assert!(names().is_empty());
    let fits = |others: usize| {
        let before = names();
        assert_eq!(before.len(), 1 + others);
        look(&[7]).unwrap();
        look(&[8, 7]).unwrap();
        assert!(matches!(look(&[8]), Err(StoreError::WrongKey { .. })));
        let lost = StoreKey::Make(file.directory.path().join("bankside.key"));
        assert!(matches!(Sqlite::look(&file.settings(lost)), Err(StoreError::WrongKey { .. })));
        assert_eq!(names(), before);
    };
    let store = file.open();
    fits(2);
    drop(store);
    fits(0);
    Connection::open(file.path()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(look(&[7]), Err(StoreError::NewerSchema { found: 99, .. })));
    fs::write(file.path(), "this is no database, and it is long enough to be seen as none").unwrap();
    assert!(matches!(look(&[7]), Err(StoreError::Database(_))));
}

#[tokio::test]
async fn a_look_at_a_store_behind_a_link_sees_what_others_have_just_changed() {
    let (file, link) = (File::new(), File::new());
    drop(file.open_with(given(&[7])));
    std::os::unix::fs::symlink(file.path(), link.path()).unwrap();
    let store = link.open_with(given(&[8, 7])).unwrap();
    store.retire_keys().await.unwrap();
    let look = |keys: &[u8]| Sqlite::look(&link.settings(given(keys)));
    look(&[8]).unwrap();
    assert!(matches!(look(&[7]), Err(StoreError::WrongKey { .. })));
}

#[tokio::test]
async fn a_look_claims_nothing_of_a_log_that_it_cannot_read_without_making_a_file() {
    let (file, copy) = (File::new(), File::new());
    drop(file.open_with(given(&[7])));
    let store = file.open_with(given(&[8, 7])).unwrap();
    store.retire_keys().await.unwrap();
    for name in ["bankside.db", "bankside.db-wal"] {
        fs::copy(file.directory.path().join(name), copy.directory.path().join(name)).unwrap();
    }
    for keys in [&[8][..], &[7]] {
        Sqlite::look(&copy.settings(given(keys))).unwrap();
    }
    assert_eq!(fs::read_dir(copy.directory.path()).unwrap().count(), 2);
    assert!(matches!(copy.open_with(given(&[7])), Err(StoreError::WrongKey { .. })), "who opens it does read it");
}
