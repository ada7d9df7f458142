//! Rules of the store, with several handles on one file as several processes have them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::config::{Place, StoreKey, StoreUrl};
use crate::store::Standing;
use crate::words::{ManualClock, Secret};

const START: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const HOLD: Duration = Duration::from_secs(10);

struct File {
    directory: TempDir,
    clock: Clock,
    hand: ManualClock,
}

impl File {
    fn new() -> Self {
        let (clock, hand) = Clock::manual(START);
        Self { directory: tempfile::tempdir().unwrap(), clock, hand }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("bankside.db")
    }

    fn open_with(&self, key: StoreKey) -> Result<Arc<Sqlite>, StoreError> {
        let place = Place { file: Arc::new("bankside.toml".into()), line: 1, key: "store".into() };
        let settings = config::Store { place, url: StoreUrl::Sqlite(self.path()), key };
        Sqlite::open(&settings, self.clock.clone(), &Random::system())
    }

    fn open(&self) -> Arc<Sqlite> {
        self.open_with(given(&[7])).unwrap()
    }
}

fn given(keys: &[u8]) -> StoreKey {
    StoreKey::Given(keys.iter().map(|&byte| Secret::new([byte; 32])).collect())
}

fn key(grant: &str) -> GrantKey {
    GrantKey { bank: "examplebank".parse().unwrap(), grant: grant.parse().unwrap() }
}

fn tokens(access: &str, refresh: Option<&str>) -> NewTokens {
    NewTokens {
        access: Some(access.into()),
        refresh: refresh.map(Into::into),
        scopes: Some(vec!["AIS: 7".into()]),
        issued_at: START,
        expires_at: Some(START.plus(Duration::from_secs(300))),
        renew_at: Some(START.plus(Duration::from_secs(240))),
        certificate: Some("fingerprint".into()),
    }
}

fn claimant(holder: &str) -> Claimant {
    Claimant { holder: holder.into(), hold: HOLD, create: false, despite_wait: false }
}

fn attempt(state_hash: &str) -> Attempt {
    Attempt {
        bank: "examplebank".parse().unwrap(),
        grant: "default".parse().unwrap(),
        state_hash: state_hash.into(),
        verifier: Some("the-verifier".into()),
        session: Some("the-session".into()),
        client_id: "xxxx1234".into(),
        redirect_uri: "https://redirect.website/callback".into(),
        scopes: vec!["ais".into()],
    }
}

#[tokio::test]
async fn a_grant_comes_back_as_it_was_put_from_another_process_too() {
    let file = File::new();
    file.open().put(&key("default"), tokens("the-access", Some("the-refresh"))).await.unwrap();
    let grant = file.open().load(&key("default")).await.unwrap().unwrap();
    assert!(grant.access.unwrap().matches(b"the-access") && grant.refresh.unwrap().matches(b"the-refresh"));
    assert_eq!((grant.facts.version, grant.facts.standing), (1, Standing::Active));
    assert_eq!(grant.facts.scopes, ["AIS: 7"]);
    assert_eq!(grant.facts.consent_at, Some(START));
    assert_eq!(grant.facts.certificate.as_deref(), Some("fingerprint"));
    assert!(file.open().load(&key("other")).await.unwrap().is_none());
}

#[tokio::test]
async fn of_two_processes_one_leads_and_the_other_is_told_for_how_long() {
    let file = File::new();
    let (one, two) = (file.open(), file.open());
    one.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    let Claim::Led(grant) = one.claim(&key("default"), 1, &claimant("one")).await.unwrap() else { panic!() };
    assert!(grant.facts.sent_at.is_none());
    file.hand.advance(Duration::from_secs(4));
    let held = two.claim(&key("default"), 1, &claimant("two")).await.unwrap();
    assert!(matches!(held, Claim::Held { remaining } if remaining == Duration::from_secs(6)), "{held:?}");
    assert!(two.list(&key("default").bank).await.unwrap()[0].leased);
}

#[tokio::test]
async fn of_many_who_claim_at_once_exactly_one_leads() {
    let file = File::new();
    file.open().put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    let mut claims = tokio::task::JoinSet::new();
    for number in 0..16 {
        let store = file.open();
        claims.spawn(async move { store.claim(&key("default"), 1, &claimant(&number.to_string())).await.unwrap() });
    }
    let claims = claims.join_all().await;
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Led(_))).count(), 1);
}

