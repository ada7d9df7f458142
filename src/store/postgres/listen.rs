//! Word of changes, on a connection of its own: it comes from whoever changes a grant, and names bank and grant.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Sender;
use tokio::time::sleep;
use tokio_postgres::AsyncMessage;

use crate::store::StoreError;
use crate::words::BankName;

use super::pool::Pool;

/// How long it is from the end of a connection to the next one.
const AGAIN: Duration = Duration::from_millis(500);

/// Passes on what is told, for ever. While there is no connection nothing is: what changes is found by looking.
pub(super) async fn listen(pool: Arc<Pool>, news: Sender<Option<BankName>>) {
    loop {
        // Why it ended does not matter: whoever calls the store hears what is wrong with it.
        drop(listen_once(&pool, &news).await);
        sleep(AGAIN).await;
    }
}

async fn listen_once(pool: &Pool, news: &Sender<Option<BankName>>) -> Result<(), StoreError> {
    let (client, mut connection) = pool.dial().await?;
    let told = async {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message? {
                // An error says that nobody listens here, which is fine.
                let _ = news.send(bank_of(notification.payload()));
            }
        }
        Ok(())
    };
    let ask = async {
        client.batch_execute("LISTEN bankside").await?;
        // What was told before this moment was missed.
        let _ = news.send(None);
        std::future::pending::<Result<(), StoreError>>().await
    };
    tokio::select! {
        ended = told => ended,
        failed = ask => failed,
    }
}

/// The bank in `bank/grant`.
fn bank_of(payload: &str) -> Option<BankName> {
    payload.split_once('/').and_then(|(bank, _)| bank.parse().ok())
}
