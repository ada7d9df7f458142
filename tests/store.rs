//! The rules of the store, which hold in every database: each is a function, run over SQLite and over a real PostgreSQL.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test fails by panicking; its rooms are private"
)]

#[cfg(feature = "postgres")]
#[path = "store/connections.rs"]
mod connections;
#[path = "store/kept.rs"]
mod kept;
#[path = "store/renewal.rs"]
mod renewal;
#[path = "store/rows.rs"]
mod rows;
#[cfg(feature = "postgres")]
#[path = "store/server.rs"]
mod server;
mod support;
#[cfg(feature = "postgres")]
#[path = "store/tls.rs"]
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bankside::config::{self, Place, StoreKey, StoreUrl};
use bankside::store::{
    Attempt, Claim, Claimant, Grant, GrantKey, NewTokens, RegisteredClient, Settled, Sqlite, Standing, Store,
    StoreError,
};
use bankside::words::{Clock, ManualClock, Random, Secret, Timestamp};
use tempfile::TempDir;

const START: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const HOLD: Duration = Duration::from_secs(10);

/// An empty database whose time stands still until it is moved.
trait Ground {
    /// Opens it as one more process does, with these keys.
    async fn open_with(&self, keys: &[u8]) -> Result<Arc<dyn Store>, StoreError>;
    /// As [`open_with`](Self::open_with), with the usual key.
    async fn open(&self) -> Arc<dyn Store> {
        self.open_with(&[7]).await.unwrap()
    }
    /// Moves its time.
    async fn advance(&self, by: Duration);
    /// Changes its grants behind everybody's back, whatever the schema allows.
    async fn update(&self, change: &str);
}

/// A SQLite file.
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
}

impl Ground for File {
    async fn open_with(&self, keys: &[u8]) -> Result<Arc<dyn Store>, StoreError> {
        let url = StoreUrl::Sqlite(self.directory.path().join("bankside.db"));
        let settings = config::Store { key: given(keys), ..settings(url) };
        Ok(Sqlite::open(&settings, self.clock.clone(), &Random::system())?)
    }

    async fn advance(&self, by: Duration) {
        self.hand.advance(by);
    }

    async fn update(&self, change: &str) {
        let connection = rusqlite::Connection::open(self.directory.path().join("bankside.db")).unwrap();
        connection.pragma_update(None, "ignore_check_constraints", true).unwrap();
        connection.execute(&format!("UPDATE grants SET {change}"), []).unwrap();
    }
}

fn settings(url: StoreUrl) -> config::Store {
    let place = Place { file: Arc::new("bankside.toml".into()), line: 1, key: "store".into() };
    config::Store { place, url, key: given(&[7]) }
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
        expires_at: Some(START.plus(Duration::from_mins(5))),
        renew_at: Some(START.plus(Duration::from_mins(4))),
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

/// Makes a test over SQLite of each rule, and one over PostgreSQL of all: a server takes seconds to be made.
macro_rules! rules {
    ($($room:ident: $($rule:ident),+;)+) => {
        mod sqlite {
            $($(
                #[tokio::test]
                async fn $rule() {
                    super::$room::$rule(&super::File::new()).await;
                }
            )+)+
        }

        #[cfg(feature = "postgres")]
        #[tokio::test]
        async fn every_rule_of_the_store_holds_in_postgres() {
            let Some(server) = support::postgres::Server::start() else { return };
            $($(
                eprintln!("{}", stringify!($rule));
                $room::$rule(&server::Database::with_manual_clock(&server).await).await;
            )+)+
        }
    };
}

rules! {
    rows:
        a_grant_comes_back_as_it_was_put_from_another_process_too,
        a_removed_grant_is_gone_for_good_and_its_versions_go_on,
        what_is_put_again_takes_no_other_consents_place,
        what_opens_for_nobody_makes_way_for_what_is_put_again_and_says_when_its_person_consented,
        what_others_have_the_key_of_stays_when_something_is_put_again,
        changes_of_other_processes_are_seen_once,
        no_change_is_missed_while_many_write_at_once,
        consents_come_in_the_order_of_their_age,
        grants_are_counted_by_how_they_stand,
        a_name_or_standing_that_is_not_understood_costs_no_other_grant,
        what_is_due_is_found_in_its_order_and_what_is_idle_led_or_waiting_is_not;
    renewal:
        of_two_processes_one_leads_and_the_other_is_told_for_how_long,
        of_many_who_claim_at_once_exactly_one_leads,
        of_many_who_make_and_claim_at_once_exactly_one_leads,
        a_lease_ends_by_itself_unless_it_is_extended_and_leaves_the_intent,
        an_answer_counts_although_its_lease_was_lost,
        an_answer_that_comes_back_with_the_store_is_kept_before_another_one_leads,
        what_a_dead_leader_left_is_taken_over_by_one_and_not_after_a_long_silence,
        a_leader_that_lives_takes_its_lease_back_or_gives_it_up,
        an_answer_with_a_refresh_token_counts_although_what_stood_before_does_not_open,
        what_is_newer_is_never_overwritten_by_an_older_renewal,
        an_answer_is_not_lost_to_a_database_that_was_set_back_below_what_was_renewed,
        another_consent_of_a_database_that_was_set_back_stays,
        what_is_newer_and_opens_for_nobody_makes_way_for_an_answer_of_its_consent,
        what_is_newer_and_opens_for_others_or_has_its_refresh_token_stays,
        what_does_not_open_is_given_up_only_where_no_person_is_needed_or_has_consented,
        after_a_failure_nobody_leads_before_the_wait_is_over_but_who_must,
        a_wait_or_lease_from_a_clock_that_was_wrong_does_not_lock_a_grant,
        a_grant_that_needs_no_person_is_made_by_its_first_claim;
    kept:
        a_login_attempt_is_taken_by_exactly_one_and_only_while_it_lasts,
        several_clients_are_kept_and_the_last_one_is_last,
        the_client_that_was_registered_last_is_last_whatever_clock_it_had,
        a_client_takes_the_place_of_the_very_one_that_was_looked_at,
        what_is_sealed_anew_opens_without_the_old_key_and_an_old_process_notes_its_key_again;
}
