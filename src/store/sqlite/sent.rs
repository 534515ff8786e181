//! What customers ask, of the embedded store.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Result, Row, ToSql, params};
use serde::Serialize;

use super::lists::{attempt_row, range};
use super::{Answer, SqliteStore};
use crate::clock::UnixMillis;
use crate::database::sqlite::Durability;
use crate::store::{
    AttemptRow, Id, SentDetail, SentEvent, SentEventFilter, SentFilter, SentPage, SentRow, State, Trigger, Unrecovered,
};

impl SqliteStore {
    pub(in crate::store) async fn sent(&self, filter: SentFilter) -> Answer<SentPage<SentRow>> {
        self.database.read(move |c| sent(c, &filter)).await
    }

    pub(in crate::store) async fn sent_delivery(&self, endpoint: String, id: Id) -> Answer<Option<SentDetail>> {
        self.database.read(move |c| sent_delivery(c, &endpoint, id)).await
    }

    pub(in crate::store) async fn sent_events(&self, filter: SentEventFilter) -> Answer<SentPage<SentEvent>> {
        self.database.read(move |c| sent_events(c, &filter)).await
    }

    pub(in crate::store) async fn sent_event(&self, account: String, event_id: String) -> Answer<Option<SentEvent>> {
        self.database.read(move |c| sent_event(c, &account, &event_id)).await
    }

    pub(in crate::store) async fn add_body(&self, event: Id, body: Bytes) -> Answer<Option<u16>> {
        self.database.write(Durability::Disk, move |c| add_body(c, event, &body)).await
    }

    pub(in crate::store) async fn unrecovered(&self, asked: Unrecovered) -> Answer<Vec<(Id, Id, u16)>> {
        self.database.read(move |c| unrecovered(c, &asked)).await
    }
}

/// A delivery `d` with its event `e` and its last attempt `a`.
const SENT: &str = "
    SELECT d.id, d.event, coalesce(e.event_id, ''), d.kind, d.destination, d.state, d.reason, d.trigger, d.created_at,
        d.due_at, d.attempts, d.variant, e.body,
        (SELECT body FROM bodies WHERE event = d.event AND variant = d.variant),
        a.started_at, a.duration_ms, a.status, a.error, a.charged
    FROM deliveries d JOIN events e ON e.id = d.event LEFT JOIN attempts a ON a.delivery = d.id
        AND a.started_at = (SELECT max(started_at) FROM attempts WHERE delivery = d.id)";

fn sent(connection: &Connection, filter: &SentFilter) -> Result<SentPage<SentRow>> {
    // Each has an index of its own, which a condition that may be absent would not use.
    let (destinations, narrowed) = match (&filter.endpoints[..], filter.event) {
        (all, Some(_)) => (names(all), "+d.destination IN (SELECT value FROM json_each(?1)) AND d.event = ?2"),
        ([one], None) => (one.to_string(), "d.destination = ?1 AND ?2 IS NULL"),
        (all, None) => (names(all), "d.destination IN (SELECT value FROM json_each(?1)) AND ?2 IS NULL"),
    };
    let list = format!(
        "FROM deliveries d WHERE d.kind IS NOT NULL AND {narrowed} \
         AND (?3 IS NULL OR d.state IN (SELECT value FROM json_each(?3))) \
         AND (?4 IS NULL OR (d.attempts > 0) = ?4) AND (?5 IS NULL OR d.reason IN (SELECT value FROM json_each(?5))) AND (?6 IS NULL OR d.kind = ?6) \
         AND (?7 IS NULL OR \
             ?7 = (SELECT status FROM attempts WHERE delivery = d.id ORDER BY started_at DESC LIMIT 1)) \
         AND d.id >= ?8 AND d.id < ?9"
    );
    let event = filter.event.map(|id| id.0);
    let states = (!filter.states.is_empty()).then(|| codes(&filter.states));
    let reasons = (!filter.reasons.is_empty()).then(|| json(&filter.reasons));
    let (low, high) = range(filter.since, filter.until, None);
    let (_, before) = range(filter.since, filter.until, filter.after);
    let (destinations, limit) = (&destinations, filter.limit + 1);
    let narrow: [&dyn ToSql; 8] =
        [destinations, &event, &states, &filter.attempted, &reasons, &filter.kind, &filter.status, &low];

    // Of one moment.
    let reading = connection.unchecked_transaction()?;
    let counted: [&[&dyn ToSql]; 2] = [&narrow, &[&high]];
    let mut count = reading.prepare_cached(&format!("SELECT count(*) {list}"))?;
    let total: u64 = count.query_row(&counted.concat()[..], |row| row.get(0))?;
    let asked: [&[&dyn ToSql]; 2] = [&narrow, &[&before, &limit]];
    let page = format!("{SENT} WHERE d.id IN (SELECT d.id {list} ORDER BY d.id DESC LIMIT ?10) ORDER BY d.id DESC");
    let mut statement = reading.prepare_cached(&page)?;
    let rows = statement.query_map(&asked.concat()[..], sent_row)?.collect::<Result<Vec<_>>>()?;
    Ok(SentPage::of(rows, filter.limit, total, |row| row.id))
}

