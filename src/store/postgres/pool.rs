//! A few connections, made when they are needed and thrown away when anything about them is in doubt.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row, Socket};

use crate::store::StoreError;

use super::tls::{Stream, Tls};

/// How many connections there are at most, beside the one that listens.
const CONNECTIONS: usize = 3;
/// What each connection is told first, in milliseconds. The server ends what takes long before we give it up, and no
/// commit counts before it is on the disk, whatever the database's default is.
const SETTINGS: &str = "SET statement_timeout = 3000; SET idle_in_transaction_session_timeout = 10000; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";
/// Has a row on a standby, and where the server or the database is set to read-only.
const READ_ONLY: &str = "SELECT 1 WHERE current_setting('transaction_read_only') = 'on'";

/// A parameter and its type.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// The connections.
pub(super) struct Pool {
    config: Config,
    tls: Tls,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

/// A connection, and the task that drives it.
struct Connection {
    client: Client,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection for one call. It goes back when it is dropped, if it is sound and not over.
pub(super) struct Loan {
    connection: Option<Connection>,
    /// No statement is under way or has failed, and no transaction is open. A failure may be all that the server says from
    /// here on: it may have become a standby, or be about to end.
    sound: bool,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(config: Config, tls: Tls) -> Self {
        Self { config, tls, idle: Mutex::default(), permits: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// A connection that nobody else uses.
    pub(super) async fn lend(self: &Arc<Self>) -> Result<Loan, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closing)?;
        let connection = match self.take_idle() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Loan { connection: Some(connection), sound: true, pool: Arc::clone(self), _permit: permit })
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.client.is_closed());
        idle.pop()
    }

    /// Closes what nobody uses.
    pub(super) fn forget_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn connect(&self) -> Result<Connection, StoreError> {
        let (client, driver) = self.dial().await?;
        // Its errors are those of the statements, too.
        let driver = tokio::spawn(async move { drop(driver.await) }).abort_handle();
        let connection = Connection { client, driver };
        connection.client.batch_execute(SETTINGS).await?;
        // While a name or an address moves from one server to another, it may lead to one that cannot keep anything.
        let read_only = connection.client.query_typed(READ_ONLY, &[]).await?;
        if read_only.is_empty() { Ok(connection) } else { Err(StoreError::ReadOnly) }
    }

    /// A connection that nobody drives yet.
    pub(super) async fn dial(
        &self,
    ) -> Result<(Client, tokio_postgres::Connection<Socket, Stream<Socket>>), StoreError> {
        Ok(self.config.connect(self.tls.clone()).await?)
    }
}

impl Loan {
    /// Runs a statement.
    pub(super) async fn query(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, StoreError> {
        let connection = self.connection.as_ref().ok_or(StoreError::Closing)?;
        let sound = std::mem::replace(&mut self.sound, false);
        let rows = connection.client.query_typed(sql, parameters).await?;
        self.sound = sound;
        Ok(rows)
    }

    /// Runs a statement whose rows do not matter; whether there were any.
    pub(super) async fn did(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<bool, StoreError> {
        Ok(!self.query(sql, parameters).await?.is_empty())
    }

    /// Runs statements without parameters.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        let connection = self.connection.as_ref().ok_or(StoreError::Closing)?;
        let sound = std::mem::replace(&mut self.sound, false);
        connection.client.batch_execute(sql).await?;
        self.sound = sound;
        Ok(())
    }

    /// Begins a transaction. Where it is not committed, whatever the reason, the connection is thrown away and the server
    /// undoes it.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        self.batch("BEGIN").await?;
        self.sound = false;
        Ok(())
    }

    /// Commits the transaction that is open.
    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        self.batch("COMMIT").await?;
        self.sound = true;
        Ok(())
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(connection) =
            self.connection.take().filter(|connection| self.sound && !connection.client.is_closed())
        {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}
