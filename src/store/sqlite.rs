//! The embedded store: one file.

mod directory;
mod keep;
mod lease;
mod lists;
mod occurrences;
mod sent;
mod settle;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, Result, Row, params};
use tokio::sync::OnceCell;

use super::directory::TALLIES_KEPT;
use super::{
    Batch, BatchOutcome, Begin, Change, Changed, Failing, Id, Idempotent, Leased, Message, Owed, Owing, Records,
    Replayed, Room, Settlement, Tally, Waiting, day_of,
};
use crate::clock::UnixMillis;
use crate::database::StoreError;
use crate::database::sqlite::{Durability, Sqlite};
use crate::dedup::sqlite::sweep;

type Answer<T> = std::result::Result<T, StoreError>;

/// Events and deliveries in a file.
#[derive(Debug)]
pub struct SqliteStore {
    database: Arc<Sqlite>,
    /// Set once the leases have ended that were there at first, whose process is gone. Whoever leases waits for it.
    leases_ended: OnceCell<()>,
    /// Which part of the dedup keys is swept next.
    slice: AtomicU8,
}

impl SqliteStore {
    /// The store in `database`, which nobody else has.
    pub fn new(database: Arc<Sqlite>) -> Self {
        Self { database, leases_ended: OnceCell::new(), slice: AtomicU8::new(0) }
    }

    pub(super) async fn keep(&self, batch: Batch) -> Answer<BatchOutcome> {
        self.before_leases(batch.events.iter().flat_map(|event| &event.owed)).await?;
        self.database.write(Durability::Disk, move |c| keep::keep(c, &batch)).await
    }

    pub(super) async fn owe(
        &self,
        deliveries: Vec<(Id, Owed)>,
        now: UnixMillis,
        idempotent: Option<Idempotent>,
    ) -> Answer<Owing> {
        self.before_leases(deliveries.iter().map(|(_, owed)| owed)).await?;
        self.database.write(Durability::Disk, move |c| keep::owe(c, &deliveries, now, idempotent.as_ref())).await
    }

    pub(super) async fn records(&self, since: i64) -> Answer<Records> {
        self.database.read(move |c| directory::records(c, since)).await
    }

    pub(super) async fn change(&self, change: Change) -> Answer<Changed> {
        self.before_leases(change.events.iter().flat_map(|event| &event.owed)).await?;
        self.database.write(Durability::Disk, move |c| directory::change(c, &change)).await
    }

    pub(super) async fn answered(&self, key: [u8; 16], now: UnixMillis) -> Answer<Option<Replayed>> {
        self.database.read(move |c| keep::answered(c, key, now)).await
    }

    pub(super) async fn failing(&self) -> Answer<Vec<Failing>> {
        self.database.read(directory::failing).await
    }

    pub(super) async fn tallies(&self, endpoints: Vec<Arc<str>>, since_day: i64) -> Answer<HashMap<Arc<str>, Tally>> {
        self.database.read(move |c| directory::tallies(c, &endpoints, since_day)).await
    }

    /// Leases that are made here begin after those of the dead ended, or they would end with them.
    async fn before_leases(&self, mut owed: impl Iterator<Item = &Owed>) -> Answer<()> {
        if owed.any(|owed| matches!(owed.begin, Begin::Leased { .. })) {
            self.end_leases_of_the_dead().await?;
        }
        Ok(())
    }

    pub(super) async fn waiting(&self, now: UnixMillis) -> Answer<Vec<Waiting>> {
        self.end_leases_of_the_dead().await?;
        let (ended, waiting) = self.database.read(move |c| Ok((has_ended_leases(c, now)?, waiting(c)?))).await?;
        if !ended {
            return Ok(waiting);
        }
        let again = move |c: &Connection| {
            end_leases(c, now)?;
            self::waiting(c)
        };
        self.database.write(Durability::Process, again).await
    }

    pub(super) async fn lease(
        &self,
        room: Vec<Room>,
        now: UnixMillis,
        lease: Duration,
        token: i64,
    ) -> Answer<Vec<Leased>> {
        self.end_leases_of_the_dead().await?;
        // A loss of power must not take back a lease whose attempt has begun: nothing would say that its destination may
        // have the event.
        let work = move |c: &Connection| lease::lease(c, &room, now, now.after(lease), token);
        self.database.write(Durability::Disk, work).await
    }

    async fn end_leases_of_the_dead(&self) -> Answer<()> {
        let end = async || self.database.write(Durability::Process, end_all_leases).await.map(|_| ());
        self.leases_ended.get_or_try_init(end).await.map(|_| ())
    }

    pub(super) async fn settle(&self, settlement: Settlement) -> Answer<bool> {
        self.database.write(Durability::Disk, move |c| settle::settle(c, &settlement)).await
    }

