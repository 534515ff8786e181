//! What customers ask, of PostgreSQL.

use std::collections::HashMap;

use bytes::Bytes;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::lists::{attempt_row, range};
use super::{PostgresStore, id};
use crate::clock::UnixMillis;
use crate::database::StoreError;
use crate::database::postgres::Connection;
use crate::store::{
    Id, SentDetail, SentEvent, SentEventFilter, SentFilter, SentPage, SentRow, State, Trigger, Unrecovered,
};

/// A delivery `d` with its event `e` and its last attempt `a`.
macro_rules! sent {
    ($first:literal, $rest:literal) => {
        concat!(
            $first,
            "d.id, d.event, coalesce(e.event_id, ''), d.kind, d.destination, d.state, d.reason, d.trigger, d.created_at,
                d.due_at, d.attempts, d.variant, e.body,
                (SELECT body FROM bodies WHERE event = d.event AND variant = d.variant),
                a.started_at, a.duration_ms, a.status, a.error, a.charged
            FROM deliveries d JOIN events e ON e.id = d.event LEFT JOIN LATERAL (
                SELECT started_at, duration_ms, status, error, charged FROM attempts WHERE delivery = d.id
                ORDER BY started_at DESC LIMIT 1
            ) a ON true ",
            $rest
        )
    };
}

/// The whole list is counted, so it is had once, and the page taken of it. The first column says how long it is, also
/// where the page is empty.
const SENT: &str = sent!(
    "WITH list AS MATERIALIZED (
        SELECT id FROM deliveries d WHERE d.kind IS NOT NULL AND d.destination = ANY ($1)
            AND ($2::bytea IS NULL OR d.event = $2) AND ($3::smallint[] IS NULL OR d.state = ANY ($3))
            AND ($4::boolean IS NULL OR (d.attempts > 0) = $4) AND ($5::text[] IS NULL OR d.reason = ANY ($5))
            AND ($6::text IS NULL OR d.kind = $6) AND ($7::integer IS NULL OR $7 = (
                SELECT status FROM attempts WHERE delivery = d.id ORDER BY started_at DESC LIMIT 1))
            AND d.id >= $8 AND d.id < $9
    ), page AS MATERIALIZED (
        SELECT id FROM list WHERE id < $10 ORDER BY id DESC LIMIT $11
    )
    SELECT counted.total, row.* FROM (SELECT count(*) AS total FROM list) counted LEFT JOIN (SELECT ",
    "WHERE d.id IN (SELECT id FROM page)) row ON true ORDER BY row.id DESC"
);

const SENT_DELIVERY: &str =
    sent!("SELECT 0::bigint, ", "WHERE d.id = $1 AND d.destination = $2 AND d.kind IS NOT NULL");

const ATTEMPTS: &str = "SELECT started_at, duration_ms, status, error, charged, exchange FROM attempts \
    WHERE delivery = $1 ORDER BY started_at";

/// As with deliveries.
const SENT_EVENTS: &str = "
    WITH list AS MATERIALIZED (
        SELECT id FROM events WHERE account = $1 AND ($2::text IS NULL OR kind = $2) AND id >= $3 AND id < $4
    ), page AS MATERIALIZED (
        SELECT id FROM list WHERE id < $5 ORDER BY id DESC LIMIT $6
    )
    SELECT counted.total, row.* FROM (SELECT count(*) AS total FROM list) counted LEFT JOIN (
        SELECT id, coalesce(event_id, ''), kind, accepted_at, headers, body FROM events
        WHERE id IN (SELECT id FROM page)
    ) row ON true ORDER BY row.id DESC";

/// Without `OFFSET` it could be looked for among all events of the account, the latest first.
const SENT_EVENT: &str = "
    SELECT 0::bigint, e.* FROM (
        SELECT id, coalesce(event_id, ''), kind, accepted_at, headers, body FROM events
        WHERE account = $1 AND event_id = $2 OFFSET 0
    ) e ORDER BY id DESC LIMIT 1";

const DELIVERIES: &str =
    "SELECT event, state, count(*) FROM deliveries WHERE event = ANY ($1) GROUP BY event, state ORDER BY state";

const UNRECOVERED: &str = "
    SELECT d.id, d.event, d.variant FROM deliveries d
    WHERE d.kind IS NOT NULL AND d.destination = $1 AND d.state = ANY ($2) AND d.id >= $3 AND d.id < $4 AND d.id > $5
        AND (d.state <> 3 OR $7::text[] IS NULL OR d.reason = ANY ($7))
        AND NOT EXISTS (
            SELECT 1 FROM deliveries later WHERE later.event = d.event AND later.destination = d.destination
                AND later.id > d.id AND (later.state IN (0, 1, 2) OR (later.id < $4 AND later.state = ANY ($2)))
        )
    ORDER BY d.id LIMIT $6";

