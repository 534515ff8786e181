//! The store for more than one machine: every node works on the same tables.

mod answers;
mod directory;
mod health;
mod keep;
mod lease;
mod lists;
mod occurrences;
mod owe;
mod sent;
mod settle;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio_postgres::{Error, Row};

use super::directory::TALLIES_KEPT;
use super::{
    Batch, BatchOutcome, Change, Changed, Failing, Id, Idempotent, Leased, Message, Owed, Owing, Records, Replayed,
    Room, Settlement, Tally, Waiting, day_of,
};
use crate::clock::UnixMillis;
use crate::database::StoreError;
use crate::database::group::Group;
use crate::database::postgres::{Connection, Lane, Postgres};
use crate::dedup::postgres::sweep;

/// The tables are queues: their statistics are always old, and a plan that reads them whole is never right. Asked about a
/// few rows among many, the planner would hash all of them once it knows how many there are.
const DURABLE: &str = "SET synchronous_commit = on; SET enable_seqscan = off; SET enable_hashjoin = off; \
    SET enable_mergejoin = off; SET jit = off";
/// For what can be done again.
const RELAXED: &str = "SET synchronous_commit = off; SET enable_seqscan = off; SET enable_hashjoin = off; \
    SET enable_mergejoin = off; SET jit = off";
/// For those who may ask for everything. A plan that is made for any parameters would use no index for the one that counts.
const READING: &str = "SET statement_timeout = '60s'; SET plan_cache_mode = force_custom_plan";

/// So many groups of callers are served at once.
const LANES: usize = 2;

/// Events and deliveries in a database that other nodes use too.
#[derive(Debug)]
pub struct PostgresStore {
    accepts: Group<Batch, BatchOutcome>,
    settlements: Group<Settlement, bool>,
    work: Lane,
    changes: Lane,
    upkeep: Lane,
    operators: Lane,
    customers: Lane,
    /// Which part of the dedup keys is swept next.
    slice: AtomicU8,
    /// Of the directory, when something was last leased.
    version: AtomicI64,
}

const END_LEASES: &str = "UPDATE deliveries SET state = 0, lease_token = NULL, possible_duplicate = true \
    WHERE state = 1 AND due_at <= $1";

/// Steps from destination to destination along the index, so that it costs the same whatever waits for each.
const WAITING: &str = "
    WITH RECURSIVE each (destination) AS (
        SELECT min(destination) FROM deliveries WHERE state = 0
        UNION ALL
        SELECT (SELECT min(destination) FROM deliveries WHERE state = 0 AND destination > each.destination)
        FROM each WHERE each.destination IS NOT NULL
    )
    SELECT destination, (SELECT min(due_at) FROM deliveries WHERE state = 0 AND destination = each.destination)
    FROM each WHERE destination IS NOT NULL";

/// Locks what could go. Who replays or retries locks events too, so from here on nobody does with these.
const LOCK_OLD: &str = "
    SELECT id FROM events e WHERE accepted_at < $1
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = e.id AND state IN (0, 1))
    ORDER BY accepted_at LIMIT $2 FOR UPDATE SKIP LOCKED";

/// Looks again, at what was owed until the lock was had.
const PURGE: &str = "
    WITH old AS (
        SELECT id FROM events e WHERE id = ANY ($1)
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = e.id AND state IN (0, 1))
    ), deliveries_gone AS (
        DELETE FROM deliveries WHERE event IN (SELECT id FROM old) RETURNING id
    ), attempts_gone AS (
        DELETE FROM attempts WHERE delivery IN (SELECT id FROM deliveries_gone)
    ), bodies_gone AS (
        DELETE FROM bodies WHERE event IN (SELECT id FROM old)
    )
    DELETE FROM events WHERE id IN (SELECT id FROM old)";

/// Locks the events, so that they are not purged meanwhile.
const RETRY: &str = "
    WITH found AS (
        SELECT d.id FROM deliveries d JOIN events e ON e.id = d.event
        WHERE d.id = ANY ($1) AND d.state IN (0, 3) FOR SHARE OF e
    )
    UPDATE deliveries d SET state = 0, due_at = $2, created_at = $2, attempts = 0, reason = NULL, signed_at = NULL
    FROM found
    WHERE d.id = found.id AND d.state IN (0, 3) RETURNING d.id";

const DUE_NOW: &str =
    "UPDATE deliveries SET due_at = least(due_at, $3) WHERE id = $1 AND destination = $2 AND state = 0";

const FORGET_TALLIES: &str = "DELETE FROM tallies WHERE day < $1";

impl PostgresStore {
    /// The store in `database`. Nothing is connected before it is asked.
    pub fn new(database: &Postgres) -> Self {
        let (accepts, accepting) = Group::new();
        let (settlements, settling) = Group::new();
        let (accepting, settling) = (Arc::new(accepting), Arc::new(settling));
        for _ in 0..LANES {
            database.runtime().spawn(keep::serve(database.lane(DURABLE), Arc::clone(&accepting)));
            database.runtime().spawn(settle::serve(database.lane(DURABLE), Arc::clone(&settling)));
        }
        Self {
            accepts,
            settlements,
            // A crash of the server must not take back a lease whose attempt has begun: the delivery would be made again
            // at once, and nothing would say that its destination may have it.
            work: database.lane(DURABLE),
            changes: database.lane(DURABLE),
            upkeep: database.lane(RELAXED),
            operators: database.lane(READING),
            customers: database.lane(READING),
            slice: AtomicU8::new(0),
            version: AtomicI64::new(0),
        }
    }

    pub(super) async fn keep(&self, batch: Batch) -> Result<BatchOutcome, StoreError> {
        self.accepts.ask(batch).await
    }

