//! Dedup in PostgreSQL, shared by every gateway that uses the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio_postgres::Row;

use super::remote::{Standing, StoreClaim};
use super::{ClaimKeys, DedupKey, Failure};
use crate::clock::UnixMillis;
use crate::database::StoreError;
use crate::database::group::{Group, Queue};
use crate::database::postgres::{Connection, Lane, Postgres};

const IN_FLIGHT: i16 = 1;
const ATTEMPTED: i16 = 2;
const COMMITTED: i16 = 3;
/// In flight, and somebody had begun with it before.
const AGAIN: i16 = 4;

/// For so long after the end of its lease it is known of an event that somebody had begun with it.
const ABANDONED_FOR: Duration = Duration::from_secs(3 * 24 * 3600);

/// Connections for claims and releases, which need not reach the disk: what a crash of the server takes back is a lease.
const LANES: usize = 4;
const RELAXED: &str = "SET synchronous_commit = off; SET enable_seqscan = off";
const DURABLE: &str = "SET synchronous_commit = on; SET enable_seqscan = off";

/// The store behind `dedup.store = "postgres://…"`.
#[derive(Debug)]
pub struct PostgresDedup {
    /// An event always takes the same one.
    lanes: Vec<Lane>,
    commits: Group<Commit, ()>,
    /// Which part of the keys is swept next.
    slice: AtomicU8,
}

#[derive(Debug)]
struct Commit {
    keys: ClaimKeys,
    until: UnixMillis,
}

/// One statement, since another gateway may be at it too. Its first column is the state that the event has been taken
/// into, if it was; the next two say what stood there.
const CLAIM: &str = "
    WITH before AS (SELECT state, fingerprint FROM dedup WHERE key = $1),
    known AS (SELECT 1 FROM dedup WHERE key = $2 AND (until > $6 OR state IN (1, 4))),
    taken AS (
        INSERT INTO dedup AS d (key, state, token, fingerprint, until) VALUES ($1, 1, $3, $4, $5)
        ON CONFLICT (key) DO UPDATE
            SET token = excluded.token, fingerprint = excluded.fingerprint, until = excluded.until,
                state = CASE WHEN d.state = 1 AND d.token = $3 THEN 1
                    WHEN d.state IN (1, 4) OR (d.state = 2 AND d.until > $6) THEN 4 ELSE 1 END
            WHERE d.until <= $6 OR d.state = 2 OR (d.state IN (1, 4) AND d.token = $3)
        RETURNING state
    )
    SELECT (SELECT state FROM taken), (SELECT state FROM before), (SELECT fingerprint FROM before),
        EXISTS (SELECT 1 FROM known)";

/// One that comes late does not shorten what is remembered.
const COMMIT: &str = "
    INSERT INTO dedup AS d (key, state, token, fingerprint, until)
    SELECT key, 3, 0, fingerprint, until
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS given (key, fingerprint, until) ORDER BY key
    ON CONFLICT (key) DO UPDATE
        SET state = 3, token = 0, fingerprint = excluded.fingerprint,
            until = CASE d.state WHEN 3 THEN greatest(d.until, excluded.until) ELSE excluded.until END";

const RELEASE: &str = "
    WITH again AS (
        UPDATE dedup SET state = 2, token = 0, until = $3 WHERE key = $1 AND state = 4 AND token = $2
    )
    DELETE FROM dedup WHERE key = $1 AND state = 1 AND token = $2";

/// An event that was forwarded without a claim leaves its doubt where nobody has it. The guard becomes attempted only with
/// the event itself, and only where it is not known.
const DOUBT: &str = "
    WITH ours AS (
        INSERT INTO dedup AS d (key, state, token, fingerprint, until) VALUES ($1, 2, 0, $6, $3)
        ON CONFLICT (key) DO UPDATE SET state = 2, token = 0, until = excluded.until
            WHERE (d.state IN (1, 4) AND d.token = $2) OR (d.state IN (2, 3) AND d.until <= $5)
        RETURNING key
    )
    INSERT INTO dedup AS d (key, state, token, fingerprint, until)
    SELECT $4::bytea, 2, 0, $6, $3 FROM ours WHERE $4::bytea IS NOT NULL
    ON CONFLICT (key) DO UPDATE SET state = 2, token = 0, fingerprint = excluded.fingerprint, until = excluded.until
        WHERE d.until <= $5 AND d.state IN (2, 3)";