fn sent_delivery(connection: &Connection, endpoint: &str, id: Id) -> Result<Option<SentDetail>> {
    let sql = format!("{SENT} WHERE d.id = ?1 AND d.destination = ?2 AND d.kind IS NOT NULL");
    let Some(row) = connection.prepare_cached(&sql)?.query_row(params![id.0, endpoint], sent_row).optional()? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT started_at, duration_ms, status, error, charged, exchange FROM attempts WHERE delivery = ?1 \
         ORDER BY started_at",
    )?;
    let attempts = statement
        .query_map([id.0], |row| Ok((attempt_row(row, 0)?, row.get::<_, Option<Vec<u8>>>(5)?.map(Into::into))))?;
    Ok(Some(SentDetail { row, attempts: attempts.collect::<Result<Vec<_>>>()? }))
}

fn sent_row(row: &Row<'_>) -> Result<SentRow> {
    let event_body = Bytes::from(row.get::<_, Vec<u8>>(12)?);
    let body: Option<Vec<u8>> = row.get(13)?;
    let attempted = row.get::<_, Option<i64>>(14)?.is_some();
    let last: Option<AttemptRow> = if attempted { Some(attempt_row(row, 14)?) } else { None };
    Ok(SentRow {
        id: Id(row.get(0)?),
        event: Id(row.get(1)?),
        event_id: row.get(2)?,
        kind: row.get(3)?,
        endpoint: row.get(4)?,
        state: State::from_code(row.get(5)?),
        reason: row.get(6)?,
        trigger: Trigger::from_code(row.get(7)?),
        created_at: UnixMillis(row.get(8)?),
        at: UnixMillis(row.get(9)?),
        attempts: row.get(10)?,
        variant: row.get(11)?,
        last,
        body: body.map_or_else(|| event_body.clone(), Into::into),
        event_body,
    })
}

const EVENT: &str = "SELECT id, coalesce(event_id, ''), kind, accepted_at, headers, body FROM events";

fn sent_events(connection: &Connection, filter: &SentEventFilter) -> Result<SentPage<SentEvent>> {
    let list = "account = ?1 AND (?2 IS NULL OR kind = ?2) AND id >= ?3 AND id < ?4";
    let (low, high) = range(filter.since, filter.until, None);
    let (_, before) = range(filter.since, filter.until, filter.after);
    let (account, limit) = (&*filter.account, filter.limit + 1);

    // Of one moment.
    let reading = connection.unchecked_transaction()?;
    let mut count = reading.prepare_cached(&format!("SELECT count(*) FROM events WHERE {list}"))?;
    let total: u64 = count.query_row(params![account, filter.kind, low, high], |row| row.get(0))?;
    let mut statement = reading.prepare_cached(&format!("{EVENT} WHERE {list} ORDER BY id DESC LIMIT ?5"))?;
    let rows = statement.query_map(params![account, filter.kind, low, before, limit], event_row)?;
    let rows = rows.map(|row| with_deliveries(&reading, row?)).collect::<Result<Vec<_>>>()?;
    Ok(SentPage::of(rows, filter.limit, total, |row| row.id))
}

