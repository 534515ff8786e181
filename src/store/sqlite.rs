//! The embedded store: one file.

mod lists;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, Result, Row, params};

use super::{Accepted, Attempt, Id, Leased, Message, NewEvent, Room, Settlement, Verdict, Waiting};
use crate::clock::UnixMillis;
use crate::database::StoreError;
use crate::database::sqlite::{Durability, Sqlite};
use crate::dedup::sqlite::{Remembered, remember, sweep};

/// Events and deliveries in a file.
#[derive(Debug)]
pub struct SqliteStore {
    database: Arc<Sqlite>,
    /// True until somebody wants to deliver: whatever is leased then was leased by a process that is gone.
    fresh: AtomicBool,
    /// Which part of the dedup keys is swept next.
    slice: AtomicU8,
}

impl SqliteStore {
    /// The store in `database`, which nobody else has.
    pub fn new(database: Arc<Sqlite>) -> Self {
        Self { database, fresh: AtomicBool::new(true), slice: AtomicU8::new(0) }
    }

    pub(super) async fn accept(&self, event: NewEvent) -> std::result::Result<Accepted, StoreError> {
        self.database.write(Durability::Disk, move |c| accept(c, &event)).await
    }

    pub(super) async fn waiting(&self, now: UnixMillis) -> std::result::Result<Vec<Waiting>, StoreError> {
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
    ) -> std::result::Result<Vec<Leased>, StoreError> {
        self.end_leases_of_the_dead().await?;
        // A loss of power must not take back a lease whose attempt has begun: nothing would say that its destination may
        // have the event.
        let work = move |c: &Connection| self::lease(c, &room, now, now.after(lease), token);
        self.database.write(Durability::Disk, work).await
    }

    async fn end_leases_of_the_dead(&self) -> std::result::Result<(), StoreError> {
        if !self.fresh.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let ended = self.database.write(Durability::Process, end_all_leases).await;
        if ended.is_err() {
            self.fresh.store(true, Ordering::Relaxed);
        }
        ended.map(|_| ())
    }

    pub(super) async fn settle(&self, settlement: Settlement) -> std::result::Result<bool, StoreError> {
        self.database.write(Durability::Disk, move |c| settle(c, &settlement)).await
    }

    pub(super) async fn purge(
        &self,
        now: UnixMillis,
        before: UnixMillis,
        most: u32,
    ) -> std::result::Result<u32, StoreError> {
        let slice = self.slice.fetch_add(1, Ordering::Relaxed);
        let work = move |c: &Connection| {
            sweep(c, slice, now)?;
            purge(c, before, most)
        };
        self.database.write(Durability::Process, work).await
    }

    pub(super) async fn retry(&self, ids: Vec<Id>, now: UnixMillis) -> std::result::Result<Vec<Id>, StoreError> {
        self.database.write(Durability::Disk, move |c| retry(c, ids, now)).await
    }

    pub(super) async fn replay(
        &self,
        event: Id,
        destinations: Vec<Arc<str>>,
        now: UnixMillis,
    ) -> std::result::Result<Option<Vec<Id>>, StoreError> {
        self.database.write(Durability::Disk, move |c| replay(c, event, &destinations, now)).await
    }
}

fn accept(connection: &Connection, event: &NewEvent) -> Result<Accepted> {
    let mut possible_duplicate = false;
    if let Some(what) = event.remember {
        match remember(connection, what.keys, what.ttl, event.accepted_at)? {
            Remembered::New { possible_duplicate: known } => possible_duplicate = known,
            Remembered::Known { fingerprint } => {
                return Ok(Accepted::Duplicate { conflict: fingerprint != what.keys.fingerprint });
            }
        }
    }
    let message = &event.message;
    let mut statement = connection.prepare_cached(
        "INSERT INTO events (id, source, event_id, accepted_at, method, query, headers, body) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement.execute(params![
        event.id.0,
        event.source,
        event.event_id,
        event.accepted_at.0,
        message.method,
        message.query,
        &message.headers[..],
        &message.body[..],
    ])?;
    for owed in &event.owed {
        owe(connection, event.id, &owed.destination, event.accepted_at, possible_duplicate)?;
    }
    Ok(Accepted::New)
}

