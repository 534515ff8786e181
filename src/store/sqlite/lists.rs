//! What operators ask, of the embedded store.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::{SqliteStore, message};
use crate::clock::UnixMillis;
use crate::database::StoreError;
use crate::store::{
    AttemptRow, DeliveryDetail, DeliveryFilter, DeliveryRow, DestinationStats, EventDetail, EventFilter, EventRow, Id,
    MAX_PAGE, Page, State, Stats,
};

impl SqliteStore {
    pub(in crate::store) async fn events(
        &self,
        filter: EventFilter,
    ) -> std::result::Result<Page<EventRow>, StoreError> {
        self.database.read(move |c| events(c, &filter)).await
    }

    pub(in crate::store) async fn event(&self, id: Id) -> std::result::Result<Option<EventDetail>, StoreError> {
        self.database.read(move |c| event(c, id)).await
    }

    pub(in crate::store) async fn deliveries(
        &self,
        filter: DeliveryFilter,
    ) -> std::result::Result<Page<DeliveryRow>, StoreError> {
        self.database.read(move |c| deliveries(c, &filter)).await
    }

    pub(in crate::store) async fn delivery(&self, id: Id) -> std::result::Result<Option<DeliveryDetail>, StoreError> {
        self.database.read(move |c| delivery(c, id)).await
    }

    pub(in crate::store) async fn stats(&self) -> std::result::Result<Stats, StoreError> {
        self.database.read(stats).await
    }

    pub(in crate::store) async fn check(&self) -> std::result::Result<Vec<String>, StoreError> {
        self.database.read(check).await
    }
}

const EVENT_COLUMNS: &str = "e.id, e.source, e.event_id, e.accepted_at, e.method, length(e.body)";

const DELIVERY_COLUMNS: &str = "d.id, d.event, e.source, e.event_id, d.destination, d.state, d.reason, d.created_at, \
    d.due_at, d.attempts, (SELECT status FROM attempts WHERE delivery = d.id ORDER BY started_at DESC LIMIT 1), \
    (SELECT error FROM attempts WHERE delivery = d.id ORDER BY started_at DESC LIMIT 1)";

fn events(connection: &Connection, filter: &EventFilter) -> Result<Page<EventRow>> {
    // It has an index of its own, which a condition that may be absent would not use.
    let narrowed = if filter.event_id.is_some() { "e.event_id = ?2" } else { "?2 IS NULL" };
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM events e WHERE (?1 IS NULL OR e.source = ?1) AND {narrowed} \
         AND e.id >= ?3 AND e.id < ?4 ORDER BY e.id DESC LIMIT ?5"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let (low, high) = range(filter.since, filter.until, filter.after);
    let rows = statement.query_map(params![filter.source, filter.event_id, low, high, filter.limit + 1], event_row)?;
    Ok(Page::of(rows.collect::<Result<Vec<_>>>()?, filter.limit, |row| row.id))
}

fn event(connection: &Connection, id: Id) -> Result<Option<EventDetail>> {
    let sql = format!("SELECT {EVENT_COLUMNS}, e.method, e.query, e.headers, e.body FROM events e WHERE e.id = ?1");
    let found =
        connection.prepare_cached(&sql)?.query_row([id.0], |row| Ok((event_row(row)?, message(row, 6)?))).optional()?;
    let Some((row, message)) = found else { return Ok(None) };
    let filter = DeliveryFilter { event: Some(id), limit: MAX_PAGE, ..DeliveryFilter::default() };
    Ok(Some(EventDetail { row, message, deliveries: deliveries(connection, &filter)?.data }))
}

fn deliveries(connection: &Connection, filter: &DeliveryFilter) -> Result<Page<DeliveryRow>> {
    // Each of the two has an index of its own, which a condition that may be absent would not use.
    let narrowed = match (filter.event, filter.state) {
        (Some(_), _) => "d.event = ?6",
        (None, Some(State::Dead)) => "?6 IS NULL AND d.state = 3",
        (None, _) => "?6 IS NULL",
    };
    let sql = format!(
        "SELECT {DELIVERY_COLUMNS} FROM deliveries d JOIN events e ON e.id = d.event \
         WHERE {narrowed} AND (?1 IS NULL OR e.source = ?1) AND (?2 IS NULL OR d.destination = ?2) \
         AND (?3 IS NULL OR d.state = ?3) AND d.id >= ?4 AND d.id < ?5 ORDER BY d.id DESC LIMIT ?7"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let (low, high) = range(filter.since, filter.until, filter.after);
    let rows = statement.query_map(
        params![
            filter.source,
            filter.destination,
            filter.state.map(State::code),
            low,
            high,
            filter.event.map(|id| id.0),
            filter.limit + 1
        ],
        delivery_row,
    )?;
    Ok(Page::of(rows.collect::<Result<Vec<_>>>()?, filter.limit, |row| row.id))
}

fn delivery(connection: &Connection, id: Id) -> Result<Option<DeliveryDetail>> {
    let sql = format!("SELECT {DELIVERY_COLUMNS} FROM deliveries d JOIN events e ON e.id = d.event WHERE d.id = ?1");
    let Some(row) = connection.prepare_cached(&sql)?.query_row([id.0], delivery_row).optional()? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT started_at, duration_ms, status, error, charged FROM attempts WHERE delivery = ?1 ORDER BY started_at",
    )?;
    let attempts = statement.query_map([id.0], |row| attempt_row(row, 0))?;
    Ok(Some(DeliveryDetail { row, attempts: attempts.collect::<Result<Vec<_>>>()? }))
}

