//! The directory, and how endpoints are doing, in the embedded store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::keep::{keep_answer, keep_events, replayed};
use crate::clock::UnixMillis;
use crate::store::{Change, Changed, Failing, Health, Id, Record, RecordKind, Records, Tally};

pub fn version(connection: &Connection) -> Result<i64> {
    connection.prepare_cached("SELECT version FROM directory")?.query_row([], |row| row.get(0))
}

/// One statement, so that version and documents are of one moment.
pub fn records(connection: &Connection, since: i64) -> Result<Records> {
    let mut statement = connection.prepare_cached(
        "SELECT directory.version, kind, account, id, document FROM directory LEFT JOIN records \
         ON records.version > ?1 ORDER BY records.version, kind, account, id",
    )?;
    let mut rows = statement.query([since])?;
    let mut found = Records { version: since, changed: Vec::new() };
    while let Some(row) = rows.next()? {
        found.version = row.get(0)?;
        let Some(kind) = row.get::<_, Option<i16>>(1)?.and_then(RecordKind::from_code) else { continue };
        let (account, id): (String, String) = (row.get(2)?, row.get(3)?);
        let document: Option<Vec<u8>> = row.get(4)?;
        let document = document.map(Into::into);
        found.changed.push(Record { kind, account: account.into(), id: id.into(), document });
    }
    Ok(found)
}

pub fn change(connection: &Connection, change: &Change) -> Result<Changed> {
    if let Some(known) = replayed(connection, change.idempotent.as_ref(), change.at)? {
        return Ok(Changed::Replayed(known));
    }
    let found = version(connection)?;
    if found != change.version {
        return Ok(Changed::Outdated);
    }
    let version = if change.records.is_empty() { found } else { found + 1 };
    write_records(connection, &change.records, version)?;
    for (destination, reason) in &change.cancel {
        let sql = "UPDATE deliveries SET state = 5, due_at = ?2, reason = ?3 WHERE state = 0 AND destination = ?1";
        connection.prepare_cached(sql)?.execute(params![&**destination, change.at.0, reason])?;
    }
    for destination in &change.order {
        for sql in [
            "UPDATE deliveries SET ordered = 1 WHERE state = 0 AND destination = ?1",
            "UPDATE deliveries SET ordered = 1 WHERE state = 1 AND destination = ?1",
        ] {
            connection.prepare_cached(sql)?.execute([&**destination])?;
        }
    }
    for (endpoint, health) in &change.health {
        set_health(connection, endpoint, *health)?;
    }
    keep_events(connection, &change.events)?;
    keep_answer(connection, change.idempotent.as_ref())?;
    Ok(Changed::Done { version })
}

fn write_records(connection: &Connection, records: &[Record], version: i64) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    connection.prepare_cached("UPDATE directory SET version = ?1")?.execute([version])?;
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO records (kind, account, id, version, document) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for Record { kind, account, id, document } in records {
        put.execute(params![kind.code(), &**account, &**id, version, document.as_deref()])?;
    }
    Ok(())
}

fn set_health(connection: &Connection, endpoint: &str, health: Health) -> Result<()> {
    let statements: &[&str] = match health {
        Health::Warned => &["UPDATE failing SET warned = 1 WHERE endpoint = ?1"],
        Health::Cleared => &["DELETE FROM failing WHERE endpoint = ?1"],
        Health::Forgotten => &[
            "DELETE FROM tallies WHERE endpoint = ?1",
            "DELETE FROM failing WHERE endpoint = ?1",
            "DELETE FROM occurrences WHERE destination = ?1",
        ],
    };
    for sql in statements {
        connection.prepare_cached(sql)?.execute([endpoint])?;
    }
    Ok(())
}

pub fn failing(connection: &Connection) -> Result<Vec<Failing>> {
    let mut statement = connection.prepare_cached(
        "SELECT endpoint, since, last_at, attempts, last_status, last_error, last_event, gone, exhausted, warned \
         FROM failing ORDER BY endpoint",
    )?;
    let failing = |row: &Row<'_>| {
        Ok(Failing {
            endpoint: row.get::<_, String>(0)?.into(),
            since: UnixMillis(row.get(1)?),
            last_at: UnixMillis(row.get(2)?),
            attempts: row.get(3)?,
            last_status: row.get(4)?,
            last_error: row.get(5)?,
            last_event: Id(row.get(6)?),
            gone: row.get(7)?,
            exhausted: row.get(8)?,
            warned: row.get(9)?,
        })
    };
    statement.query_map([], failing)?.collect()
}

pub fn tallies(connection: &Connection, endpoints: &[Arc<str>], since_day: i64) -> Result<HashMap<Arc<str>, Tally>> {
    let mut statement = connection.prepare_cached(
        "SELECT sum(delivered), sum(dead), sum(duration_ms), max(last_delivered_at), max(last_dead_at) FROM tallies \
         WHERE endpoint = ?1 AND day >= ?2 HAVING count(*) > 0",
    )?;
    let tally = |row: &Row<'_>| {
        Ok(Tally {
            delivered: row.get(0)?,
            dead: row.get(1)?,
            duration: Duration::from_millis(row.get(2)?),
            last_delivered_at: row.get::<_, Option<i64>>(3)?.map(UnixMillis),
            last_dead_at: row.get::<_, Option<i64>>(4)?.map(UnixMillis),
        })
    };
    let mut found = HashMap::new();
    for endpoint in endpoints {
        if let Some(sum) = statement.query_row(params![&**endpoint, since_day], tally).optional()? {
            found.insert(Arc::clone(endpoint), sum);
        }
    }
    Ok(found)
}
