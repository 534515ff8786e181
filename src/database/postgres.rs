//! PostgreSQL: connections that are made again when they break, and the tables they find.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{info, warn};

use super::StoreError;
use crate::egress::Roots;

/// What this program calls it in errors, logs and metrics.
pub const NAME: &str = "postgres";

/// Every change of the tables, in order; the schema remembers how many of them it has seen.
const MIGRATIONS: [&str; 4] = [
    include_str!("../../migrations/postgres/0001_events.sql"),
    include_str!("../../migrations/postgres/0002_sender.sql"),
    include_str!("../../migrations/postgres/0003_exhaustion.sql"),
    include_str!("../../migrations/postgres/0004_occurrences.sql"),
];

/// Our tables stand apart from those of an app that uses the same database.
const SESSION: &str = "SET search_path = hookward; SET client_min_messages = warning; \
    SET default_transaction_isolation = 'read committed'; SET idle_in_transaction_session_timeout = '30s'";

/// Makes the schema and the table of its version. The lock lets only one gateway at a time do so.
const PREPARE: &str = "SELECT pg_advisory_xact_lock(7226435283118957); CREATE SCHEMA IF NOT EXISTS hookward; \
    SET LOCAL search_path = hookward; \
    CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)";

/// How long a connection may take, and how long anything that is asked.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub connect: Duration,
    pub answer: Duration,
}

/// A database, by its URL. Nothing is connected before it is asked.
#[derive(Clone)]
pub struct Postgres {
    config: Arc<Config>,
    tls: Option<MakeRustlsConnect>,
    limits: Limits,
    /// Connections live here, whoever uses them.
    runtime: Handle,
    /// True once the tables are known to be up to date.
    migrated: Arc<Mutex<bool>>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Postgres")
    }
}

/// Reads a `postgres://` URL.
///
/// # Errors
/// What is wrong with it, as a fragment. Never the URL itself, which has a password.
pub fn parse_url(url: &str) -> Result<Config, String> {
    let wrong =
        |why: String| format!("{why}, for example \"postgres://hookward@db.internal/hookward?sslmode=require\"");
    let config: Config =
        url.parse().map_err(|error: tokio_postgres::Error| match std::error::Error::source(&error) {
            Some(cause) => wrong(format!("not a PostgreSQL URL: {cause}")),
            None => wrong("not a PostgreSQL URL".into()),
        })?;
    if config.get_hosts().is_empty() {
        return Err(wrong("the URL names no host".into()));
    }
    Ok(config)
}

/// True if what travels to this database can be read on the way: no TLS, and not on this machine.
pub fn is_exposed(config: &Config) -> bool {
    let local = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
        Host::Unix(_) => true,
    };
    config.get_ssl_mode() != SslMode::Require && !config.get_hosts().iter().all(local)
}

impl Postgres {
    /// A database that will be connected to on `runtime`.
    ///
    /// # Errors
    /// If TLS is required, and the system has no certificates to trust.
    pub fn new(mut config: Config, limits: Limits, runtime: Handle) -> Result<Self, String> {
        let tls = match config.get_ssl_mode() {
            SslMode::Require => {
                let roots = Roots::system().map_err(|error| error.to_string())?;
                Some(MakeRustlsConnect::new(rustls::ClientConfig::clone(&roots.config())))
            }
            // `prefer` is what a URL says that says nothing. It would not notice a server that only claims to have no TLS.
            _ => {
                config.ssl_mode(SslMode::Disable);
                None
            }
        };
        config.application_name("hookward").connect_timeout(limits.connect).keepalives_idle(Duration::from_secs(30));
        Ok(Self { config: Arc::new(config), tls, limits, runtime, migrated: Arc::default() })
    }

    /// A connection of its own for one kind of work. `session` is said at its start.
    pub fn lane(&self, session: &'static str) -> Lane {
        Lane { database: self.clone(), session, slot: Mutex::new(None) }
    }

    /// Where its connections live.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    async fn connect(&self, session: &'static str) -> Result<Connection, StoreError> {
        let this = self.clone();
        // Its socket belongs to the runtime on which it was opened, and the caller's may end sooner.
        let connecting = self.runtime.spawn(async move { this.open(session).await });
        match timeout(self.limits.connect, connecting).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) => Err(StoreError::Unreachable { store: NAME, cause: "the program is ending".into() }),
            Err(_) => Err(self.too_slow(self.limits.connect)),
        }
    }

    async fn open(&self, session: &'static str) -> Result<Connection, StoreError> {
        let client = match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(|e| store_error(&e))?;
                // Whoever asks on it is told by the client's half how it ended.
                self.runtime.spawn(async { drop(connection.await) });
                client
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(|e| store_error(&e))?;
                self.runtime.spawn(async { drop(connection.await) });
                client
            }
        };
        let mut connection = Connection { client, statements: HashMap::new() };
        let mut migrated = self.migrated.lock().await;
        if !*migrated {
            migrate(&mut connection.client).await?;
            *migrated = true;
        }
        drop(migrated);
        connection.client.batch_execute(SESSION).await.map_err(|e| store_error(&e))?;
        connection.client.batch_execute(session).await.map_err(|e| store_error(&e))?;
        Ok(connection)
    }

    fn too_slow(&self, within: Duration) -> StoreError {
        StoreError::Timeout { store: NAME, within_ms: within.as_millis().try_into().unwrap_or(u64::MAX) }
    }
}

