//! Keeping what the bank has given: until the store has it, it exists nowhere else.

use std::time::Duration;

use tokio::time::sleep;

use crate::store::{Answer, StoreError};

/// Between tries, at first and at most: when the store is well again, the answer must be in it before another process
/// looks for what is due.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));

/// Offers it to the store until that takes it, however long it takes to recover, or the program ends. `failed` hears of
/// each failure.
pub(super) async fn keep<'a, T>(
    put: impl Fn() -> Answer<'a, T>,
    mut failed: impl FnMut(&StoreError),
) -> Result<T, StoreError> {
    let mut again = AGAIN.0;
    loop {
        match put().await {
            Err(error) if !matches!(error, StoreError::Closing) => failed(&error),
            kept => return kept,
        }
        sleep(again).await;
        again = (again * 2).min(AGAIN.1);
    }
}