#[tokio::test]
async fn a_lease_ends_by_itself_unless_it_is_extended_and_leaves_the_intent() {
    let file = File::new();
    let store = file.open();
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    file.hand.advance(Duration::from_secs(9));
    assert!(store.extend(&key("default"), 1, &claimant("one")).await.unwrap());
    file.hand.advance(Duration::from_secs(9));
    assert!(matches!(store.claim(&key("default"), 1, &claimant("two")).await.unwrap(), Claim::Held { .. }));
    file.hand.advance(Duration::from_secs(1));
    let Claim::Led(grant) = store.claim(&key("default"), 1, &claimant("two")).await.unwrap() else { panic!() };
    assert_eq!(grant.facts.sent_at, Some(START));
    assert!(!store.extend(&key("default"), 1, &claimant("one")).await.unwrap());
}

#[tokio::test]
async fn an_answer_counts_although_its_lease_was_lost() {
    let file = File::new();
    let store = file.open();
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("slow")).await.unwrap();
    file.hand.advance(Duration::from_secs(60));
    store.claim(&key("default"), 1, &claimant("second")).await.unwrap();
    // The second one asks with a spent token, and hears that it is over before the first one has stored its answer.
    assert!(matches!(store.end(&key("default"), 1).await.unwrap(), Settled::Stored(_)));
    let settled = store.complete(&key("default"), 1, tokens("new", None)).await.unwrap();
    let Settled::Stored(grant) = settled else { panic!("{settled:?}") };
    assert_eq!((grant.facts.version, grant.facts.standing), (2, Standing::Active));
    assert!(grant.refresh.unwrap().matches(b"r"), "an answer without a refresh token keeps the old one");
    assert!(grant.facts.sent_at.is_none() && !grant.facts.leased);
}

#[tokio::test]
async fn what_is_newer_is_never_overwritten_by_an_older_renewal() {
    let file = File::new();
    let store = file.open();
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    store.put(&key("default"), tokens("by a person", Some("r2"))).await.unwrap();
    for settled in [
        store.complete(&key("default"), 1, tokens("late", Some("late"))).await.unwrap(),
        store.end(&key("default"), 1).await.unwrap(),
    ] {
        let Settled::Newer(grant) = settled else { panic!("{settled:?}") };
        assert_eq!((grant.facts.version, grant.facts.standing), (2, Standing::Active));
        assert!(grant.access.unwrap().matches(b"by a person"));
    }
    store.postpone(&key("default"), 1, "one", Duration::from_secs(5), true).await.unwrap();
    assert!(matches!(store.claim(&key("default"), 2, &claimant("one")).await.unwrap(), Claim::Led(_)));
    assert!(matches!(store.claim(&key("default"), 1, &claimant("one")).await.unwrap(), Claim::Newer(_)));
}

