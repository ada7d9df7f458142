//! A row that does not open, and a database that was set back while it was in use.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::support::{Bench, Reply, default, sent};

const SAVE: &str = "CREATE TABLE saved AS SELECT * FROM grants";
const SET_BACK: &str = "DELETE FROM grants; INSERT INTO grants SELECT * FROM saved";

#[tokio::test(start_paused = true)]
async fn a_login_by_another_process_is_seen_although_the_database_was_set_back() {
    for renewals in 1..=3 {
        let bench = Bench::new();
        bench.script.always(|| Reply::Tokens(300));
        bench.import(300).await;
        bench.execute(SAVE);
        bench.tokens.start(CancellationToken::new());
        for _ in 0..renewals {
            bench.another().0.renew(&default()).await.unwrap();
        }
        sleep(Duration::from_secs(2)).await;
        assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), format!("access-{renewals}"));
        bench.execute(SET_BACK);
        bench.another().0.import(&default(), br#"{"access_token":"new","expires_in":300}"#).await.unwrap();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(sent(&bench.tokens.get(&default()).await.unwrap()), "new", "{renewals} renewals were lost");
    }
}