    pub(super) async fn purge(&self, now: UnixMillis, before: UnixMillis, most: u32) -> Answer<u32> {
        let slice = self.slice.fetch_add(1, Ordering::Relaxed);
        let work = move |c: &Connection| {
            sweep(c, slice, now)?;
            sweep_answers(c, slice, now)?;
            let day = day_of(now.before(TALLIES_KEPT));
            c.prepare_cached("DELETE FROM tallies WHERE day < ?1")?.execute([day])?;
            occurrences::sweep(c, now)?;
            purge(c, before, most)
        };
        self.database.write(Durability::Process, work).await
    }

    pub(super) async fn due_now(&self, delivery: Id, endpoint: String, now: UnixMillis) -> Answer<bool> {
        self.database.write(Durability::Disk, move |c| due_now(c, delivery, &endpoint, now)).await
    }

    pub(super) async fn retry(&self, ids: Vec<Id>, now: UnixMillis) -> Answer<Vec<Id>> {
        self.database.write(Durability::Disk, move |c| retry(c, ids, now)).await
    }
}

fn has_ended_leases(connection: &Connection, now: UnixMillis) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM deliveries WHERE state = 1 AND due_at <= ?1)";
    connection.prepare_cached(sql)?.query_row([now.0], |row| row.get(0))
}

/// Nobody knows how far the attempts got whose leases ended by `now`.
fn end_leases(connection: &Connection, now: UnixMillis) -> Result<usize> {
    let sql = "UPDATE deliveries SET state = 0, lease_token = NULL, possible_duplicate = 1 \
        WHERE state = 1 AND due_at <= ?1";
    connection.prepare_cached(sql)?.execute([now.0])
}

/// Whoever had them is gone with its process: there is nothing to wait for.
fn end_all_leases(connection: &Connection) -> Result<usize> {
    let sql = "UPDATE deliveries SET state = 0, due_at = created_at, lease_token = NULL, possible_duplicate = 1 \
        WHERE state = 1";
    connection.execute(sql, [])
}

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

fn waiting(connection: &Connection) -> Result<Vec<Waiting>> {
    let mut statement = connection.prepare_cached(WAITING)?;
    let rows = statement.query_map([], |row| {
        Ok(Waiting { destination: row.get::<_, String>(0)?.into(), due_at: UnixMillis(row.get(1)?) })
    })?;
    rows.collect()
}

/// Method, query, headers and body, from column `first` on.
fn message(row: &Row<'_>, first: usize) -> Result<Message> {
    Ok(Message {
        method: row.get(first)?,
        query: row.get(first + 1)?,
        headers: Bytes::from(row.get::<_, Vec<u8>>(first + 2)?),
        body: Bytes::from(row.get::<_, Vec<u8>>(first + 3)?),
    })
}

/// Forgets answers whose time is over, among the keys that begin with this byte.
fn sweep_answers(connection: &Connection, slice: u8, now: UnixMillis) -> Result<()> {
    let (low, high) = ([slice], slice.checked_add(1).map(|next| [next]));
    let sql = "DELETE FROM answers WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) AND until <= ?3";
    connection.prepare_cached(sql)?.execute(params![low, high, now.0])?;
    Ok(())
}

fn purge(connection: &Connection, before: UnixMillis, most: u32) -> Result<u32> {
    let mut old = connection.prepare_cached(
        "SELECT id FROM events WHERE accepted_at < ?1 AND NOT EXISTS \
         (SELECT 1 FROM deliveries WHERE event = events.id AND state IN (0, 1)) ORDER BY accepted_at LIMIT ?2",
    )?;
    let ids = old.query_map(params![before.0, most], |row| row.get::<_, [u8; 16]>(0))?.collect::<Result<Vec<_>>>()?;
    for id in &ids {
        connection
            .prepare_cached("DELETE FROM attempts WHERE delivery IN (SELECT id FROM deliveries WHERE event = ?1)")?
            .execute([id])?;
        connection.prepare_cached("DELETE FROM deliveries WHERE event = ?1")?.execute([id])?;
        connection.prepare_cached("DELETE FROM bodies WHERE event = ?1")?.execute([id])?;
        connection.prepare_cached("DELETE FROM events WHERE id = ?1")?.execute([id])?;
    }
    Ok(u32::try_from(ids.len()).unwrap_or(most))
}

fn due_now(connection: &Connection, delivery: Id, endpoint: &str, now: UnixMillis) -> Result<bool> {
    let sql = "UPDATE deliveries SET due_at = min(due_at, ?3) WHERE id = ?1 AND destination = ?2 AND state = 0";
    Ok(connection.prepare_cached(sql)?.execute(params![delivery.0, endpoint, now.0])? > 0)
}

fn retry(connection: &Connection, ids: Vec<Id>, now: UnixMillis) -> Result<Vec<Id>> {
    let mut statement = connection.prepare_cached(
        "UPDATE deliveries SET state = 0, due_at = ?2, created_at = ?2, attempts = 0, reason = NULL, signed_at = NULL \
         WHERE id = ?1 AND state IN (0, 3)",
    )?;
    let mut found = Vec::new();
    for id in ids {
        if statement.execute(params![id.0, now.0])? > 0 {
            found.push(id);
        }
    }
    Ok(found)
}