fn sent_event(connection: &Connection, account: &str, event_id: &str) -> Result<Option<SentEvent>> {
    // An account's events are many, those with one id few.
    let sql = format!("{EVENT} WHERE event_id = ?2 AND +account = ?1 ORDER BY id DESC LIMIT 1");
    let found = connection.prepare_cached(&sql)?.query_row(params![account, event_id], event_row).optional()?;
    found.map(|event| with_deliveries(connection, event)).transpose()
}

fn event_row(row: &Row<'_>) -> Result<SentEvent> {
    Ok(SentEvent {
        id: Id(row.get(0)?),
        event_id: row.get(1)?,
        kind: row.get(2)?,
        accepted_at: UnixMillis(row.get(3)?),
        headers: row.get::<_, Vec<u8>>(4)?.into(),
        body: row.get::<_, Vec<u8>>(5)?.into(),
        deliveries: Vec::new(),
    })
}

fn with_deliveries(connection: &Connection, event: SentEvent) -> Result<SentEvent> {
    let sql = "SELECT state, count(*) FROM deliveries WHERE event = ?1 GROUP BY state ORDER BY state";
    let mut statement = connection.prepare_cached(sql)?;
    let counts = statement.query_map([event.id.0], |row| Ok((State::from_code(row.get(0)?), row.get(1)?)))?;
    Ok(SentEvent { deliveries: counts.collect::<Result<Vec<_>>>()?, ..event })
}

fn add_body(connection: &Connection, event: Id, body: &[u8]) -> Result<Option<u16>> {
    let sql = "INSERT INTO bodies (event, variant, body) \
        SELECT id, coalesce((SELECT max(variant) FROM bodies WHERE event = ?1), 0) + 1, ?2 FROM events WHERE id = ?1 \
        RETURNING variant";
    connection.prepare_cached(sql)?.query_row(params![event.0, body], |row| row.get(0)).optional()
}

fn unrecovered(connection: &Connection, asked: &Unrecovered) -> Result<Vec<(Id, Id, u16)>> {
    let mut statement = connection.prepare_cached(
        "SELECT d.id, d.event, d.variant FROM deliveries d \
         WHERE d.kind IS NOT NULL AND d.destination = ?1 AND d.state IN (SELECT value FROM json_each(?2)) \
             AND (d.state <> 3 OR ?7 IS NULL OR d.reason IN (SELECT value FROM json_each(?7))) \
             AND d.id >= ?3 AND d.id > ?5 AND d.id < ?4 AND NOT EXISTS ( \
                 SELECT 1 FROM deliveries later WHERE later.event = d.event AND +later.destination = ?1 \
                     AND later.id > d.id AND (later.state IN (0, 1, 2) \
                         OR (later.id < ?4 AND later.state IN (SELECT value FROM json_each(?2))))) \
         ORDER BY d.id LIMIT ?6",
    )?;
    let (low, high) = range(Some(asked.since), Some(asked.until), None);
    let after = asked.after.unwrap_or(Id([0; 16]));
    let found = |row: &Row<'_>| Ok((Id(row.get(0)?), Id(row.get(1)?), row.get(2)?));
    let reasons = (!asked.reasons.is_empty()).then(|| json(&asked.reasons));
    statement
        .query_map(params![asked.endpoint, codes(&asked.states), low, high, after.0, asked.limit, reasons], found)?
        .collect()
}

fn codes(states: &[State]) -> String {
    json(&states.iter().map(|state| state.code()).collect::<Vec<_>>())
}

fn names(endpoints: &[Arc<str>]) -> String {
    json(&endpoints.iter().map(|name| &**name).collect::<Vec<_>>())
}

fn json(values: &impl Serialize) -> String {
    serde_json::to_string(values).expect("a list of numbers or strings")
}