const STANDING: &str = "SELECT state, until FROM dedup WHERE key = $1";

/// Forgets what is over, among the keys from the first to before the second.
pub const SWEEP: &str = "DELETE FROM dedup WHERE key >= $1 AND ($2::bytea IS NULL OR key < $2) \
    AND until <= CASE WHEN state IN (1, 4) THEN $3::bigint ELSE $4::bigint END";

impl PostgresDedup {
    /// Dedup in `database`. Nothing is connected before it is asked.
    pub fn new(database: &Postgres) -> Self {
        let (commits, queue) = Group::new();
        let queue = Arc::new(queue);
        for _ in 0..2 {
            database.runtime().spawn(commit_for_ever(database.lane(DURABLE), Arc::clone(&queue)));
        }
        let lanes = (0..LANES).map(|_| database.lane(RELAXED)).collect();
        Self { lanes, commits, slice: AtomicU8::new(0) }
    }

    /// See [`super::Remote`].
    pub async fn claim(
        &self,
        keys: ClaimKeys,
        token: u64,
        lease: Duration,
        now: UnixMillis,
    ) -> Result<StoreClaim, StoreError> {
        let token = token.cast_signed();
        let row = self
            .lane(keys.key)
            .run(move |connection| {
                Box::pin(async move {
                    let statement = connection.prepared(CLAIM).await?;
                    let (key, guard) = (keys.key.bytes(), keys.guard.map(DedupKey::bytes));
                    let guard = guard.as_ref().map(|guard| &guard[..]);
                    let (fingerprint, until) = (keys.fingerprint.cast_signed(), now.after(lease).0);
                    let client = &connection.client;
                    client.query_one(&statement, &[&&key[..], &guard, &token, &fingerprint, &until, &now.0]).await
                })
            })
            .await?;
        Ok(answer(&row))
    }

    /// See [`super::Remote`]. It is on the server's disk when this returns.
    pub async fn commit(&self, keys: ClaimKeys, ttl: Duration, now: UnixMillis) -> Result<(), StoreError> {
        self.commits.ask(Commit { keys, until: now.after(ttl) }).await
    }

    /// See [`super::Remote`].
    pub async fn release(
        &self,
        keys: ClaimKeys,
        token: u64,
        failure: Failure,
        ttl: Duration,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let token = token.cast_signed();
        self.lane(keys.key)
            .run(move |connection| match failure {
                Failure::Definite => Box::pin(give_back(connection, keys.key, token, now.after(ttl))),
                Failure::Ambiguous => Box::pin(leave_in_doubt(connection, keys, token, now.after(ttl), now)),
            })
            .await
    }

    /// See [`super::Remote`].
    pub async fn standing(&self, key: DedupKey, now: UnixMillis) -> Result<Standing, StoreError> {
        let found = self
            .lane(key)
            .run(move |connection| {
                Box::pin(async move {
                    let statement = connection.prepared(STANDING).await?;
                    connection.client.query_opt(&statement, &[&&key.bytes()[..]]).await
                })
            })
            .await?;
        let row = found.map(|row| (row.get::<_, i16>(0), UnixMillis(row.get(1))));
        Ok(match row {
            Some((IN_FLIGHT | AGAIN, until)) if now < until => Standing::InFlight,
            Some((IN_FLIGHT | AGAIN, _)) => Standing::Attempted,
            Some((COMMITTED, until)) if now < until => Standing::Committed,
            Some((ATTEMPTED, until)) if now < until => Standing::Attempted,
            _ => Standing::Absent,
        })
    }

    /// See [`super::Remote`].
    pub async fn probe(&self) -> Result<(), StoreError> {
        for lane in &self.lanes {
            lane.run(|connection| Box::pin(async { connection.client.batch_execute("").await })).await?;
        }
        Ok(())
    }