/// A connection that is made when it is needed, and made again after it broke. Work on it takes turns.
#[derive(Debug)]
pub struct Lane {
    database: Postgres,
    session: &'static str,
    slot: Mutex<Option<Connection>>,
}

/// A connection with the statements that it knows already.
#[derive(Debug)]
pub struct Connection {
    pub client: Client,
    statements: HashMap<&'static str, Statement>,
}

/// Work on a connection.
pub type Working<'c, T> = Pin<Box<dyn Future<Output = Result<T, tokio_postgres::Error>> + Send + 'c>>;

impl Lane {
    /// Does `work` on the connection, within the time for an answer. A connection on which anything went wrong but the
    /// work itself is not used again, and one that is given up half-way is closed, which undoes its transaction.
    ///
    /// # Errors
    /// What went wrong; what was asked may have been done, unless it was a transaction that was not committed.
    pub async fn run<T>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Connection) -> Working<'c, T> + Send,
    ) -> Result<T, StoreError> {
        let mut slot = self.slot.lock().await;
        let known = slot.take().filter(|connection| !connection.client.is_closed());
        let mut connection = match known {
            Some(connection) => connection,
            None => self.database.connect(self.session).await?,
        };
        let within = self.database.limits.answer;
        match timeout(within, work(&mut connection)).await {
            Ok(done) => {
                if !connection.client.is_closed() {
                    *slot = Some(connection);
                }
                done.map_err(|error| store_error(&error))
            }
            Err(_) => Err(self.database.too_slow(within)),
        }
    }
}

impl Connection {
    /// The statement `sql`, prepared on this connection once.
    ///
    /// # Errors
    /// What the server says.
    pub async fn prepared(&mut self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

async fn migrate(client: &mut Client) -> Result<(), StoreError> {
    let wrong = |error: tokio_postgres::Error| store_error(&error);
    let transaction = client.transaction().await.map_err(wrong)?;
    transaction.batch_execute(PREPARE).await.map_err(wrong)?;
    let rows = transaction.query("SELECT version FROM schema_version", &[]).await.map_err(wrong)?;
    let found = rows.first().map_or(0, |row| row.get::<_, i32>(0));
    let found = usize::try_from(found).unwrap_or(0);
    if found > MIGRATIONS.len() {
        let known = MIGRATIONS.len();
        let cause = format!(
            "its tables are of version {found}, this program knows {known}: they were made by a later Hookward"
        );
        return Err(StoreError::Failed { store: NAME, cause });
    }
    for migration in &MIGRATIONS[found..] {
        transaction.batch_execute(migration).await.map_err(wrong)?;
    }
    if found < MIGRATIONS.len() {
        let version = MIGRATIONS.len();
        let remember = format!("DELETE FROM schema_version; INSERT INTO schema_version VALUES ({version})");
        transaction.batch_execute(&remember).await.map_err(wrong)?;
        info!(version, "Brought the tables in PostgreSQL up to date");
    }
    transaction.commit().await.map_err(wrong)
}

/// What an error of the driver means to whoever asked.
pub fn store_error(error: &tokio_postgres::Error) -> StoreError {
    let cause = match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(said), _) => said.message().to_owned(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    };
    match error.code() {
        Some(code) if *code == SqlState::DISK_FULL => StoreError::Full { store: NAME, cause },
        // Connection trouble, lost races, exhausted resources, an operator at work: it may be well again soon.
        Some(code) if ["08", "40", "53", "57"].iter().any(|class| code.code().starts_with(class)) => {
            StoreError::Unreachable { store: NAME, cause }
        }
        Some(_) => {
            warn!(error = cause, "PostgreSQL refused what it was asked");
            StoreError::Failed { store: NAME, cause }
        }
        None => StoreError::Unreachable { store: NAME, cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_refused_without_showing_its_password() {
        for bad in
            ["", "postgres://", "postgres:///db", "postgres://u:topsecret@h:notaport/db", "mysql://u:topsecret@h/db"]
        {
            let wrong = parse_url(bad).expect_err(bad);
            assert!(!wrong.contains("topsecret"), "{wrong}");
            assert!(wrong.contains("for example"), "{wrong}");
        }
    }

    #[test]
    fn what_leaves_the_machine_in_the_clear_is_noticed() {
        let exposed = |url| is_exposed(&parse_url(url).expect("a URL"));
        assert!(exposed("postgres://u@db.internal/x"));
        assert!(exposed("postgres://u@localhost,db.internal/x"));
        assert!(!exposed("postgres://u@db.internal/x?sslmode=require"));
        assert!(!exposed("postgres://u@127.0.0.1/x"));
        assert!(!exposed("postgres://u@%2Fvar%2Frun%2Fpostgresql/x"));
    }
}