/// Start, duration, status, error and whether it counted, from column `first` on.
pub fn attempt_row(row: &Row<'_>, first: usize) -> Result<AttemptRow> {
    Ok(AttemptRow {
        started_at: UnixMillis(row.get(first)?),
        duration_ms: row.get(first + 1)?,
        status: row.get(first + 2)?,
        error: row.get(first + 3)?,
        charged: row.get(first + 4)?,
    })
}

/// The ids that lie between two times and come after the last of a page, in lists that begin with the latest.
pub fn range(since: Option<UnixMillis>, until: Option<UnixMillis>, after: Option<Id>) -> ([u8; 16], [u8; 16]) {
    let low = since.map_or(Id([0; 16]), Id::first_at);
    let high = until.map_or(Id([u8::MAX; 16]), Id::first_at);
    (low.0, after.map_or(high, |after| after.min(high)).0)
}

fn event_row(row: &Row<'_>) -> Result<EventRow> {
    Ok(EventRow {
        id: Id(row.get(0)?),
        source: row.get(1)?,
        event_id: row.get(2)?,
        accepted_at: UnixMillis(row.get(3)?),
        method: row.get(4)?,
        body_bytes: row.get(5)?,
    })
}

fn delivery_row(row: &Row<'_>) -> Result<DeliveryRow> {
    Ok(DeliveryRow {
        id: Id(row.get(0)?),
        event: Id(row.get(1)?),
        source: row.get(2)?,
        event_id: row.get(3)?,
        destination: row.get(4)?,
        state: State::from_code(row.get(5)?),
        reason: row.get(6)?,
        created_at: UnixMillis(row.get(7)?),
        at: UnixMillis(row.get(8)?),
        attempts: row.get(9)?,
        last_status: row.get(10)?,
        last_error: row.get(11)?,
    })
}

fn stats(connection: &Connection) -> Result<Stats> {
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
    let [leased, delivered, skipped, cancelled] = connection.query_row(
        "SELECT count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2), \
         count(*) FILTER (WHERE state = 4), count(*) FILTER (WHERE state = 5) FROM deliveries",
        [],
        |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]),
    )?;
    let mut stats = Stats {
        engine: "sqlite",
        events: count("SELECT count(*) FROM events")?,
        waiting: 0,
        leased,
        delivered,
        dead: 0,
        skipped,
        cancelled,
        dedup_keys: count("SELECT count(*) FROM dedup")?,
        bytes: count("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")?,
        oldest_due: None,
        destinations: Vec::new(),
    };
    let mut statement = connection.prepare(
        "SELECT destination, count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 3), \
         min(due_at) FILTER (WHERE state = 0) FROM deliveries WHERE state IN (0, 3) GROUP BY destination",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let destination: String = row.get(0)?;
        let (waiting, dead): (u64, u64) = (row.get(1)?, row.get(2)?);
        let due: Option<i64> = row.get(3)?;
        stats.waiting += waiting;
        stats.dead += dead;
        stats.oldest_due = [stats.oldest_due, due.map(UnixMillis)].into_iter().flatten().min();
        stats.destinations.push(DestinationStats { destination, waiting, dead });
    }
    Ok(stats)
}

fn check(connection: &Connection) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    for line in statement.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            found.push(line);
        }
    }
    for rows in ["deliveries", "bodies"] {
        let sql = format!("SELECT count(*) FROM {rows} o WHERE NOT EXISTS (SELECT 1 FROM events WHERE id = o.event)");
        let orphans: u64 = connection.query_row(&sql, [], |row| row.get(0))?;
        if orphans > 0 {
            found.push(format!("{orphans} {rows} have no event"));
        }
    }
    Ok(found)
}
