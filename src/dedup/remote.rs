//! The verbs that every shared store has, and their answers.
//!
//! All times come in as wall-clock milliseconds and are compared by the store as they are, so gateways that share a
//! store need clocks that agree to within seconds: a lease or a memory ends that much earlier or later. A store's own
//! expiry only collects what is long over.

use std::time::Duration;

use super::postgres::PostgresDedup;
use super::redis::Redis;
use super::sqlite::SqliteDedup;
use super::{ClaimKeys, DedupKey, Failure};
use crate::clock::UnixMillis;
use crate::database::{StoreError, postgres, sqlite};

/// A store that outlives the process and is shared by many.
#[derive(Debug)]
pub enum Remote {
    Sqlite(SqliteDedup),
    Postgres(PostgresDedup),
    Redis(Box<Redis>),
}

/// A shared store's answer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreClaim {
    /// The token has it until its lease expires.
    Granted {
        /// True if the upstream may have handled the event before, or a body like it under another, unsigned id.
        possible_duplicate: bool,
    },
    /// Another token has it.
    InFlight,
    /// It was handled, with a body of this fingerprint.
    Committed { fingerprint: u64 },
}

/// How an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known of it.
    Absent,
    /// Somebody has it, and the lease is not over.
    InFlight,
    /// Nobody has it, and the upstream may have handled it.
    Attempted,
    /// It was handled.
    Committed,
}

/// How well a store keeps what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retention {
    /// Until its time is over.
    Kept,
    /// It may forget events early, for the reason named: each could be forwarded twice.
    MayEvict(String),
    /// It does not say.
    Unknown,
}

impl Remote {
    /// Asks for an event. The same token may ask again: its answer may have been lost.
    ///
    /// # Errors
    /// If the store did not answer; then the claim may stand all the same.
    pub async fn claim(
        &self,
        keys: ClaimKeys,
        token: u64,
        lease: Duration,
        now: UnixMillis,
    ) -> Result<StoreClaim, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.claim(keys, token, lease, now).await,
            Self::Postgres(postgres) => postgres.claim(keys, token, lease, now).await,
            Self::Redis(redis) => redis.claim(keys, token, lease, now).await,
        }
    }

    /// Remembers an event as handled until `ttl` after `now`. A success is a fact: it wins over whoever has the event.
    ///
    /// # Errors
    /// If the store did not answer. It may be asked again.
    pub async fn commit(&self, keys: ClaimKeys, ttl: Duration, now: UnixMillis) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.commit(keys, ttl, now).await,
            Self::Postgres(postgres) => postgres.commit(keys, ttl, now).await,
            Self::Redis(redis) => redis.commit(keys, ttl, now).await,
        }
    }

    /// Gives an event back, if `token` has it. After an ambiguous failure, or where there was a doubt before, the
    /// doubt is remembered for `ttl`; after an ambiguous one also where nobody has the event, since the store may have
    /// been down when it was forwarded. What is committed stays.
    ///
    /// # Errors
    /// If the store did not answer. It may be asked again.
    pub async fn release(
        &self,
        keys: ClaimKeys,
        token: u64,
        failure: Failure,
        ttl: Duration,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.release(keys, token, failure, ttl, now).await,
            Self::Postgres(postgres) => postgres.release(keys, token, failure, ttl, now).await,
            Self::Redis(redis) => redis.release(keys, token, failure, ttl, now).await,
        }
    }

    /// How an event stands.
    ///
    /// # Errors
    /// If the store did not answer.
    pub async fn standing(&self, key: DedupKey, now: UnixMillis) -> Result<Standing, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.standing(key, now).await,
            Self::Postgres(postgres) => postgres.standing(key, now).await,
            Self::Redis(redis) => redis.standing(key, now).await,
        }
    }

    /// Connects where there is no connection, and sees that the store takes writes. Call it on the runtime that the
    /// connection is to live on.
    ///
    /// # Errors
    /// Why the store cannot be used now.
    pub async fn probe(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.probe().await,
            Self::Postgres(postgres) => postgres.probe().await,
            Self::Redis(redis) => redis.probe().await,
        }
    }

    /// Gives up the connection: the next probe makes another.
    pub fn disconnect(&self) {
        match self {
            // A file is always open, and a lane drops a connection that broke by itself.
            Self::Sqlite(_) | Self::Postgres(_) => {}
            Self::Redis(redis) => redis.disconnect(),
        }
    }

    /// Whether the store keeps what it is given.
    ///
    /// # Errors
    /// If the store did not answer.
    pub async fn retention(&self) -> Result<Retention, StoreError> {
        match self {
            Self::Sqlite(_) | Self::Postgres(_) => Ok(Retention::Kept),
            Self::Redis(redis) => redis.retention().await,
        }
    }

    /// Forgets what is over. A call does a part of it; the stores that forget by themselves have nothing to do.
    ///
    /// # Errors
    /// If the store did not answer.
    pub async fn sweep(&self, now: UnixMillis) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.sweep(now).await,
            Self::Postgres(postgres) => postgres.sweep(now).await,
            Self::Redis(_) => Ok(()),
        }
    }

    /// The store's name for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite::NAME,
            Self::Postgres(_) => postgres::NAME,
            Self::Redis(_) => Redis::NAME,
        }
    }
}