/// A delivery of `event`, due at once.
fn owe(connection: &Connection, event: Id, destination: &str, now: UnixMillis, possible_duplicate: bool) -> Result<Id> {
    let id = Id::new(now);
    let mut statement = connection.prepare_cached(
        "INSERT INTO deliveries (id, event, destination, created_at, state, due_at, attempts, possible_duplicate) \
         VALUES (?1, ?2, ?3, ?4, 0, ?4, 0, ?5)",
    )?;
    statement.execute(params![id.0, event.0, destination, now.0, possible_duplicate])?;
    Ok(id)
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

fn lease(
    connection: &Connection,
    room: &[Room],
    now: UnixMillis,
    until: UnixMillis,
    token: i64,
) -> Result<Vec<Leased>> {
    let mut due = connection.prepare_cached(
        "SELECT d.id, d.event, d.created_at, d.attempts, d.possible_duplicate, e.method, e.query, e.headers, e.body \
         FROM deliveries d JOIN events e ON e.id = d.event \
         WHERE d.state = 0 AND d.destination = ?1 AND d.due_at <= ?2 ORDER BY d.due_at LIMIT ?3",
    )?;
    let mut take =
        connection.prepare_cached("UPDATE deliveries SET state = 1, due_at = ?2, lease_token = ?3 WHERE id = ?1")?;
    let mut leased = Vec::new();
    for Room { destination, deliveries, .. } in room {
        let limit = i64::try_from(*deliveries).unwrap_or(i64::MAX);
        let rows = due.query_map(params![&**destination, now.0, limit], |row| leased_row(row, destination, token))?;
        leased.extend(rows.collect::<Result<Vec<_>>>()?);
    }
    for delivery in &leased {
        take.execute(params![delivery.id.0, until.0, token])?;
    }
    Ok(leased)
}

fn leased_row(row: &Row<'_>, destination: &Arc<str>, token: i64) -> Result<Leased> {
    Ok(Leased {
        id: Id(row.get(0)?),
        event: Id(row.get(1)?),
        token,
        destination: Arc::clone(destination),
        created_at: UnixMillis(row.get(2)?),
        signed_at: UnixMillis(row.get(2)?),
        attempts: row.get(3)?,
        possible_duplicate: row.get(4)?,
        event_id: None,
        kind: None,
        message: message(row, 5)?,
    })
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

fn settle(connection: &Connection, settlement: &Settlement) -> Result<bool> {
    let Settlement { id, token, verdict, attempt, .. } = settlement;
    let ended_at = attempt.started_at.after(attempt.duration);
    let charged = i64::from(attempt.charged);
    let changed = match verdict {
        Verdict::Delivered => connection
            .prepare_cached(
                "UPDATE deliveries SET state = 2, due_at = ?2, lease_token = NULL, attempts = attempts + ?3 \
                 WHERE id = ?1 AND state <> 2",
            )?
            .execute(params![id.0, ended_at.0, charged])?,
        Verdict::Again { due_at, possible_duplicate } => connection
            .prepare_cached(
                "UPDATE deliveries SET state = 0, due_at = ?3, lease_token = NULL, attempts = attempts + ?4, \
                 possible_duplicate = ?5 WHERE id = ?1 AND state = 1 AND lease_token = ?2",
            )?
            .execute(params![id.0, token, due_at.0, charged, possible_duplicate])?,
        Verdict::Dead { possible_duplicate, .. } => connection
            .prepare_cached(
                "UPDATE deliveries SET state = 3, due_at = ?3, lease_token = NULL, attempts = attempts + ?4, \
                 possible_duplicate = ?5 WHERE id = ?1 AND state = 1 AND lease_token = ?2",
            )?
            .execute(params![id.0, token, ended_at.0, charged, possible_duplicate])?,
    };
    log(connection, *id, attempt)?;
    Ok(changed > 0)
}

fn log(connection: &Connection, delivery: Id, attempt: &Attempt) -> Result<()> {
    let duration = i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO attempts (delivery, started_at, duration_ms, status, error, charged) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(
            params![delivery.0, attempt.started_at.0, duration, attempt.status, attempt.error, attempt.charged,],
        )?;
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
        connection.prepare_cached("DELETE FROM events WHERE id = ?1")?.execute([id])?;
    }
    Ok(u32::try_from(ids.len()).unwrap_or(most))
}

fn retry(connection: &Connection, ids: Vec<Id>, now: UnixMillis) -> Result<Vec<Id>> {
    let mut statement = connection.prepare_cached(
        "UPDATE deliveries SET state = 0, due_at = ?2, created_at = ?2, attempts = 0 WHERE id = ?1 AND state IN (0, 3)",
    )?;
    let mut found = Vec::new();
    for id in ids {
        if statement.execute(params![id.0, now.0])? > 0 {
            found.push(id);
        }
    }
    Ok(found)
}

fn replay(connection: &Connection, event: Id, destinations: &[Arc<str>], now: UnixMillis) -> Result<Option<Vec<Id>>> {
    let known = connection.prepare_cached("SELECT 1 FROM events WHERE id = ?1")?.exists([event.0])?;
    if !known {
        return Ok(None);
    }
    let ids = destinations.iter().map(|destination| owe(connection, event, destination, now, true));
    ids.collect::<Result<Vec<_>>>().map(Some)
}
