//! Opening: how to connect, and the schema and keys that must fit before anything else is done.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::error::SqlState;

use crate::config::{self, PostgresHost};
use crate::store::StoreError;
use crate::store::seal::Sealer;

use super::pool::{Loan, Pool};
use super::{keys, schema};

/// How long a server that is about to start is waited for: both may be started together.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const AGAIN: Duration = Duration::from_millis(250);
/// How long all that is done at the start may take. It may have to wait for another replica's migration.
const LIMIT: Duration = Duration::from_mins(1);

/// How to connect to the server.
pub(super) fn settings(url: &config::Postgres) -> tokio_postgres::Config {
    let mut settings = tokio_postgres::Config::new();
    match &url.host {
        PostgresHost::Tcp(host) => settings.host(host),
        PostgresHost::Unix(directory) => settings.host_path(directory),
    };
    settings.port(url.port).user(&url.user).dbname(&url.database).application_name("bankside");
    if let Some(password) = &url.password {
        settings.password(password.expose());
    }
    let mode = if url.tls.is_some() { SslMode::Require } else { SslMode::Disable };
    // A connection whose other end is gone without a word must not be listened to for ever.
    settings
        .ssl_mode(mode)
        .channel_binding(ChannelBinding::Prefer)
        .connect_timeout(Duration::from_secs(3))
        .tcp_user_timeout(Duration::from_secs(10))
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(3))
        .keepalives_retries(3);
    settings
}

/// Makes sure that the database has this release's schema, and that the keys are those under which it was sealed.
pub(super) async fn prepare(pool: &Arc<Pool>, sealer: &Sealer) -> Result<(), StoreError> {
    let work = async {
        let mut connection = first(pool).await?;
        connection.begin().await?;
        connection.batch("SET LOCAL statement_timeout = 60000").await?;
        schema::migrate(&mut connection).await?;
        keys::fit(&mut connection, sealer).await?;
        connection.commit().await
    };
    timeout(LIMIT, work).await.map_err(|_| StoreError::Late { limit: LIMIT })?
}

/// The first connection, also to a server that is about to start.
async fn first(pool: &Arc<Pool>) -> Result<Loan, StoreError> {
    let begin = Instant::now();
    loop {
        match pool.lend().await {
            Err(StoreError::Server(error)) if begin.elapsed() < PATIENCE && is_early(&error) => sleep(AGAIN).await,
            other => return other,
        }
    }
}

/// Whether the server is not there yet, or says that it starts.
fn is_early(error: &tokio_postgres::Error) -> bool {
    let refused = || {
        let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
        source.is_some_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound)
        })
    };
    error.code() == Some(&SqlState::CANNOT_CONNECT_NOW) || refused()
}
