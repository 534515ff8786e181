//! Opens what a configuration says of stores, each file once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::StartError;
use crate::clock::Clock;
use crate::config::{DedupConfig, DedupStore, StoreConfig};
use crate::database::postgres::{Limits, Postgres, parse_url};
use crate::database::sqlite::Sqlite;
use crate::database::url::DatabaseUrl;
use crate::dedup::{Dedup, Memory, PostgresDedup, Redis, Remote, Shared, SqliteDedup};
use crate::store::{PostgresStore, SqliteStore, Store};

/// What is open so far. Dedup and store may be in one file.
#[derive(Debug)]
pub struct Stores {
    runtime: Handle,
    files: Vec<(PathBuf, Arc<Sqlite>)>,
}

impl Stores {
    /// Nothing yet. Connections will live on `runtime`.
    pub fn new(runtime: Handle) -> Self {
        Self { runtime, files: Vec::new() }
    }

    /// Where events are remembered. A server that cannot be reached is no reason not to start; a file is.
    pub fn dedup(&mut self, config: &DedupConfig, clock: &Clock) -> Result<Dedup, StartError> {
        let remote = match &config.store {
            DedupStore::Memory => return Ok(Dedup::Memory(Memory::new(config.max_entries))),
            DedupStore::Redis(url) => Remote::Redis(Box::new(Redis::new(url, &config.prefix))),
            DedupStore::Database(DatabaseUrl::Sqlite(path)) => Remote::Sqlite(SqliteDedup::new(self.file(path)?)),
            DedupStore::Database(DatabaseUrl::Postgres(url)) => {
                Remote::Postgres(PostgresDedup::new(&self.server(url, config.timeout)?))
            }
        };
        let shared = Shared::start(remote, config.timeout, clock.clone(), self.runtime.clone());
        shared.wait_for_probe();
        Ok(Dedup::Shared(shared))
    }

    /// Where events are kept.
    pub fn store(&mut self, config: &StoreConfig) -> Result<Store, StartError> {
        Ok(match &config.url {
            DatabaseUrl::Sqlite(path) => Store::Sqlite(SqliteStore::new(self.file(path)?)),
            DatabaseUrl::Postgres(url) => {
                Store::Postgres(Box::new(PostgresStore::new(&self.server(url, config.timeout)?)))
            }
        })
    }

    fn file(&mut self, path: &Path) -> Result<Arc<Sqlite>, StartError> {
        let real = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if let Some((_, open)) = self.files.iter().find(|(known, _)| *known == real) {
            return Ok(Arc::clone(open));
        }
        let open = Sqlite::open(path).map_err(StartError::File)?;
        self.files.push((real, Arc::clone(&open)));
        Ok(open)
    }

    fn server(&self, url: &str, timeout: Duration) -> Result<Postgres, StartError> {
        let limits = Limits { connect: timeout, answer: timeout };
        let config = parse_url(url).map_err(StartError::Server)?;
        Postgres::new(config, limits, self.runtime.clone()).map_err(StartError::Server)
    }
}
