//! The stores: where they are, how they are filled before a gateway has them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use hookward::database::postgres::{Limits, Postgres as Database, parse_url};
use hookward::database::sqlite::Sqlite;
use hookward::store::{Accepted, PostgresStore, SqliteStore, Store};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use crate::event::Maker;
use crate::services::postgres::Postgres;

/// So many events are accepted at once. SQLite does 1024 of them in one transaction.
const AT_ONCE: usize = 4096;

/// Longer than anything takes that is asked here.
const PATIENCE: Duration = Duration::from_secs(60);

/// What keeps the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A place for one store, empty at first.
pub enum Place {
    File(PathBuf),
    Server { url: String, process: u32 },
}

impl Place {
    /// A new one: a file in `folder`, or a database in `server`.
    pub async fn new(engine: Engine, folder: &Path, server: &Postgres) -> anyhow::Result<Self> {
        Ok(match engine {
            Engine::Sqlite => Self::File(folder.join("hookward.db")),
            Engine::Postgres => {
                let process = postmaster(&server.url()).await.context("PostgreSQL does not say which process it is")?;
                Self::Server { url: server.database().await, process }
            }
        })
    }

    /// As it stands in a configuration.
    pub fn url(&self) -> String {
        match self {
            Self::File(path) => format!("sqlite:{}", path.display()),
            Self::Server { url, .. } => url.clone(),
        }
    }

    /// The process of the server.
    pub fn process(&self) -> Option<u32> {
        match self {
            Self::File(_) => None,
            Self::Server { process, .. } => Some(*process),
        }
    }

    /// Accepts `count` events that are owed to `upstream`, as a gateway would, and closes the store again.
    pub async fn fill(&self, count: usize, upstream: &str) -> anyhow::Result<()> {
        let store = Arc::new(match self {
            Self::File(path) => Store::Sqlite(SqliteStore::new(Sqlite::open(path)?)),
            Self::Server { url, .. } => Store::Postgres(Box::new(PostgresStore::new(&database(url)?))),
        });
        let maker = Maker::new(upstream);
        for first in (0..count).step_by(AT_ONCE) {
            let mut accepting = JoinSet::new();
            for number in first..count.min(first + AT_ONCE) {
                let (store, event) = (Arc::clone(&store), maker.event(number));
                accepting.spawn(async move { store.accept(event).await });
            }
            while let Some(accepted) = accepting.join_next().await {
                anyhow::ensure!(accepted?? == Accepted::New, "an event was there already");
            }
        }
        Ok(())
    }
}

/// The database at `url`, as the gateway opens it.
pub fn database(url: &str) -> anyhow::Result<Database> {
    let limits = Limits { connect: PATIENCE, answer: PATIENCE };
    let config = parse_url(url).map_err(|wrong| anyhow!(wrong))?;
    Database::new(config, limits, Handle::current()).map_err(|wrong| anyhow!(wrong))
}

/// Asks the server at `url` for one value, as text.
pub async fn ask(url: &str, sql: &str) -> anyhow::Result<String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let value = client.query_one(sql, &[]).await?.try_get(0)?;
    drop(client);
    connection.await??;
    Ok(value)
}

/// The process that all others of the server descend from.
async fn postmaster(url: &str) -> anyhow::Result<u32> {
    let file = ask(url, "SELECT pg_read_file('postmaster.pid')").await?;
    Ok(file.lines().next().unwrap_or_default().trim().parse()?)
}
