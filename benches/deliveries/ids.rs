//! What a remembered id takes, in memory and on the disk.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hookward::clock::Clock;
use hookward::database::sqlite::Sqlite;
use hookward::dedup::{
    Answer, Claim, Dedup, KeyMaker, Memory, PostgresDedup, Redis as RedisDedup, RedisUrl, Remote, SqliteDedup,
};
use http::{HeaderMap, StatusCode};
use tokio::task::JoinSet;

use crate::engine::{ask, database};
use crate::event::{TTL, keys};
use crate::services::postgres::Postgres;
use crate::services::redis::Redis;
use crate::usage;

/// So many commits are asked for at once.
const AT_ONCE: usize = 4096;

/// Where ids are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Memory,
    Sqlite,
    Postgres,
    Redis,
}

impl Place {
    pub const ALL: [Self; 4] = [Self::Memory, Self::Sqlite, Self::Postgres, Self::Redis];

    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory, resident",
            Self::Sqlite => "SQLite, its file",
            Self::Postgres => "PostgreSQL, table and index",
            Self::Redis => "Redis, used_memory",
        }
    }

    /// Bytes for each of `count` ids.
    pub async fn bytes_per_id(self, count: usize, folder: &Path, server: &Postgres) -> anyhow::Result<f64> {
        let bytes = match self {
            Self::Memory => in_memory(count)?,
            Self::Sqlite => in_sqlite(count, &folder.join("ids.db")).await?,
            Self::Postgres => in_postgres(count, &server.database().await).await?,
            Self::Redis => in_redis(count).await?,
        };
        Ok(bytes as f64 / count as f64)
    }
}

/// In a process of its own, whose memory nobody has used before.
fn in_memory(count: usize) -> anyhow::Result<u64> {
    let output = Command::new(std::env::current_exe()?).args(["remember", &count.to_string()]).output()?;
    if !output.status.success() {
        bail!("remember: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Remembers `count` events in this process, and prints by how many bytes that made it larger.
pub async fn remember(count: usize) -> anyhow::Result<()> {
    let process = std::process::id();
    let maker = KeyMaker::random();
    let answer = Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: "ok\n".into() };
    let before = usage::rss(process);
    let dedup = Dedup::Memory(Memory::new(count as u64));
    let lease = Duration::from_secs(35);
    for number in 0..count {
        let Claim::Granted(lease) = dedup.claim(keys(&maker, number), lease, Duration::ZERO) else {
            bail!("event {number} is not ours");
        };
        dedup.commit(lease, TTL, &answer, Duration::ZERO).await;
    }
    let stats = dedup.stats();
    ensure!(stats.entries == count as u64, "{} of {count} ids are remembered", stats.entries);
    println!("{}", usage::rss(process) - before);
    Ok(())
}

async fn in_sqlite(count: usize, path: &Path) -> anyhow::Result<u64> {
    drop(Sqlite::open(path)?);
    let empty = fs::metadata(path)?.len();
    commit(Remote::Sqlite(SqliteDedup::new(Sqlite::open(path)?)), count).await?;
    let full = fs::metadata(path)?.len();
    fs::remove_file(path)?;
    Ok(full - empty)
}

async fn in_postgres(count: usize, url: &str) -> anyhow::Result<u64> {
    commit(Remote::Postgres(PostgresDedup::new(&database(url)?)), count).await?;
    Ok(ask(url, "SELECT pg_total_relation_size('hookward.dedup')::text").await?.parse()?)
}

async fn in_redis(count: usize) -> anyhow::Result<u64> {
    let redis = Redis::start();
    let used = || {
        let info = redis.ask("INFO memory");
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|bytes| bytes.trim().parse::<u64>().ok()).context("Redis does not say what it uses")
    };
    let empty = used()?;
    let url = RedisUrl::parse(&redis.url()).map_err(|wrong| anyhow::anyhow!(wrong))?;
    commit(Remote::Redis(Box::new(RedisDedup::new(&url, ""))), count).await?;
    Ok(used()?.saturating_sub(empty))
}

/// Commits `count` events, and closes the store: a file is then without its log.
async fn commit(store: Remote, count: usize) -> anyhow::Result<()> {
    let (store, maker, now) = (Arc::new(store), KeyMaker::shared(), Clock::System.millis());
    store.probe().await?;
    for first in (0..count).step_by(AT_ONCE) {
        let mut committing = JoinSet::new();
        for number in first..count.min(first + AT_ONCE) {
            let (store, keys) = (Arc::clone(&store), keys(&maker, number));
            committing.spawn(async move { store.commit(keys, TTL, now).await });
        }
        while let Some(committed) = committing.join_next().await {
            committed??;
        }
    }
    Ok(())
}
