//! Counts events that repeat, in the embedded store.

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::clock::UnixMillis;
use crate::store::NewEvent;
use crate::store::occurrences::{Counted, Told, WINDOWS_KEPT, Window};

/// Counts an event that is new.
pub fn count(connection: &Connection, event: &NewEvent) -> Result<Told> {
    let mut told = Told::of(event);
    for counted in &event.counted {
        told.add(counted, next(connection, counted, event.accepted_at)?);
    }
    Ok(told)
}

/// Which occurrence this is.
fn next(connection: &Connection, counted: &Counted, at: UnixMillis) -> Result<i64> {
    let (destination, of) = counted.key();
    let known = connection
        .prepare_cached("SELECT until, count FROM occurrences WHERE destination = ?1 AND of = ?2")?
        .query_row(params![destination, of], |row| Ok(Window { until: UnixMillis(row.get(0)?), count: row.get(1)? }))
        .optional()?;
    let mut window = known.unwrap_or(Window::NEVER);
    let occurrence = window.count(at, counted.window);
    connection
        .prepare_cached("INSERT OR REPLACE INTO occurrences (destination, of, until, count) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![destination, of, window.until.0, window.count])?;
    Ok(occurrence)
}

/// Forgets windows that are over.
pub fn sweep(connection: &Connection, now: UnixMillis) -> Result<()> {
    connection.prepare_cached("DELETE FROM occurrences WHERE until <= ?1")?.execute([now.before(WINDOWS_KEPT).0])?;
    Ok(())
}
