//! Leases what is due in the embedded store.

use std::sync::Arc;

use rusqlite::{Connection, Result, Row, params};

use super::message;
use crate::clock::UnixMillis;
use crate::store::{Id, Leased, Room};

macro_rules! leased {
    ($condition:literal) => {
        concat!(
            "SELECT d.id, d.event, d.created_at, d.attempts, d.possible_duplicate, coalesce(d.signed_at, ?2), ",
            "e.event_id, d.kind, e.method, e.query, e.headers, ",
            "CASE d.variant WHEN 0 THEN e.body ELSE ",
            "coalesce((SELECT body FROM bodies WHERE event = d.event AND variant = d.variant), e.body) END ",
            "FROM deliveries d JOIN events e ON e.id = d.event WHERE ",
            $condition
        )
    };
}

/// The longest due first.
const DUE: &str = leased!("d.state = 0 AND d.destination = ?1 AND d.due_at <= ?2 ORDER BY d.due_at LIMIT ?3");

/// The oldest, if it is due and none is leased. What was owed before its destination became an ordered one goes when
/// nothing else waits, and is ordered from then on.
const NEXT: &str = leased!(
    "d.id = coalesce(
        (SELECT id FROM deliveries WHERE ordered = 1 AND state IN (0, 1) AND destination = ?1 AND state = 0
            ORDER BY id LIMIT 1),
        (SELECT id FROM deliveries WHERE state = 0 AND destination = ?1 ORDER BY id LIMIT 1))
    AND d.due_at <= ?2
    AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE ordered = 1 AND state IN (0, 1) AND destination = ?1 AND state = 1)
    LIMIT min(?3, 1)"
);

pub fn lease(
    connection: &Connection,
    room: &[Room],
    now: UnixMillis,
    until: UnixMillis,
    token: i64,
) -> Result<Vec<Leased>> {
    let mut take = connection.prepare_cached(
        "UPDATE deliveries SET state = 1, due_at = ?2, lease_token = ?3, signed_at = ?4, ordered = max(ordered, ?5) \
         WHERE id = ?1",
    )?;
    let mut leased = Vec::new();
    for Room { destination, deliveries, ordered } in room {
        let mut due = connection.prepare_cached(if *ordered { NEXT } else { DUE })?;
        let limit = i64::try_from(*deliveries).unwrap_or(i64::MAX);
        let rows = due.query_map(params![&**destination, now.0, limit], |row| leased_row(row, destination, token))?;
        let first = leased.len();
        leased.extend(rows.collect::<Result<Vec<_>>>()?);
        for Leased { id, signed_at, .. } in &leased[first..] {
            take.execute(params![id.0, until.0, token, signed_at.0, ordered])?;
        }
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
        attempts: row.get(3)?,
        possible_duplicate: row.get(4)?,
        signed_at: UnixMillis(row.get(5)?),
        event_id: row.get(6)?,
        kind: row.get(7)?,
        message: message(row, 8)?,
    })
}