    /// Forgets what is over, in the next 256th part of the keys.
    pub async fn sweep(&self, now: UnixMillis) -> Result<(), StoreError> {
        let slice = self.slice.fetch_add(1, Ordering::Relaxed);
        self.lanes[0].run(move |connection| Box::pin(sweep(connection, slice, now))).await
    }

    fn lane(&self, key: DedupKey) -> &Lane {
        &self.lanes[usize::from(key.bytes()[15]) % self.lanes.len()]
    }
}

async fn give_back(
    connection: &mut Connection,
    key: DedupKey,
    token: i64,
    until: UnixMillis,
) -> Result<(), tokio_postgres::Error> {
    let statement = connection.prepared(RELEASE).await?;
    connection.client.execute(&statement, &[&&key.bytes()[..], &token, &until.0]).await?;
    Ok(())
}

async fn leave_in_doubt(
    connection: &mut Connection,
    keys: ClaimKeys,
    token: i64,
    until: UnixMillis,
    now: UnixMillis,
) -> Result<(), tokio_postgres::Error> {
    let (key, guard) = (keys.key.bytes(), keys.guard.map(DedupKey::bytes));
    let guard = guard.as_ref().map(|guard| &guard[..]);
    let statement = connection.prepared(DOUBT).await?;
    let fingerprint = keys.fingerprint.cast_signed();
    connection.client.execute(&statement, &[&&key[..], &token, &until.0, &guard, &now.0, &fingerprint]).await?;
    Ok(())
}

/// What the row of [`CLAIM`] means.
fn answer(row: &Row) -> StoreClaim {
    let (taken, before): (Option<i16>, Option<i16>) = (row.get(0), row.get(1));
    match (taken, before, row.get::<_, Option<i64>>(2)) {
        (Some(state), ..) => {
            let known_body: bool = row.get(3);
            StoreClaim::Granted { possible_duplicate: state == AGAIN || known_body }
        }
        (None, Some(COMMITTED), Some(fingerprint)) => {
            StoreClaim::Committed { fingerprint: fingerprint.cast_unsigned() }
        }
        // In flight, or taken by somebody else between the two looks.
        _ => StoreClaim::InFlight,
    }
}

async fn commit_for_ever(lane: Lane, queue: Arc<Queue<Commit, ()>>) {
    while let Some((commits, replies)) = queue.next(|_| size_of::<Commit>()).await {
        let count = commits.len();
        let done = lane.run(move |connection| Box::pin(commit(connection, commits))).await;
        replies.send(done.map(|()| vec![(); count]));
    }
}

async fn commit(connection: &mut Connection, commits: Vec<Commit>) -> Result<(), tokio_postgres::Error> {
    let mut rows: Vec<([u8; 16], i64, i64)> = commits
        .iter()
        .flat_map(|Commit { keys, until }| {
            let row = move |key: DedupKey| (key.bytes(), keys.fingerprint.cast_signed(), until.0);
            [Some(keys.key), keys.guard].into_iter().flatten().map(row)
        })
        .collect();
    // In one order everywhere, so that two gateways never wait for each other; and no row twice in one statement.
    rows.sort_unstable();
    rows.dedup_by_key(|(key, _, _)| *key);
    let keys: Vec<&[u8]> = rows.iter().map(|(key, _, _)| &key[..]).collect();
    let fingerprints: Vec<i64> = rows.iter().map(|(_, fingerprint, _)| *fingerprint).collect();
    let untils: Vec<i64> = rows.iter().map(|(_, _, until)| *until).collect();
    let statement = connection.prepared(COMMIT).await?;
    connection.client.execute(&statement, &[&keys, &fingerprints, &untils]).await?;
    Ok(())
}

/// Forgets what is over, among the keys that begin with this byte.
pub async fn sweep(connection: &mut Connection, slice: u8, now: UnixMillis) -> Result<(), tokio_postgres::Error> {
    let (low, high) = ([slice], slice.checked_add(1).map(|next| [next]));
    let high = high.as_ref().map(|high| &high[..]);
    let statement = connection.prepared(SWEEP).await?;
    connection.client.execute(&statement, &[&&low[..], &high, &now.before(ABANDONED_FOR).0, &now.0]).await?;
    Ok(())
}
