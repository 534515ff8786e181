//! Leases what is due in PostgreSQL.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::directory::VERSION;
use super::{id, message};
use crate::clock::UnixMillis;
use crate::database::postgres::Connection;
use crate::store::{Leased, Room};

/// What is taken of the deliveries `due`, with the bodies that they have.
macro_rules! lease {
    ($due:literal, $ordered:literal) => {
        concat!(
            "WITH due AS (",
            $due,
            "), taken AS (
                UPDATE deliveries d SET state = 1, due_at = $2, lease_token = $3, signed_at = coalesce(d.signed_at, $1),
                    ordered = ",
            $ordered,
            " FROM due WHERE d.id = due.id
                RETURNING d.id, d.event, d.destination, d.created_at, d.attempts, d.possible_duplicate, d.signed_at,
                    d.kind, d.variant
            )
            SELECT t.id, t.event, t.destination, t.created_at, t.attempts, t.possible_duplicate, t.signed_at, t.kind,
                e.event_id, e.method, e.query, e.headers, CASE t.variant WHEN 0 THEN e.body ELSE
                    coalesce((SELECT body FROM bodies WHERE event = t.event AND variant = t.variant), e.body) END
            FROM taken t JOIN events e ON e.id = t.event"
        )
    };
}

/// What other nodes are about to lease is passed over.
const DUE: &str = lease!(
    "SELECT due.id FROM unnest($4::text[], $5::bigint[]) AS room (destination, deliveries),
    LATERAL (
        SELECT id FROM deliveries d WHERE d.state = 0 AND d.destination = room.destination AND d.due_at <= $1
        ORDER BY d.due_at LIMIT room.deliveries FOR UPDATE SKIP LOCKED
    ) due",
    "d.ordered"
);

/// Only one node at a time leases for an ordered destination, and sees all that others leased before.
const LOCK: &str = "
    SELECT name FROM unnest($1::text[]) AS room (name) WHERE pg_try_advisory_xact_lock(1752132967, hashtext(name))";

/// The oldest, if it is due and none is leased. It is chosen before it is locked, or one that somebody holds would be
/// passed over. What was owed before its destination became an ordered one goes when nothing else waits, and is ordered
/// from then on; without `OFFSET` its oldest could be looked for among the ids of everybody.
const NEXT: &str = lease!(
    "SELECT d.id FROM unnest($4::text[]) AS room (destination)
    JOIN deliveries d ON d.id = coalesce(
        (SELECT o.id FROM deliveries o WHERE o.ordered AND o.state = 0 AND o.destination = room.destination
            ORDER BY o.id LIMIT 1),
        (SELECT o.id FROM (
            SELECT id FROM deliveries WHERE state = 0 AND destination = room.destination OFFSET 0
        ) o ORDER BY o.id LIMIT 1))
    WHERE d.state = 0 AND d.due_at <= $1 AND NOT EXISTS (
        SELECT 1 FROM deliveries o WHERE o.ordered AND o.state = 1 AND o.destination = room.destination)
    FOR UPDATE OF d SKIP LOCKED",
    "true"
);

/// What was leased, and the version of the directory after that: whatever was decided by it before is in that one.
pub async fn lease(
    connection: &mut Connection,
    room: Vec<Room>,
    now: UnixMillis,
    until: UnixMillis,
    token: i64,
) -> Result<(Vec<Leased>, i64), Error> {
    let version = connection.prepared(VERSION).await?;
    let mut directory = 0;
    let (ordered, free): (Vec<&Room>, Vec<&Room>) = room.iter().partition(|room| room.ordered);
    let mut rows = Vec::new();
    if !free.is_empty() {
        let names: Vec<&str> = free.iter().map(|room| &*room.destination).collect();
        let limits: Vec<i64> = free.iter().map(|room| i64::try_from(room.deliveries).unwrap_or(i64::MAX)).collect();
        let statement = connection.prepared(DUE).await?;
        let given: [&(dyn ToSql + Sync); 5] = [&now.0, &until.0, &token, &names, &limits];
        let (found, seen) =
            tokio::try_join!(connection.client.query(&statement, &given), connection.client.query_one(&version, &[]))?;
        (rows, directory) = (found, seen.get(0));
    }
    let names: Vec<&str> = ordered.iter().filter(|room| room.deliveries > 0).map(|room| &*room.destination).collect();
    if !names.is_empty() {
        rows.extend(lease_next(connection, names, now, until, token).await?);
        directory = connection.client.query_one(&version, &[]).await?.get(0);
    }
    let leased = rows.iter().map(|row| leased(row, &room, token));
    Ok((leased.collect(), directory))
}

async fn lease_next(
    connection: &mut Connection,
    names: Vec<&str>,
    now: UnixMillis,
    until: UnixMillis,
    token: i64,
) -> Result<Vec<Row>, Error> {
    let (lock, next) = (connection.prepared(LOCK).await?, connection.prepared(NEXT).await?);
    let transaction = connection.client.transaction().await?;
    let locked = transaction.query(&lock, &[&names]).await?;
    let names: Vec<&str> = locked.iter().map(|row| row.get(0)).collect();
    // Another statement, which sees what was written until the lock was had.
    let rows = transaction.query(&next, &[&now.0, &until.0, &token, &names]).await?;
    transaction.commit().await?;
    Ok(rows)
}

fn leased(row: &Row, room: &[Room], token: i64) -> Leased {
    let name: &str = row.get(2);
    let known = room.iter().find(|room| &*room.destination == name);
    Leased {
        id: id(row, 0),
        event: id(row, 1),
        token,
        destination: known.map_or_else(|| name.into(), |room| room.destination.clone()),
        created_at: UnixMillis(row.get(3)),
        attempts: u32::try_from(row.get::<_, i32>(4)).unwrap_or(0),
        possible_duplicate: row.get(5),
        signed_at: UnixMillis(row.get(6)),
        kind: row.get(7),
        event_id: row.get(8),
        message: message(row, 9),
    }
}
