//! The directory, and how endpoints are doing, in PostgreSQL.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement, Transaction};

use super::answers::Answers;
use super::keep::Keeper;
use super::occurrences::FORGET as FORGET_OCCURRENCES;
use super::{id, status};
use crate::clock::UnixMillis;
use crate::database::postgres::Connection;
use crate::store::{Change, Changed, Failing, Health, NewEvent, Record, RecordKind, Records, State, Tally};

/// Whoever decides by the directory says this first: then it stays as it is until the transaction ends. Locks of rows
/// would do, but that nobody gets to change what others go on reading: here whoever comes after a change waits for it.
const STAY: &str = "SELECT pg_advisory_xact_lock_shared(7226435283118958)";

/// The same for whoever changes it.
const CHANGE: &str = "SELECT pg_advisory_xact_lock(7226435283118958)";

/// Another statement than the lock, which sees what that one waited for.
pub const VERSION: &str = "SELECT version FROM directory";

const SET_VERSION: &str = "UPDATE directory SET version = $1";

/// One statement, so that version and documents are of one moment.
const RECORDS: &str = "
    SELECT directory.version, r.kind, r.account, r.id, r.document FROM directory LEFT JOIN records r ON r.version > $1
    ORDER BY r.version, r.kind, r.account, r.id";

const PUT: &str = "
    INSERT INTO records (kind, account, id, document, version)
    SELECT given.*, $5 FROM unnest($1::smallint[], $2::text[], $3::text[], $4::bytea[]) AS given
    ON CONFLICT (kind, account, id) DO UPDATE SET version = excluded.version, document = excluded.document";

/// In the order of ids, as everywhere. What somebody leases meanwhile is no longer found waiting.
const CANCEL: &str = "
    WITH waiting AS (
        SELECT id FROM deliveries WHERE state = 0 AND destination = $1 ORDER BY id FOR UPDATE
    )
    UPDATE deliveries d SET state = 5, due_at = $2, reason = $3 FROM waiting WHERE d.id = waiting.id";

/// One state at a time, since each has an index of its own.
const ORDER: &str = "
    WITH owed AS (
        SELECT id FROM deliveries WHERE state = $2 AND destination = $1 ORDER BY id FOR UPDATE
    )
    UPDATE deliveries d SET ordered = true FROM owed WHERE d.id = owed.id";

const WARNED: &str = "UPDATE failing SET warned = true WHERE endpoint = $1";

/// The tallies come first, as with settlements: whoever has them may change the other.
const FORGET_TALLIES: &str = "DELETE FROM tallies WHERE endpoint = $1";
const FORGET_FAILING: &str = "DELETE FROM failing WHERE endpoint = $1";

const FAILING: &str = "
    SELECT endpoint, since, last_at, attempts, last_status, last_error, last_event, gone, exhausted, warned
    FROM failing ORDER BY endpoint COLLATE \"C\"";

const TALLIES: &str = "
    SELECT endpoint, sum(delivered)::bigint, sum(dead)::bigint, sum(duration_ms)::bigint, max(last_delivered_at),
        max(last_dead_at)
    FROM tallies WHERE endpoint = ANY ($1) AND day >= $2 GROUP BY endpoint";

/// Reads the version, which stays until the end of the transaction.
pub struct Version {
    lock: Statement,
    version: Statement,
}

impl Version {
    /// For whoever decides by it.
    pub async fn prepare_to_stay(connection: &mut Connection) -> Result<Self, Error> {
        Self::prepare(connection, STAY).await
    }

    async fn prepare(connection: &mut Connection, lock: &'static str) -> Result<Self, Error> {
        Ok(Self { lock: connection.prepared(lock).await?, version: connection.prepared(VERSION).await? })
    }

    pub async fn read(&self, transaction: &Transaction<'_>) -> Result<i64, Error> {
        let (locked, version) = (transaction.execute(&self.lock, &[]), transaction.query_one(&self.version, &[]));
        tokio::try_join!(locked, version).map(|(_, row)| row.get(0))
    }
}

pub async fn records(connection: &mut Connection, since: i64) -> Result<Records, Error> {
    let statement = connection.prepared(RECORDS).await?;
    let rows = connection.client.query(&statement, &[&since]).await?;
    let record = |row: &Row| {
        Some(Record {
            kind: RecordKind::from_code(row.get::<_, Option<i16>>(1)?)?,
            account: row.get::<_, &str>(2).into(),
            id: row.get::<_, &str>(3).into(),
            document: row.get::<_, Option<Vec<u8>>>(4).map(Into::into),
        })
    };
    let version = rows.first().map_or(since, |row| row.get(0));
    Ok(Records { version, changed: rows.iter().filter_map(record).collect() })
}

