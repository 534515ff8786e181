//! What operators ask, of PostgreSQL.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::{PostgresStore, id, message, status};
use crate::clock::UnixMillis;
use crate::database::StoreError;
use crate::database::postgres::Connection;
use crate::store::{
    AttemptRow, DeliveryDetail, DeliveryFilter, DeliveryRow, DestinationStats, EventDetail, EventFilter, EventRow, Id,
    MAX_PAGE, Page, State, Stats,
};

const EVENTS: &str = "
    SELECT id, source, event_id, accepted_at, method, octet_length(body) FROM events
    WHERE ($1::text IS NULL OR source = $1) AND ($2::text IS NULL OR event_id = $2) AND id >= $3 AND id < $4
    ORDER BY id DESC LIMIT $5";

const EVENT: &str = "
    SELECT id, source, event_id, accepted_at, method, octet_length(body), method, query, headers, body
    FROM events WHERE id = $1";

const DELIVERIES: &str = "
    SELECT d.id, d.event, e.source, e.event_id, d.destination, d.state, d.reason, d.created_at, d.due_at,
        d.attempts, last.status, last.error
    FROM deliveries d JOIN events e ON e.id = d.event
    LEFT JOIN LATERAL (
        SELECT status, error FROM attempts WHERE delivery = d.id ORDER BY started_at DESC LIMIT 1
    ) last ON true
    WHERE ($1::text IS NULL OR e.source = $1) AND ($2::text IS NULL OR d.destination = $2)
        AND ($3::smallint IS NULL OR d.state = $3) AND d.id >= $4 AND d.id < $5 AND ($6::bytea IS NULL OR d.event = $6)
    ORDER BY d.id DESC LIMIT $7";

const DELIVERY: &str = "
    SELECT d.id, d.event, e.source, e.event_id, d.destination, d.state, d.reason, d.created_at, d.due_at,
        d.attempts, last.status, last.error
    FROM deliveries d JOIN events e ON e.id = d.event
    LEFT JOIN LATERAL (
        SELECT status, error FROM attempts WHERE delivery = d.id ORDER BY started_at DESC LIMIT 1
    ) last ON true
    WHERE d.id = $1";

const ATTEMPTS: &str =
    "SELECT started_at, duration_ms, status, error, charged FROM attempts WHERE delivery = $1 ORDER BY started_at";

const STATS: &str = "
    SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM dedup), leased, delivered, skipped, cancelled,
        (SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c
            WHERE c.relnamespace = 'hookward'::regnamespace AND c.relkind = 'r')
    FROM (
        SELECT count(*) FILTER (WHERE state = 1) AS leased, count(*) FILTER (WHERE state = 2) AS delivered,
            count(*) FILTER (WHERE state = 4) AS skipped, count(*) FILTER (WHERE state = 5) AS cancelled
        FROM deliveries
    ) AS by_state";

const DESTINATIONS: &str = "
    SELECT destination, count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 3),
        min(due_at) FILTER (WHERE state = 0)
    FROM deliveries WHERE state IN (0, 3) GROUP BY destination ORDER BY destination";

impl PostgresStore {
    pub(in crate::store) async fn events(&self, filter: EventFilter) -> Result<Page<EventRow>, StoreError> {
        self.operators.run(move |connection| Box::pin(events(connection, filter))).await
    }

    pub(in crate::store) async fn event(&self, id: Id) -> Result<Option<EventDetail>, StoreError> {
        self.operators.run(move |connection| Box::pin(event(connection, id))).await
    }

    pub(in crate::store) async fn deliveries(&self, filter: DeliveryFilter) -> Result<Page<DeliveryRow>, StoreError> {
        self.operators.run(move |connection| Box::pin(deliveries(connection, filter))).await
    }

    pub(in crate::store) async fn delivery(&self, id: Id) -> Result<Option<DeliveryDetail>, StoreError> {
        self.operators.run(move |connection| Box::pin(delivery(connection, id))).await
    }

    pub(in crate::store) async fn stats(&self) -> Result<Stats, StoreError> {
        self.operators.run(|connection| Box::pin(stats(connection))).await
    }

    pub(in crate::store) async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.operators.run(|connection| Box::pin(check(connection))).await
    }
}

async fn events(connection: &mut Connection, filter: EventFilter) -> Result<Page<EventRow>, Error> {
    let statement = connection.prepared(EVENTS).await?;
    let (low, high) = range(filter.since, filter.until, filter.after);
    let limit = i64::from(filter.limit) + 1;
    let given: [&(dyn ToSql + Sync); 5] = [&filter.source, &filter.event_id, &&low[..], &&high[..], &limit];
    let rows = connection.client.query(&statement, &given).await?;
    Ok(Page::of(rows.iter().map(event_row).collect(), filter.limit, |row| row.id))
}