#[tokio::test]
async fn after_a_failure_nobody_leads_before_the_wait_is_over_but_who_must() {
    let file = File::new();
    let store = file.open();
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

#[tokio::test]
async fn a_wait_or_lease_from_a_clock_that_was_wrong_does_not_lock_a_grant() {
    let file = File::new();
    let store = file.open();
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    let far = Claimant { hold: Duration::from_secs(86_400), ..claimant("from the future") };
    store.claim(&key("default"), 1, &far).await.unwrap();
    assert!(matches!(store.claim(&key("default"), 1, &claimant("two")).await.unwrap(), Claim::Led(_)));
}

#[tokio::test]
async fn a_removed_grant_is_gone_for_good_and_its_versions_go_on() {
    let file = File::new();
    let store = file.open();
    store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    store.claim(&key("default"), 1, &claimant("one")).await.unwrap();
    assert!(store.remove(&key("default")).await.unwrap());
    assert!(!store.remove(&key("default")).await.unwrap());
    assert!(store.load(&key("default")).await.unwrap().is_none());
    assert!(store.list(&key("default").bank).await.unwrap().is_empty());
    assert!(matches!(store.complete(&key("default"), 1, tokens("late", None)).await.unwrap(), Settled::Missing));
    assert!(matches!(store.claim(&key("default"), 2, &claimant("one")).await.unwrap(), Claim::Missing));
    assert_eq!(store.put(&key("default"), tokens("b", None)).await.unwrap().facts.version, 3);
}

#[tokio::test]
async fn a_grant_that_needs_no_person_is_made_by_its_first_claim() {
    let file = File::new();
    let store = file.open();
    let maker = Claimant { create: true, ..claimant("one") };
    assert!(matches!(store.claim(&key("default"), 0, &maker).await.unwrap(), Claim::Led(_)));
    let rival = Claimant { create: true, ..claimant("two") };
    assert!(matches!(store.claim(&key("default"), 0, &rival).await.unwrap(), Claim::Held { .. }));
    store.complete(&key("default"), 0, tokens("a", None)).await.unwrap();
    store.remove(&key("default")).await.unwrap();
    let Claim::Led(grant) = store.claim(&key("default"), 0, &maker).await.unwrap() else { panic!() };
    assert_eq!((grant.facts.version, grant.facts.standing), (2, Standing::Empty));
}

#[tokio::test]
async fn changes_of_other_processes_are_seen_once() {
    let file = File::new();
    let (one, two) = (file.open(), file.open());
    let bank = key("default").bank;
    let (mark, none) = one.changes(&bank, None).await.unwrap();
    assert!(none.is_empty());
    two.put(&key("default"), tokens("a", None)).await.unwrap();
    two.put(&key("pisp"), tokens("b", None)).await.unwrap();
    let (mark, changed) = one.changes(&bank, Some(mark)).await.unwrap();
    assert_eq!(changed, [key("default"), key("pisp")]);
    two.claim(&key("pisp"), 1, &claimant("two")).await.unwrap();
    assert!(one.changes(&bank, Some(mark)).await.unwrap().1.is_empty());
    two.remove(&key("default")).await.unwrap();
    assert_eq!(one.changes(&bank, Some(mark)).await.unwrap().1, [key("default")]);
    assert!(one.changes(&"otherbank".parse().unwrap(), Some(mark)).await.unwrap().1.is_empty());
}

#[tokio::test]
async fn what_is_due_is_found_in_its_order_and_what_is_idle_led_or_waiting_is_not() {
    let file = File::new();
    let store = file.open();
    let bank = key("default").bank;
    for (name, seconds) in [("second", 20), ("first", 10), ("led", 5), ("waiting", 6), ("later", 100), ("idle", 7)] {
        let renew_at = Some(START.plus(Duration::from_secs(seconds)));
        store.put(&key(name), NewTokens { renew_at, ..tokens("a", Some("r")) }).await.unwrap();
    }
    file.hand.advance(Duration::from_secs(30));
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

#[tokio::test]
async fn a_login_attempt_is_taken_by_exactly_one_and_only_while_it_lasts() {
    let file = File::new();
    let store = file.open();
    store.put_attempt(attempt("aa"), Duration::from_secs(600)).await.unwrap();
    store.put_attempt(attempt("bb"), Duration::from_secs(600)).await.unwrap();
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
    file.hand.advance(Duration::from_secs(600));
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

#[tokio::test]
async fn a_row_that_was_moved_or_set_back_does_not_open() {
    let file = File::new();
    let store = file.open();
    store.put(&key("default"), tokens("a", None)).await.unwrap();
    store.put(&key("pisp"), tokens("b", None)).await.unwrap();
    let raw = Connection::open(file.path()).unwrap();
    raw.execute(
        "UPDATE grants SET access = (SELECT access FROM grants WHERE name = 'pisp') WHERE name = 'default'",
        [],
    )
    .unwrap();
    raw.execute("UPDATE grants SET version = 2 WHERE name = 'pisp'", []).unwrap();
    for name in ["default", "pisp"] {
        assert!(matches!(store.load(&key(name)).await, Err(StoreError::Damaged { what: "access" })));
        assert!(store.claim(&key(name), if name == "pisp" { 2 } else { 1 }, &claimant("one")).await.is_err());
    }
    let left: i64 =
        raw.query_row("SELECT count(*) FROM grants WHERE sent_at IS NOT NULL", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "no intent is written for what cannot be sent");
}

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
        openers.into_iter().for_each(|opener| drop(opener.join().unwrap().unwrap()));
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
