//! `bankside store`: the care of the store itself.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::Subcommand;

use crate::store::{KeysInUse, Store};

use super::configured::Configured;
use super::{Outcome, office, output};

/// How many grants are sealed anew in one transaction: renewals wait for the lock meanwhile.
const AT_ONCE: usize = 100;
/// Left to others between two transactions.
const BREATH: Duration = Duration::from_millis(10);
/// How often progress is told.
const TELL: Duration = Duration::from_secs(1);
/// A process that still seals under an old key writes such values while others are sealed anew: then it is gone through
/// once more.
const MOST_PASSES: usize = 5;

#[derive(Debug, Subcommand)]
pub(super) enum Args {
    /// Seals all that is stored under the first key of `store.key`; it may be interrupted and run again at any time
    RotateKey,
}

pub(super) fn run(args: &Args, configured: &Configured) -> Outcome {
    let app = configured.app()?;
    super::block_on(async {
        let office = office::open(&app).await?;
        match args {
            Args::RotateKey => Ok(rotate(&**office.store()).await?),
        }
    })
}

async fn rotate(store: &dyn Store) -> anyhow::Result<()> {
    let mut keys = store.retire_keys().await?;
    for _ in 0..MOST_PASSES {
        if keys.others.is_empty() {
            output::complain(&format!(
                "Everything is sealed under the key {}. The other keys may be taken out of `store.key`, once no process \
                 runs that has one of them as its first.",
                keys.sealing
            ));
            return Ok(());
        }
        if pass(store, left(&keys)).await? == 0 {
            break;
        }
        keys = store.retire_keys().await?;
    }
    let others: Vec<String> = keys.others.iter().map(|(id, values)| format!("{values} under {id}")).collect();
    Err(anyhow!(
        "some values could not be sealed anew, or are still being written under an old key by processes whose first key \
         it is: {}. Keep those keys in `store.key`",
        others.join(", ")
    ))
}

/// Goes through the store once; how many values were sealed anew.
async fn pass(store: &dyn Store, values: usize) -> anyhow::Result<usize> {
    let (mut after, mut done, mut told) = (None, 0, Instant::now());
    output::complain(&format!("{values} values are to be sealed anew …"));
    loop {
        let step = store.reseal(after.as_ref(), AT_ONCE).await?;
        done += step.resealed;
        if told.elapsed() >= TELL {
            told = Instant::now();
            output::complain(&format!("{done} of {values} …"));
        }
        after = step.last;
        if after.is_none() {
            output::complain(&format!("{done} of {values} values were sealed anew."));
            return Ok(done);
        }
        tokio::time::sleep(BREATH).await;
    }
}

fn left(keys: &KeysInUse) -> usize {
    keys.others.iter().map(|(_, values)| values).sum()
}