async fn event(connection: &mut Connection, id: Id) -> Result<Option<EventDetail>, Error> {
    let statement = connection.prepared(EVENT).await?;
    let Some(found) = connection.client.query_opt(&statement, &[&&id.0[..]]).await? else { return Ok(None) };
    let filter = DeliveryFilter { event: Some(id), limit: MAX_PAGE, ..DeliveryFilter::default() };
    let deliveries = deliveries(connection, filter).await?.data;
    Ok(Some(EventDetail { row: event_row(&found), message: message(&found, 6), deliveries }))
}

async fn deliveries(connection: &mut Connection, filter: DeliveryFilter) -> Result<Page<DeliveryRow>, Error> {
    let statement = connection.prepared(DELIVERIES).await?;
    let (low, high) = range(filter.since, filter.until, filter.after);
    let (state, limit) = (filter.state.map(State::code), i64::from(filter.limit) + 1);
    let event = filter.event.as_ref().map(|id| &id.0[..]);
    let given: [&(dyn ToSql + Sync); 7] =
        [&filter.source, &filter.destination, &state, &&low[..], &&high[..], &event, &limit];
    let rows = connection.client.query(&statement, &given).await?;
    Ok(Page::of(rows.iter().map(delivery_row).collect(), filter.limit, |row| row.id))
}

async fn delivery(connection: &mut Connection, id: Id) -> Result<Option<DeliveryDetail>, Error> {
    let statement = connection.prepared(DELIVERY).await?;
    let Some(found) = connection.client.query_opt(&statement, &[&&id.0[..]]).await? else { return Ok(None) };
    let statement = connection.prepared(ATTEMPTS).await?;
    let rows = connection.client.query(&statement, &[&&id.0[..]]).await?;
    let attempts = rows.iter().map(|row| attempt_row(row, 0)).collect();
    Ok(Some(DeliveryDetail { row: delivery_row(&found), attempts }))
}

/// Start, duration, status, error and whether it counted, from column `first` on.
pub fn attempt_row(row: &Row, first: usize) -> AttemptRow {
    AttemptRow {
        started_at: UnixMillis(row.get(first)),
        duration_ms: row.get::<_, i64>(first + 1).try_into().unwrap_or(0),
        status: status(row, first + 2),
        error: row.get(first + 3),
        charged: row.get(first + 4),
    }
}

/// The ids that lie between two times and come after the last of a page, in lists that begin with the latest.
pub fn range(since: Option<UnixMillis>, until: Option<UnixMillis>, after: Option<Id>) -> ([u8; 16], [u8; 16]) {
    let low = since.map_or(Id([0; 16]), Id::first_at);
    let high = until.map_or(Id([u8::MAX; 16]), Id::first_at);
    (low.0, after.map_or(high, |after| after.min(high)).0)
}

fn event_row(row: &Row) -> EventRow {
    EventRow {
        id: id(row, 0),
        source: row.get(1),
        event_id: row.get(2),
        accepted_at: UnixMillis(row.get(3)),
        method: row.get(4),
        body_bytes: row.get::<_, i32>(5).try_into().unwrap_or(0),
    }
}

fn delivery_row(row: &Row) -> DeliveryRow {
    DeliveryRow {
        id: id(row, 0),
        event: id(row, 1),
        source: row.get(2),
        event_id: row.get(3),
        destination: row.get(4),
        state: State::from_code(row.get(5)),
        reason: row.get(6),
        created_at: UnixMillis(row.get(7)),
        at: UnixMillis(row.get(8)),
        attempts: row.get::<_, i32>(9).try_into().unwrap_or(0),
        last_status: status(row, 10),
        last_error: row.get(11),
    }
}

async fn stats(connection: &mut Connection) -> Result<Stats, Error> {
    let counts = connection.client.query_one(STATS, &[]).await?;
    let count = |column| u64::try_from(counts.get::<_, Option<i64>>(column).unwrap_or(0)).unwrap_or(0);
    let mut stats = Stats {
        engine: "postgres",
        events: count(0),
        waiting: 0,
        leased: count(2),
        delivered: count(3),
        dead: 0,
        skipped: count(4),
        cancelled: count(5),
        dedup_keys: count(1),
        bytes: count(6),
        oldest_due: None,
        destinations: Vec::new(),
    };
    for row in connection.client.query(DESTINATIONS, &[]).await? {
        let count = |column| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        let (waiting, dead) = (count(1), count(2));
        stats.waiting += waiting;
        stats.dead += dead;
        let due = row.get::<_, Option<i64>>(3).map(UnixMillis);
        stats.oldest_due = [stats.oldest_due, due].into_iter().flatten().min();
        stats.destinations.push(DestinationStats { destination: row.get(0), waiting, dead });
    }
    Ok(stats)
}

async fn check(connection: &mut Connection) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for rows in ["deliveries", "bodies"] {
        let sql = format!("SELECT count(*) FROM {rows} o WHERE NOT EXISTS (SELECT 1 FROM events WHERE id = o.event)");
        let orphans: i64 = connection.client.query_one(&sql, &[]).await?.get(0);
        if orphans > 0 {
            found.push(format!("{orphans} {rows} have no event"));
        }
    }
    Ok(found)
}