    pub(super) async fn owe(
        &self,
        deliveries: Vec<(Id, Owed)>,
        now: UnixMillis,
        idempotent: Option<Idempotent>,
    ) -> Result<Owing, StoreError> {
        self.changes.run(move |connection| Box::pin(owe::owe(connection, deliveries, now, idempotent))).await
    }

    pub(super) async fn records(&self, since: i64) -> Result<Records, StoreError> {
        self.changes.run(move |connection| Box::pin(directory::records(connection, since))).await
    }

    pub(super) async fn change(&self, change: Change) -> Result<Changed, StoreError> {
        self.changes.run(move |connection| Box::pin(directory::change(connection, change))).await
    }

    pub(super) async fn answered(&self, key: [u8; 16], now: UnixMillis) -> Result<Option<Replayed>, StoreError> {
        self.changes.run(move |connection| Box::pin(answers::answered(connection, key, now))).await
    }

    pub(super) async fn failing(&self) -> Result<Vec<Failing>, StoreError> {
        self.changes.run(|connection| Box::pin(directory::failing(connection))).await
    }

    pub(super) async fn tallies(
        &self,
        endpoints: Vec<Arc<str>>,
        since_day: i64,
    ) -> Result<HashMap<Arc<str>, Tally>, StoreError> {
        self.changes.run(move |connection| Box::pin(directory::tallies(connection, endpoints, since_day))).await
    }

    pub(super) async fn due_now(&self, delivery: Id, endpoint: String, now: UnixMillis) -> Result<bool, StoreError> {
        self.changes
            .run(move |connection| {
                Box::pin(async move {
                    let statement = connection.prepared(DUE_NOW).await?;
                    let found = connection.client.execute(&statement, &[&&delivery.0[..], &endpoint, &now.0]).await?;
                    Ok(found > 0)
                })
            })
            .await
    }

    pub(super) async fn settle(&self, settlement: Settlement) -> Result<bool, StoreError> {
        self.settlements.ask(settlement).await
    }

    pub(super) async fn waiting(&self, now: UnixMillis) -> Result<Vec<Waiting>, StoreError> {
        self.work.run(move |connection| Box::pin(waiting(connection, now))).await
    }

    pub(super) async fn lease(
        &self,
        room: Vec<Room>,
        now: UnixMillis,
        lease: Duration,
        token: i64,
    ) -> Result<Vec<Leased>, StoreError> {
        let until = now.after(lease);
        let leasing = self.work.run(move |connection| Box::pin(lease::lease(connection, room, now, until, token)));
        let (leased, version) = leasing.await?;
        self.version.fetch_max(version, Ordering::Relaxed);
        Ok(leased)
    }

    pub(super) fn version_leased_at(&self) -> i64 {
        self.version.load(Ordering::Relaxed)
    }

    pub(super) async fn purge(&self, now: UnixMillis, before: UnixMillis, most: u32) -> Result<u32, StoreError> {
        let slice = self.slice.fetch_add(1, Ordering::Relaxed);
        self.upkeep
            .run(move |connection| {
                Box::pin(async move {
                    sweep(connection, slice, now).await?;
                    answers::sweep(connection, slice, now).await?;
                    occurrences::sweep(connection, now).await?;
                    let forget = connection.prepared(FORGET_TALLIES).await?;
                    connection.client.execute(&forget, &[&day_of(now.before(TALLIES_KEPT))]).await?;
                    let (lock, purge) = (connection.prepared(LOCK_OLD).await?, connection.prepared(PURGE).await?);
                    let transaction = connection.client.transaction().await?;
                    let old = transaction.query(&lock, &[&before.0, &i64::from(most)]).await?;
                    let old: Vec<&[u8]> = old.iter().map(|row| row.get(0)).collect();
                    let gone = transaction.execute(&purge, &[&old]).await?;
                    transaction.commit().await?;
                    Ok(u32::try_from(gone).unwrap_or(most))
                })
            })
            .await
    }

    pub(super) async fn retry(&self, ids: Vec<Id>, now: UnixMillis) -> Result<Vec<Id>, StoreError> {
        self.operators
            .run(move |connection| {
                Box::pin(async move {
                    let ids: Vec<&[u8]> = ids.iter().map(|id| &id.0[..]).collect();
                    let statement = connection.prepared(RETRY).await?;
                    let rows = connection.client.query(&statement, &[&ids, &now.0]).await?;
                    Ok(rows.iter().map(|row| id(row, 0)).collect())
                })
            })
            .await
    }
}

async fn waiting(connection: &mut Connection, now: UnixMillis) -> Result<Vec<Waiting>, Error> {
    let (end, list) = (connection.prepared(END_LEASES).await?, connection.prepared(WAITING).await?);
    connection.client.execute(&end, &[&now.0]).await?;
    let rows = connection.client.query(&list, &[]).await?;
    let waiting = |row: &Row| Waiting { destination: row.get::<_, &str>(0).into(), due_at: UnixMillis(row.get(1)) };
    Ok(rows.iter().map(waiting).collect())
}

fn id(row: &Row, column: usize) -> Id {
    Id::from_slice(row.get(column))
}

fn status(row: &Row, column: usize) -> Option<u16> {
    row.get::<_, Option<i32>>(column).and_then(|status| status.try_into().ok())
}

/// Method, query, headers and body, from column `first` on.
fn message(row: &Row, first: usize) -> Message {
    Message {
        method: row.get(first),
        query: row.get(first + 1),
        headers: Bytes::from(row.get::<_, Vec<u8>>(first + 2)),
        body: Bytes::from(row.get::<_, Vec<u8>>(first + 3)),
    }
}
