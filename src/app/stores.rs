//! Opens what a configuration says of stores, each file once.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tracing::info;

use super::StartError;
use crate::clock::Clock;
use crate::config::{DedupConfig, DedupStore, StoreConfig};
use crate::database::postgres::{Limits, Postgres, parse_url};
use crate::database::sqlite::Sqlite;
use crate::database::url::DatabaseUrl;
use crate::dedup::{Dedup, Memory, PostgresDedup, Redis, Remote, Shared, SqliteDedup};
use crate::sender::Vault;
use crate::signature::encoding::encode_hex;
use crate::signature::secret::Secret;
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

/// What secrets are sealed with: the configuration's keys, else one in a file of its own beside the store's.
///
/// # Errors
/// If that file cannot be read or made.
pub fn vault(keys: &[Secret], store: &DatabaseUrl) -> Result<Vault, String> {
    match store {
        _ if !keys.is_empty() => Ok(Vault::new(keys)),
        DatabaseUrl::Sqlite(path) => key_beside(path).map(|key| Vault::new([&key])),
        DatabaseUrl::Postgres(_) => Err("[sender] keys: a store on a server needs them".into()),
    }
}

fn key_beside(store: &Path) -> Result<Secret, String> {
    let mut name = store.as_os_str().to_owned();
    name.push(".key");
    let path = PathBuf::from(name);
    let wrong = |error: std::io::Error| format!("cannot use {}: {error}", path.display());
    match std::fs::read(&path) {
        Ok(text) if text.trim_ascii().len() >= 32 => Ok(Secret::new(text.trim_ascii().to_vec())),
        Ok(_) => Err(format!("{} holds no key: put back the one that was there", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut key = [0; 32];
            getrandom::fill(&mut key).map_err(|error| format!("the system has no randomness: {error}"))?;
            let text = encode_hex(&key);
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path).map_err(wrong)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
            info!(file = %path.display(), "Made a key that secrets are sealed with: keep it with the store's backups, and apart from them");
            Ok(Secret::new(text.into_bytes()))
        }
        Err(error) => Err(wrong(error)),
    }
}