const LOCK_EVENT: &str = "SELECT 1 FROM events WHERE id = $1 FOR UPDATE";

const ADD_BODY: &str = "
    INSERT INTO bodies (event, variant, body)
    SELECT $1, coalesce((SELECT max(variant) FROM bodies WHERE event = $1), 0) + 1, $2 RETURNING variant";

impl PostgresStore {
    pub(in crate::store) async fn sent(&self, filter: SentFilter) -> Result<SentPage<SentRow>, StoreError> {
        self.customers.run(move |connection| Box::pin(sent(connection, filter))).await
    }

    pub(in crate::store) async fn sent_delivery(
        &self,
        endpoint: String,
        id: Id,
    ) -> Result<Option<SentDetail>, StoreError> {
        self.customers.run(move |connection| Box::pin(sent_delivery(connection, endpoint, id))).await
    }

    pub(in crate::store) async fn sent_events(
        &self,
        filter: SentEventFilter,
    ) -> Result<SentPage<SentEvent>, StoreError> {
        self.customers.run(move |connection| Box::pin(sent_events(connection, filter))).await
    }

    pub(in crate::store) async fn sent_event(
        &self,
        account: String,
        event_id: String,
    ) -> Result<Option<SentEvent>, StoreError> {
        self.customers.run(move |connection| Box::pin(sent_event(connection, account, event_id))).await
    }

    pub(in crate::store) async fn add_body(&self, event: Id, body: Bytes) -> Result<Option<u16>, StoreError> {
        self.changes.run(move |connection| Box::pin(add_body(connection, event, body))).await
    }

    pub(in crate::store) async fn unrecovered(&self, asked: Unrecovered) -> Result<Vec<(Id, Id, u16)>, StoreError> {
        self.customers.run(move |connection| Box::pin(unrecovered(connection, asked))).await
    }
}

/// Who adds one locks the event first, so that two do not add the same.
async fn add_body(connection: &mut Connection, event: Id, body: Bytes) -> Result<Option<u16>, Error> {
    let (lock, add) = (connection.prepared(LOCK_EVENT).await?, connection.prepared(ADD_BODY).await?);
    let transaction = connection.client.transaction().await?;
    let event = &event.0[..];
    if transaction.query(&lock, &[&event]).await?.is_empty() {
        return Ok(None);
    }
    let variant: i32 = transaction.query_one(&add, &[&event, &&body[..]]).await?.get(0);
    transaction.commit().await?;
    Ok(u16::try_from(variant).ok())
}

async fn sent(connection: &mut Connection, filter: SentFilter) -> Result<SentPage<SentRow>, Error> {
    let endpoints: Vec<&str> = filter.endpoints.iter().map(|name| &**name).collect();
    let event = filter.event.as_ref().map(|id| &id.0[..]);
    let states = (!filter.states.is_empty()).then(|| codes(&filter.states));
    let reasons = (!filter.reasons.is_empty()).then_some(&filter.reasons);
    let status = filter.status.map(i32::from);
    let (low, high) = range(filter.since, filter.until, None);
    let (_, before) = range(filter.since, filter.until, filter.after);
    let (low, high, before, limit) = (&low[..], &high[..], &before[..], i64::from(filter.limit) + 1);
    let given: [&(dyn ToSql + Sync); 11] =
        [&endpoints, &event, &states, &filter.attempted, &reasons, &filter.kind, &status, &low, &high, &before, &limit];
    let statement = connection.prepared(SENT).await?;
    let rows = connection.client.query(&statement, &given).await?;
    let found = rows.iter().filter_map(sent_row).collect();
    Ok(SentPage::of(found, filter.limit, total(&rows), |row| row.id))
}

async fn sent_delivery(connection: &mut Connection, endpoint: String, id: Id) -> Result<Option<SentDetail>, Error> {
    let (statement, log) = (connection.prepared(SENT_DELIVERY).await?, connection.prepared(ATTEMPTS).await?);
    let found = connection.client.query_opt(&statement, &[&&id.0[..], &endpoint]).await?;
    let Some(row) = found.as_ref().and_then(sent_row) else { return Ok(None) };
    let rows = connection.client.query(&log, &[&&id.0[..]]).await?;
    let attempt = |row: &Row| (attempt_row(row, 0), row.get::<_, Option<Vec<u8>>>(5).map(Into::into));
    Ok(Some(SentDetail { row, attempts: rows.iter().map(attempt).collect() }))
}

