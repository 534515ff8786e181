//! Writes down what became of deliveries in the embedded store.

use rusqlite::{Connection, Result, params};

use crate::store::{Attempt, Id, Settlement, Verdict, day_of};

pub fn settle(connection: &Connection, settlement: &Settlement) -> Result<bool> {
    let Settlement { id, token, verdict, attempt, endpoint } = settlement;
    let ended_at = attempt.ended_at();
    let charged = i64::from(attempt.charged);
    let changed = match verdict {
        Verdict::Delivered => connection
            .prepare_cached(
                "UPDATE deliveries SET state = 2, due_at = ?2, lease_token = NULL, attempts = attempts + ?3, \
                 reason = NULL WHERE id = ?1 AND state <> 2",
            )?
            .execute(params![id.0, ended_at.0, charged])?,
        Verdict::Again { due_at, possible_duplicate } => connection
            .prepare_cached(
                "UPDATE deliveries SET state = 0, due_at = ?3, lease_token = NULL, attempts = attempts + ?4, \
                 possible_duplicate = ?5 WHERE id = ?1 AND state = 1 AND lease_token = ?2",
            )?
            .execute(params![id.0, token, due_at.0, charged, possible_duplicate])?,
        Verdict::Dead { possible_duplicate, reason, consequence } => connection
            .prepare_cached(
                "UPDATE deliveries SET state = ?7, due_at = ?3, lease_token = NULL, attempts = attempts + ?4, \
                 possible_duplicate = ?5, reason = ?6 WHERE id = ?1 AND state = 1 AND lease_token = ?2",
            )?
            .execute(params![
                id.0,
                token,
                ended_at.0,
                charged,
                possible_duplicate,
                reason,
                consequence.state().code()
            ])?,
    };
    log(connection, *id, attempt)?;
    if changed > 0
        && let Some(endpoint) = endpoint
    {
        note_health(connection, endpoint, settlement)?;
        tally(connection, endpoint, settlement)?;
    }
    Ok(changed > 0)
}

fn log(connection: &Connection, delivery: Id, attempt: &Attempt) -> Result<()> {
    let sql = "INSERT OR IGNORE INTO attempts (delivery, started_at, duration_ms, status, error, charged, exchange) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(sql)?.execute(params![
        delivery.0,
        attempt.started_at.0,
        attempt.millis(),
        attempt.status,
        attempt.error,
        attempt.charged,
        attempt.exchange.as_deref(),
    ])?;
    Ok(())
}

/// A success ends what an endpoint failed before; a failure that is its own adds to it.
fn note_health(connection: &Connection, endpoint: &str, settlement: &Settlement) -> Result<()> {
    let attempt = &settlement.attempt;
    if settlement.verdict == Verdict::Delivered {
        connection.prepare_cached("DELETE FROM failing WHERE endpoint = ?1")?.execute([endpoint])?;
    } else if attempt.charged {
        let sql = "INSERT INTO failing AS f \
                (endpoint, since, last_at, attempts, last_status, last_error, last_event, gone, exhausted, warned) \
            SELECT ?1, ?2, ?3, 1, ?4, ?5, event, ?6, ?7, 0 FROM deliveries WHERE id = ?8 \
            ON CONFLICT DO UPDATE SET since = min(f.since, excluded.since), last_at = max(f.last_at, excluded.last_at), \
                attempts = f.attempts + 1, last_status = excluded.last_status, last_error = excluded.last_error, \
                last_event = excluded.last_event, gone = max(f.gone, excluded.gone), \
                exhausted = max(f.exhausted, excluded.exhausted)";
        connection.prepare_cached(sql)?.execute(params![
            endpoint,
            attempt.started_at.0,
            attempt.ended_at().0,
            attempt.status,
            attempt.error,
            settlement.verdict.says_gone(),
            settlement.verdict.disables(),
            settlement.id.0,
        ])?;
    }
    Ok(())
}

fn tally(connection: &Connection, endpoint: &str, settlement: &Settlement) -> Result<()> {
    let ended_at = settlement.attempt.ended_at();
    let (delivered_at, dead_at, duration) = match settlement.verdict {
        Verdict::Delivered => (Some(ended_at.0), None, settlement.attempt.millis()),
        Verdict::Dead { .. } => (None, Some(ended_at.0), 0),
        Verdict::Again { .. } => return Ok(()),
    };
    let sql = "INSERT INTO tallies AS t \
            (endpoint, day, delivered, dead, duration_ms, last_delivered_at, last_dead_at) \
        VALUES (?1, ?2, ?3 IS NOT NULL, ?4 IS NOT NULL, ?5, ?3, ?4) \
        ON CONFLICT DO UPDATE SET delivered = t.delivered + excluded.delivered, dead = t.dead + excluded.dead, \
            duration_ms = t.duration_ms + excluded.duration_ms, \
            last_delivered_at = coalesce(max(t.last_delivered_at, ?3), t.last_delivered_at, ?3), \
            last_dead_at = coalesce(max(t.last_dead_at, ?4), t.last_dead_at, ?4)";
    connection.prepare_cached(sql)?.execute(params![endpoint, day_of(ended_at), delivered_at, dead_at, duration])?;
    Ok(())
}
