//! Keeps events, deliveries and answers in the embedded store.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::directory::version;
use super::occurrences;
use crate::clock::UnixMillis;
use crate::dedup::sqlite::{Remembered, remember};
use crate::store::{Accepted, Batch, BatchOutcome, Id, Idempotent, NewEvent, Owed, Owing, Replayed};

pub fn keep(connection: &Connection, batch: &Batch) -> Result<BatchOutcome> {
    if let Some(known) = replayed(connection, batch.idempotent.as_ref(), batch.at())? {
        return Ok(BatchOutcome::Replayed(known));
    }
    if let Some(decided_on) = batch.directory
        && decided_on != version(connection)?
    {
        return Ok(BatchOutcome::Outdated);
    }
    let accepted = keep_events(connection, &batch.events)?;
    if accepted.iter().all(|accepted| *accepted == Accepted::New) {
        keep_answer(connection, batch.idempotent.as_ref())?;
    }
    Ok(BatchOutcome::Kept(accepted))
}

pub fn keep_events(connection: &Connection, events: &[NewEvent]) -> Result<Vec<Accepted>> {
    events.iter().map(|event| keep_event(connection, event)).collect()
}

fn keep_event(connection: &Connection, event: &NewEvent) -> Result<Accepted> {
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
        "INSERT INTO events (id, source, event_id, accepted_at, method, query, headers, body, account, kind) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
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
        event.account(),
        event.kind(),
    ])?;
    let told = occurrences::count(connection, event)?;
    for (variant, body) in (1_u16..).zip(&event.variants).chain(told.bodies()) {
        let sql = "INSERT INTO bodies (event, variant, body) VALUES (?1, ?2, ?3)";
        connection.prepare_cached(sql)?.execute(params![event.id.0, variant, &body[..]])?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO deliveries (id, event, destination, created_at, state, due_at, lease_token, attempts, \
             possible_duplicate, variant, ordered, trigger, reason, signed_at, kind) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for owed in event.owed.iter().chain(&told.owed) {
        let begun = owed.begin.written(event.accepted_at);
        statement.execute(params![
            owed.id.0,
            event.id.0,
            &*owed.destination,
            event.accepted_at.0,
            begun.state.code(),
            begun.due_at.0,
            begun.token,
            possible_duplicate,
            owed.variant,
            owed.ordered,
            owed.trigger.code(),
            begun.reason,
            begun.signed_at.map(|at| at.0),
            event.kind(),
        ])?;
    }
    Ok(Accepted::New)
}

pub fn owe(
    connection: &Connection,
    deliveries: &[(Id, Owed)],
    now: UnixMillis,
    idempotent: Option<&Idempotent>,
) -> Result<Owing> {
    if let Some(known) = replayed(connection, idempotent, now)? {
        return Ok(Owing::Replayed(known));
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO deliveries (id, event, destination, created_at, state, due_at, lease_token, attempts, \
             possible_duplicate, variant, ordered, trigger, reason, signed_at, kind) \
         SELECT ?1, id, ?3, ?4, ?5, ?6, ?7, 0, 1, ?8, ?9, ?10, ?11, ?12, kind FROM events WHERE id = ?2",
    )?;
    let mut made = Vec::with_capacity(deliveries.len());
    for (event, owed) in deliveries {
        let begun = owed.begin.written(now);
        let written = statement.execute(params![
            owed.id.0,
            event.0,
            &*owed.destination,
            now.0,
            begun.state.code(),
            begun.due_at.0,
            begun.token,
            owed.variant,
            owed.ordered,
            owed.trigger.code(),
            begun.reason,
            begun.signed_at.map(|at| at.0),
        ])?;
        made.push(written > 0);
    }
    if made.contains(&true) {
        keep_answer(connection, idempotent)?;
    }
    Ok(Owing::Done(made))
}

/// What was answered to this request before, where it may come again.
pub fn replayed(connection: &Connection, idempotent: Option<&Idempotent>, now: UnixMillis) -> Result<Option<Replayed>> {
    match idempotent {
        Some(idempotent) => answered(connection, idempotent.key, now),
        None => Ok(None),
    }
}

pub fn answered(connection: &Connection, key: [u8; 16], now: UnixMillis) -> Result<Option<Replayed>> {
    let sql = "SELECT request, response FROM answers WHERE key = ?1 AND until > ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row(params![key, now.0], |row| {
        Ok(Replayed { request: row.get(0)?, response: row.get::<_, Vec<u8>>(1)?.into() })
    });
    row.optional()
}

pub fn keep_answer(connection: &Connection, idempotent: Option<&Idempotent>) -> Result<()> {
    let Some(Idempotent { key, request, response, until }) = idempotent else { return Ok(()) };
    let sql = "INSERT OR REPLACE INTO answers (key, request, response, until) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute(params![key, request, &response[..], until.0])?;
    Ok(())
}