/// `None` where there is only the length of the list.
fn sent_row(row: &Row) -> Option<SentRow> {
    let found: &[u8] = row.get::<_, Option<&[u8]>>(1)?;
    let event_body = Bytes::from(row.get::<_, Vec<u8>>(13));
    let body: Option<Vec<u8>> = row.get(14);
    let attempted = row.get::<_, Option<i64>>(15).is_some();
    Some(SentRow {
        id: Id::from_slice(found),
        event: id(row, 2),
        event_id: row.get(3),
        kind: row.get(4),
        endpoint: row.get(5),
        state: State::from_code(row.get(6)),
        reason: row.get(7),
        trigger: Trigger::from_code(row.get(8)),
        created_at: UnixMillis(row.get(9)),
        at: UnixMillis(row.get(10)),
        attempts: row.get::<_, i32>(11).try_into().unwrap_or(0),
        variant: row.get::<_, i32>(12).try_into().unwrap_or(0),
        last: attempted.then(|| attempt_row(row, 15)),
        body: body.map_or_else(|| event_body.clone(), Into::into),
        event_body,
    })
}

async fn sent_events(connection: &mut Connection, filter: SentEventFilter) -> Result<SentPage<SentEvent>, Error> {
    let (low, high) = range(filter.since, filter.until, None);
    let (_, before) = range(filter.since, filter.until, filter.after);
    let (low, high, before, limit) = (&low[..], &high[..], &before[..], i64::from(filter.limit) + 1);
    let account = &*filter.account;
    let given: [&(dyn ToSql + Sync); 6] = [&account, &filter.kind, &low, &high, &before, &limit];
    let statement = connection.prepared(SENT_EVENTS).await?;
    let rows = connection.client.query(&statement, &given).await?;
    let events = with_deliveries(connection, rows.iter().filter_map(event_row).collect()).await?;
    Ok(SentPage::of(events, filter.limit, total(&rows), |row| row.id))
}

async fn sent_event(
    connection: &mut Connection,
    account: String,
    event_id: String,
) -> Result<Option<SentEvent>, Error> {
    let statement = connection.prepared(SENT_EVENT).await?;
    let found = connection.client.query_opt(&statement, &[&account, &event_id]).await?;
    Ok(with_deliveries(connection, found.iter().filter_map(event_row).collect()).await?.pop())
}

/// `None` where there is only the length of the list.
fn event_row(row: &Row) -> Option<SentEvent> {
    let found: &[u8] = row.get::<_, Option<&[u8]>>(1)?;
    Some(SentEvent {
        id: Id::from_slice(found),
        event_id: row.get(2),
        kind: row.get(3),
        accepted_at: UnixMillis(row.get(4)),
        headers: row.get::<_, Vec<u8>>(5).into(),
        body: row.get::<_, Vec<u8>>(6).into(),
        deliveries: Vec::new(),
    })
}

async fn with_deliveries(connection: &mut Connection, events: Vec<SentEvent>) -> Result<Vec<SentEvent>, Error> {
    let statement = connection.prepared(DELIVERIES).await?;
    let ids: Vec<&[u8]> = events.iter().map(|event| &event.id.0[..]).collect();
    let mut counts: HashMap<Id, Vec<(State, u64)>> = HashMap::new();
    for row in connection.client.query(&statement, &[&ids]).await? {
        let count = row.get::<_, i64>(2).try_into().unwrap_or(0);
        counts.entry(id(&row, 0)).or_default().push((State::from_code(row.get(1)), count));
    }
    let with = |event: SentEvent| SentEvent { deliveries: counts.remove(&event.id).unwrap_or_default(), ..event };
    Ok(events.into_iter().map(with).collect())
}

async fn unrecovered(connection: &mut Connection, asked: Unrecovered) -> Result<Vec<(Id, Id, u16)>, Error> {
    let states = codes(&asked.states);
    let (low, high) = range(Some(asked.since), Some(asked.until), None);
    let after = asked.after.unwrap_or(Id([0; 16]));
    let (low, high, after, limit) = (&low[..], &high[..], &after.0[..], i64::from(asked.limit));
    let statement = connection.prepared(UNRECOVERED).await?;
    let reasons = (!asked.reasons.is_empty()).then_some(&asked.reasons);
    let given: [&(dyn ToSql + Sync); 7] = [&asked.endpoint, &states, &low, &high, &after, &limit, &reasons];
    let rows = connection.client.query(&statement, &given).await?;
    Ok(rows.iter().map(|row| (id(row, 0), id(row, 1), row.get::<_, i32>(2).try_into().unwrap_or(0))).collect())
}

fn total(rows: &[Row]) -> u64 {
    rows.first().map_or(0, |row| row.get::<_, i64>(0).try_into().unwrap_or(0))
}

fn codes(states: &[State]) -> Vec<i16> {
    states.iter().map(|state| state.code()).collect()
}