pub async fn change(connection: &mut Connection, change: Change) -> Result<Changed, Error> {
    let answers = Answers::prepare(connection).await?;
    let keeper = Keeper::prepare(connection).await?;
    let lock = if change.records.is_empty() { STAY } else { CHANGE };
    let version = Version::prepare(connection, lock).await?;
    let transaction = connection.client.transaction().await?;
    let (known, found) =
        tokio::try_join!(answers.claim(&transaction, &change.idempotent, change.at), version.read(&transaction),)?;
    if let Some(replayed) = known.into_values().next() {
        transaction.rollback().await?;
        return Ok(Changed::Replayed(replayed));
    }
    if found != change.version {
        transaction.rollback().await?;
        return Ok(Changed::Outdated);
    }
    let version = if change.records.is_empty() { found } else { found + 1 };
    write_records(&transaction, &change.records, version).await?;
    for (destination, reason) in &change.cancel {
        transaction.execute(CANCEL, &[&&**destination, &change.at.0, reason]).await?;
    }
    for destination in &change.order {
        for state in [State::Waiting, State::Leased] {
            transaction.execute(ORDER, &[&&**destination, &state.code()]).await?;
        }
    }
    for (endpoint, health) in &change.health {
        let statements: &[&str] = match health {
            Health::Warned => &[WARNED],
            Health::Cleared => &[FORGET_FAILING],
            Health::Forgotten => &[FORGET_TALLIES, FORGET_FAILING, FORGET_OCCURRENCES],
        };
        for statement in statements {
            transaction.execute(*statement, &[&&**endpoint]).await?;
        }
    }
    let events: Vec<&NewEvent> = change.events.iter().collect();
    keeper.keep(&transaction, &events).await?;
    transaction.commit().await?;
    Ok(Changed::Done { version })
}

async fn write_records(transaction: &Transaction<'_>, records: &[Record], version: i64) -> Result<(), Error> {
    if records.is_empty() {
        return Ok(());
    }
    // Of one that is given twice the last counts, and no statement may write a row twice.
    let records: BTreeMap<_, _> =
        records.iter().map(|record| ((record.kind, &*record.account, &*record.id), &record.document)).collect();
    let kinds: Vec<i16> = records.keys().map(|(kind, ..)| kind.code()).collect();
    let accounts: Vec<&str> = records.keys().map(|(_, account, _)| *account).collect();
    let ids: Vec<&str> = records.keys().map(|(.., id)| *id).collect();
    let documents: Vec<Option<&[u8]>> = records.values().map(|document| document.as_deref()).collect();
    transaction.execute(SET_VERSION, &[&version]).await?;
    let given: [&(dyn ToSql + Sync); 5] = [&kinds, &accounts, &ids, &documents, &version];
    transaction.execute(PUT, &given).await?;
    Ok(())
}

pub async fn failing(connection: &mut Connection) -> Result<Vec<Failing>, Error> {
    let statement = connection.prepared(FAILING).await?;
    let rows = connection.client.query(&statement, &[]).await?;
    let failing = |row: &Row| Failing {
        endpoint: row.get::<_, &str>(0).into(),
        since: UnixMillis(row.get(1)),
        last_at: UnixMillis(row.get(2)),
        attempts: row.get::<_, i32>(3).try_into().unwrap_or(0),
        last_status: status(row, 4),
        last_error: row.get(5),
        last_event: id(row, 6),
        gone: row.get(7),
        exhausted: row.get(8),
        warned: row.get(9),
    };
    Ok(rows.iter().map(failing).collect())
}

pub async fn tallies(
    connection: &mut Connection,
    endpoints: Vec<Arc<str>>,
    since_day: i64,
) -> Result<HashMap<Arc<str>, Tally>, Error> {
    let names: Vec<&str> = endpoints.iter().map(|name| &**name).collect();
    let statement = connection.prepared(TALLIES).await?;
    let rows = connection.client.query(&statement, &[&names, &since_day]).await?;
    let tally = |row: &Row| {
        let number = |column| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        let tally = Tally {
            delivered: number(1),
            dead: number(2),
            duration: Duration::from_millis(number(3)),
            last_delivered_at: row.get::<_, Option<i64>>(4).map(UnixMillis),
            last_dead_at: row.get::<_, Option<i64>>(5).map(UnixMillis),
        };
        (row.get::<_, &str>(0).into(), tally)
    };
    Ok(rows.iter().map(tally).collect())
}
