//! Word of what other processes changed, from databases that tell.

use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::words::BankName;

/// Word of changes. It is a hint to look at once: word can be lost, and what is looked for now and then is found anyway.
#[derive(Default)]
pub struct News(Option<Receiver<Option<BankName>>>);

impl News {
    /// News of a database that tells. A message without a bank is about any.
    #[cfg(feature = "postgres")]
    pub(super) fn from(receiver: Receiver<Option<BankName>>) -> Self {
        Self(Some(receiver))
    }

    /// Waits until something may have changed at the bank. Where nobody tells, that is for ever.
    pub async fn of(&mut self, bank: &BankName) {
        while let Some(receiver) = &mut self.0 {
            match receiver.recv().await {
                Ok(about) if about.as_ref().is_some_and(|about| about != bank) => {}
                // What was missed may have been about the bank.
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => self.0 = None,
            }
        }
        std::future::pending::<()>().await;
    }
}
