//! Rules of the store, with several handles on one file as several processes have them.

mod kept;
mod keys;
mod opening;
mod rows;

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

    fn settings(&self, key: StoreKey) -> config::Store {
        let place = Place { file: Arc::new("bankside.toml".into()), line: 1, key: "store".into() };
        config::Store { place, url: StoreUrl::Sqlite(self.path()), key }
    }

    fn open_with(&self, key: StoreKey) -> Result<Arc<Sqlite>, StoreError> {
        Sqlite::open(&self.settings(key), self.clock.clone(), &Random::system())
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
